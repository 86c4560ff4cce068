"""The exponential moving average of a network's weights."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from fer_ssl.nn.sharding import own_shard

Buffers = Literal["average", "copy"]


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float, buffers: Buffers) -> None:
    """Set `average` to decay * average + (1 - decay) * model, for networks of the same structure.

    `buffers` says whether floating-point buffers (batch-norm statistics) are averaged too or copied; integer buffers
    are always copied.
    """
    floating = _pairs(average.parameters(), model.parameters())
    copied: list[tuple[Tensor, Tensor]] = []
    for pair in _pairs(average.buffers(), model.buffers()):
        averaged = buffers == "average" and pair[0].is_floating_point()
        (floating if averaged else copied).append(pair)
    if floating:
        torch._foreach_lerp_(*_columns(floating), 1 - decay)
    if copied:
        torch._foreach_copy_(*_columns(copied))


def _pairs(average: Iterable[Tensor], model: Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return [(own_shard(ours), own_shard(theirs)) for ours, theirs in zip(average, model, strict=True)]


def _columns(pairs: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]
