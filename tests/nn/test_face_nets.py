"""Networks of face recognition: shapes, and the names and sizes that public weights have."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from running import composed
from torch import Tensor, nn

from fer_ssl.build import build_model
from fer_ssl.errors import ConfigError
from fer_ssl.nn.init import start_from
from fer_ssl.nn.iresnet import DEPTHS, IResNet
from fer_ssl.nn.mobilefacenet import MobileFaceNet

Shapes = dict[str, tuple[int, ...]]


def norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for kind in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{kind}", (width,)
    yield f"{name}.num_batches_tracked", ()


def iresnet_layout(depths: tuple[int, ...], side: int) -> Shapes:
    """Return names and shapes as the public weights list them, written out independently of the network."""
    shapes = {"conv1.weight": (64, 3, 3, 3), **dict(norm("bn1", 64)), "prelu.weight": (64,)}
    before = 64
    for stage, (depth, width) in enumerate(zip(depths, (64, 128, 256, 512), strict=True), 1):
        for number in range(depth):
            at, inputs = f"layer{stage}.{number}", before if number == 0 else width
            shapes |= {**dict(norm(f"{at}.bn1", inputs)), f"{at}.conv1.weight": (width, inputs, 3, 3)}
            shapes |= {**dict(norm(f"{at}.bn2", width)), f"{at}.prelu.weight": (width,)}
            shapes |= {f"{at}.conv2.weight": (width, width, 3, 3), **dict(norm(f"{at}.bn3", width))}
            if number == 0:
                shapes[f"{at}.downsample.0.weight"] = (width, inputs, 1, 1)
                shapes |= dict(norm(f"{at}.downsample.1", width))
        before = width
    shapes |= {**dict(norm("bn2", 512)), "fc.weight": (512, 512 * side**2), "fc.bias": (512,)}
    return shapes | dict(norm("features", 512))


def shapes_of(network: nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


@pytest.mark.parametrize("name", ["iresnet50", "iresnet100"])
def test_iresnet_has_the_names_and_shapes_of_public_weights(name: str) -> None:
    with torch.device("meta"):
        network = IResNet(name)
    assert shapes_of(network) == iresnet_layout(DEPTHS[name], side=7)


def naive_block(block: nn.Module, features: Tensor) -> Tensor:
    inner = block.bn1(features)
    inner = block.prelu(block.bn2(nn.functional.conv2d(inner, block.conv1.weight, padding=1)))
    stride = 2 if len(block.state_dict().keys() & {"downsample.0.weight"}) else 1
    inner = block.bn3(nn.functional.conv2d(inner, block.conv2.weight, stride=stride, padding=1))
    return inner + block.downsample(features)


def test_a_face_goes_through_every_block() -> None:
    torch.manual_seed(0)
    network = IResNet("iresnet18", image_size=24, features=16).eval()
    faces = torch.randn(2, 3, 24, 24)
    maps = network.prelu(network.bn1(network.conv1(faces)))
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in stage:
            maps = naive_block(block, maps)
    assert maps.shape == (2, 512, 2, 2)
    expected = network.features(network.fc(network.bn2(maps).reshape(2, -1)))
    torch.testing.assert_close(network(faces), expected)
    torch.testing.assert_close(network(faces.to(memory_format=torch.channels_last)), expected)


def test_an_unknown_iresnet_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'iresnet51'; set backbone\.name to iresnet18, .*iresnet100"):
        IResNet("iresnet51")


SOME_OF_MOBILEFACENET = {
    "layers.0.layers.0.weight": (128, 3, 3, 3),
    "layers.0.layers.2.weight": (128,),
    "layers.1.layers.0.weight": (128, 2, 3, 3),
    "layers.2.layers.0.layers.0.weight": (128, 128, 1, 1),
    "layers.2.layers.1.layers.0.weight": (128, 1, 3, 3),
    "layers.2.layers.2.layers.1.running_var": (128,),
    "layers.3.layers.3.layers.2.layers.0.weight": (128, 128, 1, 1),
    "layers.4.layers.2.layers.0.weight": (256, 256, 1, 1),
    "layers.5.layers.5.layers.1.layers.2.weight": (256,),
    "layers.6.layers.1.layers.0.weight": (512, 1, 3, 3),
    "layers.7.layers.1.layers.0.layers.0.weight": (256, 256, 1, 1),
    "conv_sep.layers.0.weight": (512, 256, 1, 1),
    "features.layers.0.layers.0.weight": (512, 1, 7, 7),
    "features.layers.2.weight": (512, 512),
    "features.layers.3.running_mean": (512,),
}


def test_mobilefacenet_has_the_names_and_shapes_of_public_weights() -> None:
    with torch.device("meta"):
        network = MobileFaceNet()
    shapes = shapes_of(network)
    assert shapes.items() >= SOME_OF_MOBILEFACENET.items()
    # tensors of a convolution with norm: 6, and 1 more with PReLU; bottlenecks are two of these and a linear one
    assert len(shapes) == 2 * 7 + (3 + 4 + 6 + 2) * (7 + 7 + 6) + 7 + 6 + 1 + 5
    assert "features.layers.2.bias" not in shapes


def test_shortcuts_add_their_input() -> None:
    network = MobileFaceNet(image_size=24, features=16, scale=1).eval()
    chain = network.layers[3].layers
    features = torch.randn(2, 64, 6, 6)
    expected = features
    for link in chain:
        expected = expected + link.layers(expected)
    torch.testing.assert_close(network.layers[3](features), expected)
    halved = network.layers[2]
    torch.testing.assert_close(halved(features), halved.layers(features))


@pytest.mark.parametrize("size", [24, 48])
def test_embeddings_of_any_size_of_face(size: int) -> None:
    large = MobileFaceNet(image_size=size, features=16, blocks=(2, 1, 1, 1), scale=1)
    for network in (IResNet("iresnet18", image_size=size, features=16), large):
        assert network.eval()(torch.zeros(2, 3, size, size)).shape == (2, network.num_features) == (2, 16)


@pytest.mark.parametrize(
    ("make", "last", "reshaped"),
    [
        (partial(IResNet, "iresnet18"), ("fc.", "features."), "fc.weight"),
        (partial(MobileFaceNet, scale=1), ("features.",), "features.layers.0.layers.0.weight"),
    ],
    ids=["iresnet18", "mobilefacenet"],
)
def test_weights_of_a_smaller_face_fit_all_but_the_last_layers(
    make: Callable[..., nn.Module],
    last: tuple[str, ...],
    reshaped: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    torch.manual_seed(0)
    theirs = {name: torch.rand_like(each.float()) for name, each in make(image_size=24).state_dict().items()}
    torch.save(theirs, tmp_path / "backbone.pth")
    backbone = make(image_size=48)
    fresh = {name: each.clone() for name, each in backbone.state_dict().items()}
    start_from(backbone, tmp_path / "backbone.pth")
    ours = backbone.state_dict()
    for name in ours:  # statistics of a layer that is not there would blow up what the new one returns
        expected = fresh if name.startswith(last) else theirs
        assert torch.equal(ours[name], expected[name].to(ours[name].dtype)), name
    (told,) = [message for message in caplog.messages if "of another shape there" in message]
    assert told.startswith(f"backbone: {reshaped} are of another shape there, {reshaped} of ")
    assert "they read maps of another size; set image_size" in told


@pytest.mark.parametrize("choice", [["backbone=iresnet", "backbone.name=iresnet18"], ["backbone=mobilefacenet"]])
def test_the_choices_take_the_runs_image_size(choice: list[str]) -> None:
    model = build_model(composed(*choice, "image_size=32"), classes=5).eval()
    output = model(torch.zeros(2, 1, 32, 32, dtype=torch.uint8))
    assert (output.logits.shape, output.embeddings.shape) == ((2, 5), (2, 128))


@pytest.mark.parametrize("choice", ["iresnet", "mobilefacenet"])
def test_faces_of_another_size_than_the_network_was_made_for_are_told(choice: str) -> None:
    with pytest.raises(ConfigError, match=r"takes no faces of 48 px \(.*\); set image_size=112"):
        build_model(composed(f"backbone={choice}", "backbone.image_size=112"), classes=7)


def test_a_network_without_channels_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"backbone\.scale=0 leaves no channel; set backbone\.scale=2"):
        MobileFaceNet(scale=0)
