"""Two gloo ranks: one that dies or diverges takes the other along, quickly and with a sentence; others may go on."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import breaking
import pytest
import torch
from comparing import differences, state
from faulting import Started, start, start_ranks

OPTIONS = ("epoch_steps=4", "trainer.max_steps=8", "callback.checkpoint.every_n_steps=2", "ckpt_path=auto")
LIMIT = 60.0  # seconds


def ended(ranks: list[Started]) -> tuple[list[int], float]:
    """Return the exit statuses, and the seconds from the first end to the last."""
    while all(rank.process.is_alive() for rank in ranks):
        time.sleep(0.01)
    first = time.monotonic()
    return [rank.wait() for rank in ranks], time.monotonic() - first


def children(pid: int) -> list[int]:
    """Return the processes whose parent is `pid`."""
    stats = [(int(path.name), path / "stat") for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [child for child, stat in stats if stat.exists() and int(stat.read_text().rpartition(")")[2].split()[1]) == pid]


def test_a_dead_rank_is_named_and_the_other_ends(tmp_path: Path, found: Callable[..., None]) -> None:
    ranks = start_ranks(tmp_path / "run", *OPTIONS, fault=breaking.rank_one_dies_at_step_three)
    statuses, seconds = ended(ranks)
    assert statuses == [2, -9]
    assert seconds < LIMIT
    assert "error: rank 1 was killed, and the others cannot go on without it; start the run again" in ranks[0].text
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2
    assert not any(children(rank.process.pid) for rank in ranks)
    found("one of two gloo ranks killed", 1, "1 (0)", f"the other ends {seconds:.1f} s later, naming the rank")
