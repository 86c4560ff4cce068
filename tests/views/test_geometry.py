import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from fer_ssl.views.geometry import Interpolation, Warp, crop_after, sample, warp_matrix
from fer_ssl.views.weak import Crop, crop_faces

FRACTION = st.floats(-0.5, 0.5, width=32)


def faces(batch: int, side: int) -> Tensor:
    return torch.randint(0, 256, (batch, 3, side, side), generator=torch.Generator().manual_seed(0)).float()


def composed(angle: float, shear_x: float, shear_y: float, zoom: float, shift_x: float, shift_y: float) -> Tensor:
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    along_x = torch.tensor([[1, shear_x, 0], [0, 1, 0], [0, 0, 1]])
    along_y = torch.tensor([[1.0, 0, 0], [shear_y, 1, 0], [0, 0, 1]])
    shift = torch.tensor([[1.0, 0, 2 * shift_x], [0, 1, 2 * shift_y], [0, 0, 1]])
    size = torch.diag(torch.tensor([1 / zoom, 1 / zoom, 1]))
    return size @ rotation @ along_x @ along_y @ shift


@given(
    draws=st.lists(
        st.tuples(FRACTION, FRACTION, FRACTION, st.floats(0.5, 2, width=32), FRACTION, FRACTION), min_size=1, max_size=4
    )
)
@settings(max_examples=25, deadline=None)
def test_the_matrix_is_the_product_of_its_maps(draws: list[tuple[float, ...]]) -> None:
    found = warp_matrix(Warp(*torch.tensor(draws).unbind(1)))
    expected = torch.stack([composed(*draw)[:2] for draw in draws])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@given(
    draws=st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=4),
    side=st.integers(4, 20),
)
@settings(max_examples=25, deadline=None)
def test_a_crop_through_the_identity_is_the_exact_crop(draws: list[tuple[bool, int, int]], side: int) -> None:
    crop = Crop(*(torch.tensor(column) for column in zip(*draws, strict=True)))
    images = faces(len(draws), side)
    matrix = crop_after(torch.eye(3)[:2].expand(len(draws), 2, 3), crop, side)
    exact = crop_faces(images.to(torch.uint8), crop, padding=3)
    assert torch.equal(sample(images, matrix, "nearest"), exact.float())
    assert torch.equal(sample(images, matrix, "bilinear").add(0.5).to(torch.uint8), exact)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("side", [48, 112])
def test_sampling_is_an_affine_grid_per_sample(side: int, interpolation: Interpolation) -> None:
    images = faces(6, side)
    matrix = torch.eye(3)[:2] + 0.3 * torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(1))
    expected = [
        grid_sample(image[None], affine_grid(rows[None], [1, 3, side, side], align_corners=False),
                    mode=interpolation, align_corners=False)
        for image, rows in zip(images, matrix, strict=True)
    ]  # fmt: skip
    found = sample(images, matrix, interpolation)
    close = (found - torch.cat(expected)).abs() < 0.05
    assert close.float().mean() > (0.999 if interpolation == "nearest" else 0.99999)


def test_a_warp_brings_back_what_the_crop_left_out() -> None:
    images = faces(1, 16)
    crop = Crop(torch.tensor([False]), torch.tensor([4]), torch.tensor([0]))
    zero, one = torch.zeros(1), torch.ones(1)
    back = warp_matrix(Warp(zero, zero, zero, one, torch.tensor([-4 / 16]), zero))
    assert torch.equal(sample(images, crop_after(back, crop, 16), "nearest"), images)
