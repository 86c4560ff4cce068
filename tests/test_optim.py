"""What is decayed, and how fast the run learns when."""

import math
from pathlib import Path

import pytest
import torch
from golden_arrays import golden
from running import composed, trained
from torch import nn

from fer_ssl.optim import build_optimizer, constant, cosine, decay_groups
from fer_ssl.parts import make


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
    assert rates(cosine, 100) == pytest.approx(golden("usb_cosine")["warmup0"][:100].tolist())


def test_warm_up_is_linear_and_reaches_the_full_rate() -> None:
    for schedule in (cosine, constant):
        seen = rates(schedule, 10, warmup_steps=4)
        assert seen[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_half_a_cycle_ends_near_zero() -> None:
    assert rates(cosine, 100, cycles=0.5)[-1] < 0.02


@pytest.mark.parametrize("choice", ["sgd", "adam", "adamw"])
def test_the_fused_step_is_the_plain_one(choice: str) -> None:
    optim = composed(f"optim={choice}").optim
    weights = []
    for fused in (optim.optimizer.fused, False):
        torch.manual_seed(0)
        model = nn.Linear(5, 3)
        optimizer = build_optimizer(model, make(optim.optimizer, fused=fused), optim.weight_decay)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(2, 5)).square().sum().backward()
            optimizer.step()
        weights.append(model.weight)
    torch.testing.assert_close(*weights)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_of_a_fused_optimizer_are_clipped(precision: str, tmp_path: Path) -> None:
    rate, clip = 0.1, 0.01
    options = ("optim=sgd", "optim.weight_decay=0", "schedule=constant", "trainer.max_steps=1")
    options = (*options, f"trainer.gradient_clip_val={clip}", f"trainer.precision={precision}")
    still, moved = (weights_after(tmp_path / f"{lr}", *options, f"optim.lr={lr}") for lr in (0.0, rate))
    nesterov = 1.9  # its first step is 1 + momentum of the gradient
    assert torch.linalg.vector_norm(moved - still) == pytest.approx(nesterov * rate * clip, rel=0.01)


def weights_after(run_dir: Path, *overrides: str) -> torch.Tensor:
    trained(run_dir, *overrides)
    state = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return torch.cat([value.flatten() for name, value in state.items() if name.startswith("model.")])
