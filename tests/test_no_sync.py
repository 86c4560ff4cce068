"""A training step never waits for the device: nothing is read on the host, no shape depends on data."""

from typing import Any

import pytest
import torch
from running import TINY, composed
from test_conf import EXPERIMENTS
from torch.utils._python_dispatch import TorchDispatchMode

from fer_ssl.build import build_module
from fer_ssl.types import Batch, LabelSpace

WAITING = {
    "_local_scalar_dense", "nonzero", "nonzero_numpy", "masked_select", "unique_consecutive", "_unique2", "unique_dim",
    "is_nonzero", "equal", "bincount", "repeat_interleave",
}  # fmt: skip
SPACE = LabelSpace("seven", tuple("abcdefg"))


class NoSync(TorchDispatchMode):
    """Fails on an operation that makes the host wait for a device, or whose result's shape depends on values."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in WAITING or (name == "index" and _by_mask(args[1])):
            raise AssertionError(f"{func} makes the host wait")
        return func(*args, **(kwargs or {}))


def _by_mask(indices: Any) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


@pytest.fixture(autouse=True)
def as_on_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let views compute every row, as they do where selecting rows would wait for the device."""
    for module in ("tables", "filters"):
        monkeypatch.setattr(f"fer_ssl.views.{module}.active_rows", lambda active: slice(None))


class Standing:
    """What a step asks of the trainer."""

    world_size = 1
    global_rank = 0
    global_step = 3


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    faces = torch.randint(0, 256, (16, 3, 24, 24), dtype=torch.uint8, generator=generator)
    return Batch(
        labeled=faces[:8], labels=torch.arange(8) % 7, soft_labels=None, unlabeled=faces[8:],
        pool_rows=torch.arange(8), truth=torch.full((8,), -1), position=0, identities=torch.arange(8) % 5,
    )  # fmt: skip


@pytest.mark.parametrize("operation", [lambda x: x.sum().item(), lambda x: x[x > 0], lambda x: x.nonzero()])
def test_the_mode_catches_what_waits(operation: Any) -> None:
    with pytest.raises(AssertionError, match="makes the host wait"), NoSync():
        operation(torch.arange(4.0))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_step_never_waits(name: str) -> None:
    module = build_module(composed(*TINY, f"+experiment={name}", "run_dir=."), SPACE, pool_size=96, people=5).train()
    module._trainer = Standing()
    parameters = [parameter for parameter in module.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    first, later = batch(), batch()._replace(position=1)
    module.training_step(first, 0)  # the first step may set things up
    with NoSync():
        module.training_step(later, 1).backward()
        optimizer.step()
        module.teacher.update(module.model)


@pytest.mark.parametrize("threshold", ["dtm", "flexmatch", "freematch", "softmatch", "adamatch", "confidence"])
def test_no_threshold_waits(threshold: str) -> None:
    cfg = composed(*TINY, f"threshold={threshold}", "run_dir=.")
    module = build_module(cfg, SPACE, pool_size=96).train()
    module._trainer = Standing()
    with NoSync():
        module.training_step(batch(), 0)
