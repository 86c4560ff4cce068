import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from fer_ssl.views.tables import Tones, apply_tones, luma

BATCH = 6
NEUTRAL = Tones(
    autocontrast=torch.zeros(BATCH, dtype=torch.bool),
    equalize=torch.zeros(BATCH, dtype=torch.bool),
    contrast=torch.ones(BATCH),
    brightness=torch.ones(BATCH),
    solarize=torch.full((BATCH,), 256.0),
    posterize=torch.full((BATCH,), 8),
)
ON = torch.ones(BATCH, dtype=torch.bool)
FACTORS = torch.tensor([0.1, 0.5, 0.9, 1.0, 1.4, 1.9])
CASES = pytest.mark.parametrize(("channels", "side"), [(1, 48), (3, 48), (3, 112)])


def faces(channels: int, side: int) -> Tensor:
    """Return smooth images of different ranges; one has a flat channel."""
    coarse = torch.rand(BATCH, channels, 5, 5, generator=torch.Generator().manual_seed(side))
    smooth = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic").clamp(0, 1)
    low, span = torch.tensor([0, 30, 60, 10, 0, 100]), torch.tensor([255, 150, 100, 60, 200, 155])
    images = (low[:, None, None, None] + smooth * span[:, None, None, None]).to(torch.uint8)
    images[3, 0] = 77
    return images


def distance(found: Tensor, expected: list[Tensor]) -> int:
    return int((found.int() - torch.stack(expected).int()).abs().max())


@CASES
def test_neutral_tones_leave_the_image(channels: int, side: int) -> None:
    images = faces(channels, side)
    assert torch.equal(apply_tones(images, NEUTRAL), images.float())


@CASES
def test_equalize_is_that_of_torchvision(channels: int, side: int) -> None:
    images = faces(channels, side)
    found = apply_tones(images, NEUTRAL._replace(equalize=ON))
    assert distance(found, [v2.equalize(image) for image in images]) == 0


@CASES
def test_autocontrast_is_that_of_torchvision(channels: int, side: int) -> None:
    images = faces(channels, side)
    found = apply_tones(images, NEUTRAL._replace(autocontrast=ON))
    assert distance(found, [v2.autocontrast(image) for image in images]) <= 1
    assert found[0].amin() == 0
    assert found[0].amax() == 255


@CASES
def test_solarize_is_that_of_torchvision(channels: int, side: int) -> None:
    images, thresholds = faces(channels, side), torch.tensor([0.0, 60, 100.5, 128, 200, 255])
    found = apply_tones(images, NEUTRAL._replace(solarize=thresholds))
    assert distance(found, [v2.solarize(x, float(t)) for x, t in zip(images, thresholds, strict=True)]) == 0


@CASES
def test_posterize_is_that_of_torchvision(channels: int, side: int) -> None:
    images, bits = faces(channels, side), torch.tensor([1, 3, 4, 5, 7, 8])
    found = apply_tones(images, NEUTRAL._replace(posterize=bits))
    assert distance(found, [v2.posterize(x, int(b)) for x, b in zip(images, bits, strict=True)]) == 0


@CASES
def test_brightness_is_that_of_torchvision(channels: int, side: int) -> None:
    images = faces(channels, side)
    found = apply_tones(images, NEUTRAL._replace(brightness=FACTORS))
    expected = [v2.adjust_brightness(x, float(f)) for x, f in zip(images, FACTORS, strict=True)]
    assert distance(found, expected) <= 1


@CASES
def test_contrast_is_that_of_torchvision(channels: int, side: int) -> None:
    images = faces(channels, side)
    found = apply_tones(images, NEUTRAL._replace(contrast=FACTORS))
    expected = [v2.adjust_contrast(x, float(f)) for x, f in zip(images, FACTORS, strict=True)]
    assert distance(found, expected) <= 1


@CASES
@pytest.mark.parametrize("first", ["autocontrast", "equalize"])
def test_contrast_turns_about_the_mean_after_the_operation_before(channels: int, side: int, first: str) -> None:
    images, factors = faces(channels, side), FACTORS * 0.5
    found = apply_tones(images, NEUTRAL._replace(contrast=factors, **{first: ON}))
    spread = [getattr(v2, first)(image) for image in images]
    expected = [v2.adjust_contrast(x, float(f)) for x, f in zip(spread, factors, strict=True)]
    assert distance(found, expected) <= 2


@CASES
def test_equalize_does_not_mind_autocontrast(channels: int, side: int) -> None:
    images = faces(channels, side)
    both = apply_tones(images, NEUTRAL._replace(equalize=ON, autocontrast=ON))
    assert distance(both, [v2.equalize(v2.autocontrast(image)) for image in images]) <= 1


def test_an_image_too_flat_to_equalize_keeps_its_autocontrast() -> None:
    images = torch.full((BATCH, 1, 48, 48), 90, dtype=torch.uint8)
    images[:, :, 0, 0] = 80
    both = apply_tones(images, NEUTRAL._replace(equalize=ON, autocontrast=ON))
    assert torch.equal(both, apply_tones(images, NEUTRAL._replace(autocontrast=ON)))
    assert both.unique().tolist() == [0, 255]


def test_operations_compose_in_their_order() -> None:
    images, bits = faces(3, 48), torch.tensor([4, 5, 6, 7, 4, 5])
    tones = NEUTRAL._replace(brightness=FACTORS, solarize=torch.full((BATCH,), 128.0), posterize=bits)
    expected = [
        v2.posterize(v2.solarize(v2.adjust_brightness(x, float(f)), 128), int(b))
        for x, f, b in zip(images, FACTORS, bits, strict=True)
    ]
    agree = apply_tones(images, tones) == torch.stack(expected)
    assert agree.float().mean() > 0.99


def test_each_sample_has_tones_of_its_own() -> None:
    images = faces(3, 48)
    only = torch.arange(BATCH) == 2
    views = apply_tones(images, NEUTRAL._replace(equalize=only, solarize=torch.where(only, 0.0, 256.0)))
    assert (views != images).flatten(1).any(1).tolist() == only.tolist()


def test_luma_is_the_weighted_mean_and_grey_itself() -> None:
    colours = torch.tensor([[[100.0], [50.0], [200.0]]])
    torch.testing.assert_close(luma(colours), torch.tensor([[[0.299 * 100 + 0.587 * 50 + 0.114 * 200]]]))
    assert torch.equal(luma(colours[:, :1]), colours[:, :1])
