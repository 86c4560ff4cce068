"""Pointwise colour operations composed into one table of 256 grey levels per sample and channel."""

from typing import NamedTuple

import torch
from torch import Tensor

from fer_ssl.views.rows import active_rows

LEVELS = 256
WHITE = LEVELS - 1


class Tones(NamedTuple):
    """What each sample's table does, [B] each; applied in this order."""

    autocontrast: Tensor  # bool
    equalize: Tensor  # bool
    contrast: Tensor  # float, factor about the mean luma; 1 is neutral
    brightness: Tensor  # float, factor; 1 is neutral
    solarize: Tensor  # float, levels from here on are inverted; 256 is neutral
    posterize: Tensor  # int64, bits kept; 8 is neutral


def luma(colours: Tensor) -> Tensor:
    """Return the luma [B, 1, ...] of `colours` [B, 1 or 3, ...] (ITU-R BT.601 weights)."""
    if colours.shape[1] == 1:
        return colours
    red, green, blue = colours[:, 0:1], colours[:, 1:2], colours[:, 2:3]
    return red * 0.299 + green * 0.587 + blue * 0.114


def stretch(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Map float `values` [B, C, N] so that `low` [B, C, 1] becomes 0 and `high` 255; flat channels stay as they are."""
    flat = low == high
    return (values - low.where(~flat, 0)) * WHITE / torch.where(flat, WHITE, high - low)


def histogram(pixels: Tensor) -> Tensor:
    """Count the levels of int64 `pixels` [B, C, N] as int64 [B, C, 256]."""
    counts = torch.zeros(*pixels.shape[:2], LEVELS, dtype=torch.long, device=pixels.device)
    return counts.scatter_add_(2, pixels, torch.ones_like(pixels))


def equalize_table(counts: Tensor, otherwise: Tensor) -> Tensor:
    """Return float [B, C, 256] that spreads a channel with `counts` int64 [B, C, 256] evenly over the levels.

    A level goes to the number of darker pixels over a 255th of the pixels that are not of the brightest level. Where
    too few are for that, the table is `otherwise` [B, C, 256].
    """
    seen = counts.cumsum(2)
    pixels = seen[:, :, -1:]
    brightest = torch.where(seen == pixels, counts, 0).amax(2, keepdim=True)
    step = (pixels - brightest) // WHITE
    spread = (seen - counts + step // 2) // step.clamp(min=1)
    return torch.where(step > 0, spread.clamp(max=WHITE).float(), otherwise)


def tone_table(images: Tensor, pixels: Tensor, tones: Tones) -> Tensor:
    """Return float [B, C, 256] of whole levels: what `tones` make of each level of `images` [B, C, S, S].

    `pixels` int64 [B, C, S * S] are the same images. Statistics are those of the image after the operations before, as
    if each operation had been a pass of its own.
    """
    table, mean = _spread(images, pixels, tones)
    contrast, brightness, solarize = (x[:, None, None] for x in (tones.contrast, tones.brightness, tones.solarize))
    table = (table * contrast).add_(luma(mean) * (1 - contrast)).clamp_(0, WHITE)
    table = table.mul_(brightness).clamp_(0, WHITE).floor_()
    table = torch.where(table >= solarize, WHITE - table, table)
    coarse = torch.exp2(8.0 - tones.posterize)[:, None, None]
    return table.div_(coarse).floor_().mul_(coarse)


def apply_tones(images: Tensor, tones: Tones) -> Tensor:
    """Apply `tones` to uint8 `images` [B, C, S, S]; return float whole levels of the same shape."""
    pixels = images.flatten(2).long()
    return tone_table(images, pixels, tones).gather(2, pixels).view(images.shape)


def _spread(images: Tensor, pixels: Tensor, tones: Tones) -> tuple[Tensor, Tensor]:
    """Return the tables [B, C, 256] of autocontrast and equalize with the means [B, C, 1] of the result.

    A monotone stretch before does not change what equalize makes of an image, so its table comes from the image.
    """
    count = pixels.shape[2]
    low, high = (end(images.flatten(2), 2, keepdim=True).float() for end in (torch.amin, torch.amax))
    mean, on = pixels.sum(2, keepdim=True) / count, tones.autocontrast[:, None, None]
    levels = torch.arange(LEVELS, dtype=torch.float, device=images.device)
    table = torch.where(on, stretch(levels, low, high).clamp_(0, WHITE).floor_(), levels)
    mean = torch.where(on, stretch(mean, low, high), mean)
    rows = active_rows(tones.equalize)
    counts, on = histogram(pixels[rows]), tones.equalize[rows][:, None, None]
    spread = equalize_table(counts, otherwise=table[rows])
    table[rows] = torch.where(on, spread, table[rows])
    mean[rows] = torch.where(on, (counts * spread).sum(2, keepdim=True) / count, mean[rows])
    return table, mean
