import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from fer_ssl.views.filters import cut_out_, draw_hole, saturate_, sharpen_

FACTORS = torch.tensor([0.1, 0.5, 1.0, 1.9])


def faces(channels: int = 3, side: int = 48) -> Tensor:
    drawn = torch.randint(0, 256, (4, channels, side, side), generator=torch.Generator().manual_seed(0))
    return drawn.to(torch.uint8)


def distance(found: Tensor, expected: list[Tensor]) -> float:
    return float((found - torch.stack(expected).float()).abs().max())


@pytest.mark.parametrize("side", [48, 112])
def test_saturation_is_that_of_torchvision(side: int) -> None:
    images = faces(side=side)
    expected = [v2.adjust_saturation(x, float(f)) for x, f in zip(images, FACTORS, strict=True)]
    assert distance(saturate_(images.float(), FACTORS), expected) < 2


@pytest.mark.parametrize(("channels", "side"), [(1, 48), (3, 112)])
def test_sharpness_is_that_of_torchvision(channels: int, side: int) -> None:
    images = faces(channels, side)
    expected = [v2.adjust_sharpness(x, float(f)) for x, f in zip(images, FACTORS, strict=True)]
    assert distance(sharpen_(images.float(), FACTORS), expected) < 2


@pytest.mark.parametrize("change", [saturate_, sharpen_])
def test_a_factor_of_one_changes_nothing(change: object) -> None:
    assert callable(change)
    images = faces().float()
    found = change(images.clone(), FACTORS)
    assert (found != images).flatten(1).any(1).tolist() == [True, True, False, True]
    assert found.min() >= 0
    assert found.max() <= 255


def test_saturation_leaves_grey() -> None:
    images = faces(channels=1).float()
    assert torch.equal(saturate_(images.clone(), FACTORS), images)


def test_cutout_fills_each_square_and_nothing_else() -> None:
    images = faces(side=10).clamp(max=100)
    holes = [(2, 3, 4), (-2, 8, 5), (0, 0, 0), (9, 9, 1)]
    expected = images.clone()
    for image, (left, top, width) in zip(expected, holes, strict=True):
        for y in range(max(top, 0), min(top + width, 10)):
            for x in range(max(left, 0), min(left + width, 10)):
                image[:, y, x] = 127
    assert torch.equal(cut_out_(images, torch.tensor(holes), 127), expected)


def test_squares_have_every_size_and_every_centre() -> None:
    uniform = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0))
    left, top, width = draw_hole(uniform, side=12, largest=6).unbind(1)
    assert set(width.tolist()) == set(range(7))
    for corner in (left, top):
        centre = corner + width // 2
        counts = torch.bincount(centre, minlength=12)
        assert len(counts) == 12
        assert (counts / len(uniform) - 1 / 12).abs().max() < 0.01
