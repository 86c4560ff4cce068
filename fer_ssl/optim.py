"""Parameter groups and learning-rate schedules."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return optimizer groups in which biases and normalisation weights are not decayed."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def build_optimizer(
    model: nn.Module, optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer], weight_decay: float
) -> Optimizer:
    """Return the optimizer over `model`'s groups."""
    built = optimizer(decay_groups(model, weight_decay))
    # A fused one offers to unscale gradients inside its step; Lightning then refuses to clip them, scaled or not.
    built._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    if any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        _set_fused(built, [False] * len(built.param_groups))  # torch has no fused SGD for sharded weights
    fused = [group.get("fused") for group in built.param_groups]
    built.register_load_state_dict_post_hook(partial(_adopt, fused=fused))
    return built


def _adopt(optimizer: Optimizer, fused: list[bool | None]) -> None:
    """Step as this run does with a state of another, laid out as its own weights: fused steps take that for granted."""
    _set_fused(optimizer, fused)
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _set_fused(optimizer: Optimizer, fused: list[bool | None]) -> None:
    for group, own in zip(optimizer.param_groups, fused, strict=True):
        group["fused"] = own


def cosine(optimizer: Optimizer, steps: int, warmup_steps: int = 0, cycles: float = 7 / 16) -> LambdaLR:
    """Return linear warm-up, then cos(pi cycles k / K): FixMatch ends at 7/16, 1/2 ends at zero."""

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        return max(0.0, math.cos(math.pi * cycles * (step - warmup_steps) / max(steps - warmup_steps, 1)))

    return LambdaLR(optimizer, factor)


def constant(optimizer: Optimizer, steps: int, warmup_steps: int = 0) -> LambdaLR:
    """Return linear warm-up, then a constant learning rate."""
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / (warmup_steps + 1)))
