"""What is decayed, and how fast the run learns when."""

import math

import pytest
import torch
from torch import nn

from fer_ssl.optim import constant, cosine, decay_groups


def rates(schedule: object, steps: int, **options: float) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = schedule(optimizer, steps=steps, **options)  # type: ignore[operator]
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_only_matrices_and_kernels_decay() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    frozen = model[3].bias.requires_grad_(False)
    decayed, plain = decay_groups(model, 0.1)
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert [p.ndim for p in plain["params"]] == [1, 1, 1]
    assert all(p is not frozen for p in plain["params"])
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)


def test_cosine_follows_fixmatch() -> None:
    seen = rates(cosine, 16)
    assert seen == pytest.approx([math.cos(7 * math.pi * k / (16 * 16)) for k in range(16)])


def test_warm_up_is_linear_and_reaches_the_full_rate() -> None:
    for schedule in (cosine, constant):
        seen = rates(schedule, 10, warmup_steps=4)
        assert seen[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_half_a_cycle_ends_near_zero() -> None:
    assert rates(cosine, 100, cycles=0.5)[-1] < 0.02
