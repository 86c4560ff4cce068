"""Per-sample affine maps from a view's pixels back to the face, in the coordinates of `grid_sample`: [-1, 1]."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from fer_ssl.views.weak import Crop

Interpolation = Literal["nearest", "bilinear"]


class Warp(NamedTuple):
    """How far each view is bent, float [B] each; zero everywhere, and `zoom` one, is the face itself."""

    angle: Tensor  # radians
    shear_x: Tensor  # columns per row
    shear_y: Tensor  # rows per column
    zoom: Tensor  # above one enlarges the face
    shift_x: Tensor  # fractions of the side
    shift_y: Tensor


def warp_matrix(warp: Warp) -> Tensor:
    """Return the maps [B, 2, 3] from view to face: shift, then shear, then rotate about the centre and zoom."""
    cos, sin = warp.angle.cos() / warp.zoom, warp.angle.sin() / warp.zoom
    corner = 1 + warp.shear_x * warp.shear_y
    xx, xy = cos * corner - sin * warp.shear_y, cos * warp.shear_x - sin
    yx, yy = sin * corner + cos * warp.shear_y, sin * warp.shear_x + cos
    shift_x, shift_y = 2 * warp.shift_x, 2 * warp.shift_y
    across = torch.stack((xx, xy, xx * shift_x + xy * shift_y), 1)
    down = torch.stack((yx, yy, yx * shift_x + yy * shift_y), 1)
    return torch.stack((across, down), 1)


def crop_after(matrix: Tensor, crop: Crop, side: int) -> Tensor:
    """Return the maps [B, 2, 3] that read through `matrix` a face first cropped by `crop` from `side` pixels.

    The face keeps its pixels beyond the crop's edge: a warp may bring them back into sight.
    """
    offset = torch.stack((crop.dx, crop.dy), 1) * (2 / side)
    moved = torch.cat((matrix[:, :, :2], (matrix[:, :, 2] + offset)[:, :, None]), 2)
    mirror = torch.stack((1 - 2 * crop.flip.float(), torch.ones_like(crop.flip, dtype=torch.float)), 1)
    return moved * mirror[:, :, None]


def sample(images: Tensor, matrix: Tensor, interpolation: Interpolation) -> Tensor:
    """Read float `images` [B, C, S, S] through `matrix` [B, 2, 3]; outside the face is black."""
    side = images.shape[-1]
    centres = (2 * torch.arange(side, device=images.device) + 1 - side) / side
    across = centres[:, None] * matrix[:, None, :, 0] + matrix[:, None, :, 2]
    down = centres[:, None] * matrix[:, None, :, 1]
    # Points are complex numbers: adding pairs of floats is 5 times slower, and a matmul loses bits under autocast.
    points = torch.view_as_complex(across)[:, None, :] + torch.view_as_complex(down)[:, :, None]
    grid = torch.view_as_real(points)
    return functional.grid_sample(images, grid, mode=interpolation, padding_mode="zeros", align_corners=False)
