"""Convolutions as matrix products are the convolutions."""

import copy

import pytest
import torch
from torch import Tensor, nn

from fer_ssl.nn.backbones import timm_backbone
from fer_ssl.nn.small_maps import MANY, SmallMapConv2d, dense_on_small_maps

GEOMETRIES = [  # size, kernel, stride, padding, bias
    ((2, 2), 3, 1, 1, False),
    ((3, 3), 3, 2, 1, True),
    ((2, 3), 3, 1, 1, True),
    ((1, 1), 3, 1, 1, False),
    ((4, 3), (5, 3), (2, 1), (2, 0), True),
    ((4, 4), 3, 1, 1, True),
    ((3, 3), 3, 1, 1, False),
]


def computed(conv: nn.Conv2d, images: Tensor) -> list[Tensor]:
    """Return the maps and the gradients of images and parameters for a fixed pull on the maps."""
    images = images.clone().requires_grad_()
    maps = conv(images)
    pull = torch.linspace(-1, 1, maps.numel(), dtype=maps.dtype).reshape(maps.shape)
    return [maps, *torch.autograd.grad(maps, [images, *conv.parameters()], pull)]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "bias"), GEOMETRIES)
def test_maps_and_gradients_are_those_of_the_convolution(size, kernel, stride, padding, bias, channels_last) -> None:
    conv = nn.Conv2d(5, 7, kernel, stride, padding, bias=bias).double()
    images = torch.randn(MANY, 5, *size, dtype=torch.float64)
    if channels_last:
        conv, images = (each.to(memory_format=torch.channels_last) for each in (conv, images))
    for ours, theirs in zip(computed(SmallMapConv2d.of(conv), images), computed(conv, images), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("count", "size", "stride", "small"),
    [(MANY, 2, 1, True), (MANY, 3, 2, True), (MANY, 3, 1, False), (MANY, 4, 2, False), (MANY - 1, 2, 1, False)],
)
def test_only_many_small_maps_are_a_product(
    count: int, size: int, stride: int, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    monkeypatch.setattr(SmallMapConv2d, "product", lambda self, images, before, after: taken.append(after))
    SmallMapConv2d(2, 2, 3, stride, 1)(torch.zeros(count, 2, size, size))
    assert taken == ([(2, 2)] if small else [])


def test_a_map_smaller_than_the_kernel_is_refused_as_ever() -> None:
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        SmallMapConv2d(1, 1, 3)(torch.zeros(MANY, 1, 2, 2))


def test_a_network_keeps_its_state_and_its_features() -> None:
    network = timm_backbone("resnet10t").eval()
    dense = dense_on_small_maps(copy.deepcopy(network))
    assert dense.state_dict().keys() == network.state_dict().keys()
    assert all(torch.equal(value, dense.state_dict()[key]) for key, value in network.state_dict().items())
    assert any(isinstance(module, SmallMapConv2d) for module in dense.modules())
    images = torch.randn(MANY, 3, 48, 48)
    torch.testing.assert_close(dense(images), network(images))


def test_nothing_is_drawn() -> None:
    network = timm_backbone("resnet10t")
    before = torch.get_rng_state()
    dense_on_small_maps(network)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 1),
    ],
)
def test_other_convolutions_stay(conv: nn.Conv2d) -> None:
    assert dense_on_small_maps(nn.Sequential(conv))[0] is conv


def test_autocast_computes_it_in_bf16() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert SmallMapConv2d(2, 2, 3, 1, 1)(torch.zeros(MANY, 2, 2, 2)).dtype is torch.bfloat16
