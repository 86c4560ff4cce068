"""Random draws that belong to rows of the global batch, whichever process holds them."""

import torch
from torch import Tensor

from fer_ssl.errors import DataError

CACHED_VALUES = 2**19  # measured: smaller pieces pay more calls, larger ones wait for memory


def uniforms(columns: int, images: Tensor, generator: torch.Generator, first: int, total: int | None) -> Tensor:
    """Draw float32 [B, columns] in [0, 1) for the B `images`, on their device.

    `generator` lives on the CPU. `images` are rows [first, first + B) of a batch of `total`: all `total` rows are
    drawn, so ranks that hold slices see what one process with the whole batch sees. Raises ValueError when the slice
    exceeds `total`.
    """
    last = first + len(images)
    total = last if total is None else total
    if first < 0 or last > total:
        raise ValueError(f"rows [{first}, {last}) are not in a batch of {total}")
    # from pageable memory the copy would wait for the device
    drawn = torch.rand(total, columns, generator=generator, pin_memory=images.is_cuda)[first:last]
    return drawn.to(images.device, non_blocking=True)


def integers(uniform: Tensor, low: int, high: int) -> Tensor:
    """Map `uniform` in [0, 1) to int64 in [low, high], each as likely."""
    return (uniform * (high - low + 1)).long().clamp(max=high - low) + low


def side_of(images: Tensor) -> int:
    """Return the side of square uint8 faces [B, 1 or 3, side, side]; raise DataError for anything else."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"views need uint8 images [B, 1 or 3, side, side] but got {images.dtype} {list(images.shape)}; "
            "load them through a fer_ssl source, which decodes to squares of image_size"
        )
    if images.shape[2] != images.shape[3]:
        raise DataError(
            f"views need square faces but got {images.shape[2]}x{images.shape[3]}; "
            "load them through a fer_ssl source, which decodes to squares of image_size"
        )
    return images.shape[3]


def piece_size(images: Tensor) -> int:
    """Return how many of `images` [B, C, S, S] to view at once: all, or on a CPU as many as its cache holds."""
    if images.device.type != "cpu" or torch.compiler.is_compiling():
        return max(1, len(images))
    return max(1, CACHED_VALUES // images.shape[1:].numel())


def active_rows(active: Tensor) -> Tensor | slice:
    """Return the rows [R] where `active` [B] holds, or all rows where a data-dependent shape would cost more.

    Selecting saves time on a CPU. On an accelerator it would wait for the device, and a compiled graph would break:
    there every row is computed, and those that are not active get a neutral coefficient.
    """
    if active.device.type == "cpu" and not torch.compiler.is_compiling():
        return active.nonzero().squeeze(1)
    return slice(None)
