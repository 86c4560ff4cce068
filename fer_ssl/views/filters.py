"""The colour operations that look beyond one level of one channel, and the cutout."""

import torch
from torch import Tensor

from fer_ssl.views.rows import active_rows, integers
from fer_ssl.views.tables import WHITE, luma

HOLE_COLUMNS = 3


def draw_hole(uniform: Tensor, side: int, largest: int) -> Tensor:
    """Turn `uniform` [B, HOLE_COLUMNS] into squares int64 [B, 3]: left, top and width in pixels.

    A square is up to `largest` wide and centred on any of `side` pixels, so it may reach beyond the image.
    """
    width = integers(uniform[:, :1], 0, largest)
    corner = integers(uniform[:, 1:], 0, side - 1) - width // 2
    return torch.cat((corner, width), 1)


def cut_out_(images: Tensor, hole: Tensor, fill: int) -> Tensor:
    """Fill the square `hole` [B, 3] of uint8 `images` [B, C, S, S] with the grey level `fill`, in place."""
    left, top, width = hole.unsqueeze(2).unbind(1)
    pixels = torch.arange(images.shape[-1], device=images.device)
    columns, rows = (((pixels >= start) & (pixels < start + width)).to(torch.uint8) for start in (left, top))
    inside = rows[:, None, :, None] * columns[:, None, None, :]
    return images.mul_(1 - inside).add_(inside * fill)


def saturate_(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance of float `images` [B, C, S, S] from their luma by `factor` [B], in place."""
    if images.shape[1] == 1:
        return images
    rows = active_rows(factor != 1)
    faces, scale = images[rows], factor[rows][:, None, None, None]
    grey = luma(faces) * (1 - scale)
    images[rows] = faces.mul_(scale).add_(grey).clamp_(0, WHITE)
    return images


def sharpen_(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance of float `images` [B, C, S, S] from their smoothed self by `factor` [B], in place.

    Smoothing is a 3x3 mean that counts the centre five times; the outermost pixels stay as they are.
    """
    rows = active_rows(factor != 1)
    faces, gain = images[rows], ((factor[rows] - 1) / 13)[:, None, None, None]
    lines = faces[..., :-2, :] + faces[..., 1:-1, :] + faces[..., 2:, :]
    square = lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:]
    centre = faces[..., 1:-1, 1:-1]
    centre.add_(torch.sub(9 * centre, square).mul_(gain))
    images[rows] = faces.clamp_(0, WHITE)
    return images
