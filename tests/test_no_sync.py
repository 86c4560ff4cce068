"""A step never waits for its device: no value is read on the host, and no shape depends on values."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from running import FROM_SCRATCH, TINY, composed
from test_conf import EXPERIMENTS
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fer_ssl.build import build_module
from fer_ssl.cli import CONF
from fer_ssl.optim import build_optimizer
from fer_ssl.types import Batch, LabelSpace

SPACE = LabelSpace("seven", tuple("abcdefg"))
POOL = 96
THRESHOLDS = sorted(path.stem for path in (CONF / "threshold").glob("*.yaml"))
ALIGNMENTS = sorted(path.stem for path in (CONF / "alignment").glob("*.yaml"))
OTHERS = ["teacher=student", "teacher=student_train", "target=soft", "passes=two", "passes=each", "head=normalized"]
READS = {"_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2", "unique_consecutive", "equal"}


class SyncError(Exception):
    """An operation for which an accelerator would be waited for."""


class NoSync(TorchDispatchMode):
    """Raise on every operation whose result, or its shape, the host has to know."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masks = name in ("index", "index_put", "index_put_") and any(
            isinstance(leaf, Tensor) and leaf.dtype == torch.bool for leaf in tree_leaves(args[1])
        )
        if name in READS or masks:
            raise SyncError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))


class Alone:
    """What a step asks of Lightning's trainer."""

    world_size = 1
    global_rank = 0
    global_step = 0


@pytest.fixture(autouse=True)
def _every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let views compute every row, as they do on an accelerator; on a CPU selecting some is no wait."""
    for module in ("tables", "filters"):
        monkeypatch.setattr(f"fer_ssl.views.{module}.active_rows", lambda active: slice(None))


@pytest.mark.parametrize(
    "override",
    [
        *(" ".join([f"+experiment={name}", *FROM_SCRATCH.get(name, [])]) for name in EXPERIMENTS),
        *(f"threshold={name} loss.infonce.uncertain_only=false" for name in THRESHOLDS),
        *(f"alignment={name}" for name in ALIGNMENTS),
        *OTHERS,
    ],
)
def test_a_step_waits_for_nothing(override: str) -> None:
    module = build_module(composed(*TINY, *override.split(), "run_dir=."), SPACE, POOL, people=5).train()
    module._trainer = Alone()  # type: ignore[assignment]
    optimizer = build_optimizer(module.model, module.optimizer, module.weight_decay)
    faces = torch.randint(0, 256, (8, 1, 24, 24), dtype=torch.uint8)
    labels = torch.arange(8) % 7
    batch = Batch(faces, labels, None, faces, labels, labels, position=0, identities=torch.arange(8) % 5)
    with NoSync():
        module.training_step(batch, 0).backward()
        optimizer.step()
        module.teacher.update(module.model)
    assert int(module.tally.steps) == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda values: values.sum().item(),
        lambda values: bool((values > 0).all()),
        lambda values: values[values > 0],
        lambda values: values.masked_fill_(values > 0, 1).nonzero(),
        lambda values: values.index_put_((values > 0,), torch.tensor(1.0)),
        lambda values: values.unique(),
        lambda values: torch.where(values > 0),
    ],
)
def test_the_mode_notices(read: Callable[[Tensor], object]) -> None:
    with pytest.raises(SyncError), NoSync():
        read(torch.ones(3))
