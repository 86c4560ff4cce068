"""Backbones, heads and what flows through them."""

import pytest
import torch

from fer_ssl.errors import ConfigError
from fer_ssl.method.teacher import Teacher
from fer_ssl.nn.backbones import SmallConvNet, require_size, timm_backbone
from fer_ssl.nn.heads import CosineHead, LinearHead, NormalizedHead
from fer_ssl.nn.model import FaceModel


@pytest.mark.parametrize("channels", [1, 3])
def test_faces_become_logits_and_unit_embeddings(channels: int) -> None:
    model = FaceModel(timm_backbone("test_resnet"), lambda **sizes: LinearHead(**sizes, projection=16), classes=5)
    output = model(torch.randint(0, 256, (4, channels, 24, 24), dtype=torch.uint8))
    assert output.logits.shape == (4, 5)
    assert output.embeddings.shape == (4, 16)
    assert torch.allclose(output.embeddings.norm(dim=1), torch.ones(4))


def test_without_projection_the_embeddings_are_the_features() -> None:
    features = torch.randn(3, 8)
    output = LinearHead(8, 5, projection=None)(features)
    assert torch.allclose(output.embeddings, features / features.norm(dim=1, keepdim=True))


def test_a_normed_projection_has_columns_of_one_scale_over_the_batch() -> None:
    head, features = LinearHead(8, 5, projection=4, norm=True), 3 + 10 * torch.randn(64, 8)
    projected = head.projector(features)
    torch.testing.assert_close(projected.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(projected.std(0, correction=0), torch.ones(4), atol=1e-3, rtol=0)
    head.eval()
    torch.testing.assert_close(head(features[:1]).embeddings, head(features).embeddings[:1])  # alone as in a batch
    with pytest.raises(ConfigError, match=r"head\.norm=true is for a projection, .* set head\.projection=128"):
        LinearHead(8, 5, projection=None, norm=True)


def test_the_normalized_head_classifies_its_embeddings() -> None:
    head, features = NormalizedHead(8, 5), torch.randn(3, 8)
    output = head(features)
    assert torch.equal(output.logits, head.classifier(output.embeddings))
    assert torch.allclose(head(10 * features).logits, output.logits, atol=1e-6)


def test_the_cosine_head_compares_directions_alone() -> None:
    head, features = CosineHead(8, 5, scale=30.0), torch.randn(3, 8)
    cosines = torch.cosine_similarity(features.unsqueeze(1), head.classifier.weight.unsqueeze(0), dim=2)
    torch.testing.assert_close(head(10 * features).logits, 30 * cosines)
    assert torch.allclose(head(features).embeddings.norm(dim=1), torch.ones(3))


def test_a_frozen_projector_gets_no_gradient() -> None:
    model = FaceModel(timm_backbone("test_resnet"), LinearHead, classes=5)
    model.freeze_unread(logits=True, embeddings=False)
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == {
        f"head.projector.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    }


def test_cosines_times_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"head\.scale=0 tell no class from another; set head\.scale above 0"):
        CosineHead(8, 5, scale=0)


def test_an_unknown_name_lists_near_ones() -> None:
    with pytest.raises(ConfigError, match=r"no model 'resnet19'.*set backbone\.name"):
        timm_backbone("resnet19")


def test_an_unknown_tag_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no model 'resnet18\.bogus'; set backbone\.name .*resnet18\.a1_in1k"):
        timm_backbone("resnet18.bogus")


@pytest.mark.parametrize("name", ["resnet10t.c3_in1k", "lcnet_035", "mobilenetv3_small_050", "ghostnet_050"])
def test_networks_of_timm_say_how_wide_their_features_are(name: str) -> None:
    backbone = timm_backbone(name).eval()
    assert backbone(torch.zeros(1, 3, 48, 48)).shape == (1, backbone.num_features)


@pytest.mark.parametrize(("name", "own"), [("levit_128s", 224), ("vit_tiny_patch16_224", 224), ("inception_v3", 299)])
def test_faces_of_a_size_that_a_network_does_not_take_are_told_with_its_own(name: str, own: int) -> None:
    backbone = timm_backbone(name)
    with pytest.raises(ConfigError, match=rf"takes no faces of 48 px \(.*\); set image_size={own}"):
        require_size(backbone, 48)
    require_size(backbone, own)


def test_a_size_is_tried_without_a_trace() -> None:
    backbone = timm_backbone("test_resnet")
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    state = torch.get_rng_state()
    require_size(backbone, 24)
    assert backbone.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_small_network_says_how_wide_its_features_are() -> None:
    backbone = SmallConvNet(widths=(4, 6, 6, 8, 8, 10))
    assert backbone(torch.zeros(2, 3, 48, 48)).shape == (2, backbone.num_features) == (2, 10)
    assert [layer.stride[0] for layer in backbone if isinstance(layer, torch.nn.Conv2d)] == [2, 2, 1, 2, 1, 2]


def test_student_and_average_keep_the_layout_that_convolutions_are_fast_in() -> None:
    model = FaceModel(timm_backbone("test_resnet"), LinearHead, classes=5)
    teacher = Teacher(model)
    teacher.update(model)
    teacher.average.load_state_dict(model.state_dict())
    inputs: list[torch.Tensor] = []
    for network in (model, teacher.average):
        network.backbone.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        network(torch.randint(0, 256, (4, 1, 24, 24), dtype=torch.uint8))
        kernels = [layer.weight for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
        assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images in inputs)
    assert len(inputs) == 2
