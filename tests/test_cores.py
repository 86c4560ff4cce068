"""Each process on cores has its own while it trains."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import run_ranks
from running import trained

from fer_ssl.callbacks.cores import share
from fer_ssl.module import SemiSupervised

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def cores() -> torch.Tensor:
    return torch.tensor(sorted(os.sched_getaffinity(0)))


def affinities() -> dict[str, Any]:
    """Train, once to the end and once into an error; return the cores before, meanwhile and after."""
    seen = {"before": cores()}
    step = SemiSupervised.training_step

    def watched(self: SemiSupervised, *args: Any) -> torch.Tensor:
        seen["meanwhile"] = cores()
        return step(self, *args)

    def failing(self: SemiSupervised, *args: Any) -> torch.Tensor:
        raise ArithmeticError

    for name, training_step in (("ended", watched), ("failed", failing)):
        SemiSupervised.training_step = training_step  # type: ignore[method-assign]
        try:
            trained(Path(name), "trainer=ddp_cpu")
        except ArithmeticError:
            seen["failed"] = cores()
        else:
            seen["ended"] = cores()
    return seen


@pytest.mark.skipif(CORES < 2, reason="two processes have a core each only where there are two")
def test_each_process_trains_on_its_own_cores_and_gives_them_back(tmp_path: Path) -> None:
    first, second = run_ranks(affinities, tmp_path)
    assert not set(first["meanwhile"].tolist()) & set(second["meanwhile"].tolist())
    for seen in (first, second):
        assert torch.equal(seen["ended"], seen["before"])
        assert torch.equal(seen["failed"], seen["before"])


def test_cores_are_shared_out_evenly() -> None:
    assert [share([1, 3, 5, 7, 9], rank, 2) for rank in range(2)] == [[1, 3], [5, 7]]
    assert [share([1, 3], rank, 3) for rank in range(3)] == [[], [], []]
