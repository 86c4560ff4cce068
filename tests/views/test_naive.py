"""The strong view of a batch is what one pass per operation makes of each face by itself."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample
from torchvision.transforms.v2 import functional as v2

from fer_ssl.views import StrongView
from fer_ssl.views.rows import uniforms
from fer_ssl.views.strong import RANDAUGMENT, Operations, StrongPlan, draw_operations, to_levels
from fer_ssl.views.weak import CROP_COLUMNS, Crop, draw_crop

FACES = 48


def faces(channels: int, side: int) -> Tensor:
    coarse = torch.rand(FACES, channels, 6, 6, generator=torch.Generator().manual_seed(3))
    smooth = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic")
    return (smooth * 255).clamp(0, 255).to(torch.uint8)


def drawn(view: StrongView, images: Tensor, seed: int) -> tuple[Operations, Crop]:
    """Return which operations and crops the view draws from a generator of this seed."""
    columns = (CROP_COLUMNS, 3, 2 * len(view.operations))
    uniform = uniforms(sum(columns), images, torch.Generator().manual_seed(seed), first=0, total=None)
    crop, _, picks = uniform.split(columns, 1)
    padding = round(view.padding * images.shape[-1])
    return draw_operations(picks, view.operations, view.ops), draw_crop(crop, padding, view.flip)


def coloured(face: Tensor, plan: StrongPlan, row: int, operations: Operations) -> Tensor:
    """Apply the colour operations that this face drew, one pass after the other."""
    tones = plan.tones
    passes = {
        "autocontrast": lambda x: v2.autocontrast(x),
        "equalize": lambda x: v2.equalize(x),
        "contrast": lambda x: v2.adjust_contrast(x, float(tones.contrast[row])),
        "brightness": lambda x: v2.adjust_brightness(x, float(tones.brightness[row])),
        "solarize": lambda x: v2.solarize(x, math.ceil(float(tones.solarize[row]))),
        "posterize": lambda x: v2.posterize(x, int(tones.posterize[row])),
        "saturation": lambda x: v2.adjust_saturation(x, float(plan.saturation[row])) if len(x) == 3 else x,
        "sharpness": lambda x: v2.adjust_sharpness(x, float(plan.sharpness[row])),
    }
    for name, change in passes.items():
        if operations.on(name)[row]:
            face = change(face)
    return face


def warped(face: Tensor, row: int, operations: Operations, crop: Crop, view: StrongView) -> Tensor:
    """Mirror and crop one face, then warp it by the product of the maps that it drew."""
    side = face.shape[-1]
    amount = {name: float(operations.signed(name)[row]) for name in RANDAUGMENT}
    angle = amount["rotate"] * math.radians(view.rotate)
    maps = [
        [[1 - 2 * float(crop.flip[row]), 0, 0], [0, 1, 0]],
        [[1, 0, 2 * float(crop.dx[row]) / side], [0, 1, 2 * float(crop.dy[row]) / side]],
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]],
        [[1, amount["shear_x"] * view.shear, 0], [0, 1, 0]],
        [[1, 0, 0], [amount["shear_y"] * view.shear, 1, 0]],
        [[1, 0, 2 * amount["translate_x"] * view.translate], [0, 1, 2 * amount["translate_y"] * view.translate]],
    ]
    product = torch.eye(3)
    for each in maps:
        product = product @ torch.tensor([*each, [0, 0, 1.0]])
    grid = affine_grid(product[None, :2], [1, len(face), side, side], align_corners=False)
    return to_levels(grid_sample(face[None].float(), grid, align_corners=False))[0]


@pytest.mark.parametrize(("channels", "side"), [(1, 48), (3, 48), (3, 112)])
def test_a_batch_of_views_is_each_face_by_itself(channels: int, side: int) -> None:
    images, view = faces(channels, side), StrongView()
    plan = view.draw(images, torch.Generator().manual_seed(5))
    operations, crop = drawn(view, images, seed=5)
    found = view(images, torch.Generator().manual_seed(5)).int()
    for row, face in enumerate(images):
        expected = warped(coloured(face, plan, row, operations), row, operations, crop, view)
        left, top, width = plan.hole[row].tolist()
        expected[:, max(top, 0) : max(top + width, 0), max(left, 0) : max(left + width, 0)] = view.fill
        apart = (found[row] - expected.int()).abs()
        assert (apart > 3).float().mean() < 0.02, [name for name in RANDAUGMENT if operations.on(name)[row]]
        assert apart.float().mean() < 1.5  # torchvision rounds after every pass


@pytest.mark.parametrize("name", RANDAUGMENT)
def test_the_magnitude_of_every_operation_is_uniform(name: str) -> None:
    uniform = torch.rand(40_000, 2 * len(RANDAUGMENT), generator=torch.Generator().manual_seed(0))
    operations = draw_operations(uniform, RANDAUGMENT, ops=3)
    drawn_levels = operations.fraction(name, neutral=torch.nan)[operations.on(name)].sort().values
    expected = (torch.arange(len(drawn_levels)) + 0.5) / len(drawn_levels)
    assert (drawn_levels - expected).abs().max() < 1.95 / len(drawn_levels) ** 0.5  # Kolmogorov-Smirnov, 0.1 %


def test_rounding_to_levels_is_that_of_the_plain_conversion() -> None:
    values = torch.cat([torch.arange(0, 256).float(), torch.rand(5000) * 255])
    assert torch.equal(to_levels(values.clone()), values.add(0.5).to(torch.uint8))
