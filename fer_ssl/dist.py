"""Collectives over all ranks; in a single process they change nothing."""

from collections.abc import Sequence

import torch
import torch.distributed as collectives
from torch import Tensor
from torch.autograd.function import FunctionCtx


def _running() -> bool:
    return collectives.is_available() and collectives.is_initialized()


def world_size() -> int:
    """Return how many processes train together."""
    return collectives.get_world_size() if _running() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return collectives.get_rank() if _running() else 0


@torch.no_grad()
def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Return the sum of `tensor` over all ranks, of the same shape and without gradient."""
    if world_size() == 1:
        return tensor.detach()
    total = tensor.detach().clone()
    collectives.all_reduce(total)
    return total


@torch.no_grad()
def average_(tensors: Sequence[Tensor]) -> None:
    """Set each of `tensors`, of one dtype, to its mean over all ranks, in one collective."""
    if world_size() == 1 or not tensors:
        return
    means = all_reduce_sum(torch.cat([tensor.flatten() for tensor in tensors])) / world_size()
    for tensor, mean in zip(tensors, means.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


@torch.no_grad()
def gather(tensor: Tensor) -> Tensor:
    """Return the `tensor` [B, ...] of every rank as [world * B, ...] in rank order, without gradient.

    B is the same on all ranks.
    """
    if world_size() == 1:
        return tensor.detach()
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world_size())]
    collectives.all_gather(parts, tensor.detach().contiguous())
    return torch.cat(parts)


def gather_with_grad(tensor: Tensor) -> Tensor:
    """Return the `tensor` [B, ...] of every rank as [world * B, ...] in rank order, with gradient.

    The gradient that arrives at `tensor` is that of the losses summed over ranks, so every rank must run backward.
    """
    if world_size() == 1:
        return tensor
    gathered: Tensor = _Gather.apply(tensor)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, tensor: Tensor) -> Tensor:
        return gather(tensor)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        return all_reduce_sum(gradients[0]).chunk(world_size())[rank()]
