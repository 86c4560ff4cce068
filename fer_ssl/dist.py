"""Collectives over all ranks; in a single process they change nothing."""

from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.distributed as collectives
from torch import Tensor
from torch.autograd.function import FunctionCtx

Item = TypeVar("Item")


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


def gather_objects(item: Item) -> list[Item]:
    """Return the picklable `item` of every rank, in their order."""
    items = [item] * world_size()
    if world_size() > 1:
        collectives.all_gather_object(items, item)
    return items


def any_rank(holds: bool, device: torch.device) -> bool:
    """Say whether something holds on any rank; all ranks get the same answer."""
    return holds if world_size() == 1 else bool(all_reduce_sum(torch.tensor(int(holds), device=device)) > 0)


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


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states uint8 [world, bytes] of PyTorch's generators on all ranks: the CPU's and that of a GPU."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return {name: gather(state.to(device).unsqueeze(0)).cpu() for name, state in states.items()}


def set_random_state(states: dict[str, Tensor], device: torch.device) -> None:
    """Go on from this rank's row of `random_states`; more ranks than were saved share rows, as a new run's do."""
    # copies: torch reads the state of a view from past its end
    own = {name: rows[rank() % len(rows)].clone() for name, rows in states.items()}
    torch.set_rng_state(own["cpu"])
    if device.type == "cuda" and "cuda" in own:
        torch.cuda.set_rng_state(own["cuda"], device)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, tensor: Tensor) -> Tensor:
        return gather(tensor)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        return all_reduce_sum(gradients[0]).chunk(world_size())[rank()]
