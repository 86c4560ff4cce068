"""Faces that go away while a run reads them, and readers that die."""

import io
import os
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from comparing import differences, state
from faulting import start
from PIL import Image

OPTIONS = (
    "epoch_steps=50", "trainer.max_steps=5000", "callback.checkpoint.every_n_steps=10", "data.resident=never",
    "data.workers=1", "unlabeled=shards",
)  # fmt: skip


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Return a folder of two tars of noise."""
    folder, generator = tmp_path / "shards", np.random.default_rng(0)
    folder.mkdir()
    for name in ("a", "b"):
        with tarfile.open(folder / f"{name}.tar", "w") as archive:
            for row in range(40):
                content = io.BytesIO()
                Image.fromarray(generator.integers(0, 256, (24, 24), dtype=np.uint8)).save(content, "PNG")
                member = tarfile.TarInfo(f"{row}.png")
                member.size = len(content.getvalue())
                archive.addfile(member, io.BytesIO(content.getvalue()))
    return folder


def workers(pid: int) -> Iterator[int]:
    """Yield the processes that were forked from `pid`."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                yield int(stat.parent.name)
        except FileNotFoundError:
            continue


def lives(pid: int) -> bool:
    """Say whether a process still runs; one that nobody has taken note of yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_data_worker_is_told(shards: Path, tmp_path: Path, found: Callable[..., None]) -> None:
    run = start(tmp_path / "run", *OPTIONS, f"unlabeled.root={shards}")
    run.wait_for(5)
    readers = list(workers(run.process.pid))
    assert readers
    os.kill(readers[0], signal.SIGKILL)
    assert run.wait(60) == 2, run.text
    assert "error: a process that reads faces died" in run.text
    assert "set data.workers=1 or 0, and go on with ckpt_path=auto" in run.text
    assert not any(lives(reader) for reader in readers)
    found("a data worker killed", 1, f"{run.lost}", "ends with a sentence, no process is left")


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_run(shards: Path, tmp_path: Path, found: Callable[..., None]) -> None:
    run = start(tmp_path / "run", *OPTIONS, f"unlabeled.root={shards}")
    run.wait_for(5)
    readers = list(workers(run.process.pid))
    run.process.kill()
    run.wait()
    end = time.monotonic() + 30
    while any(lives(reader) for reader in readers):
        assert time.monotonic() < end
        time.sleep(0.1)
    found("a run with data workers killed", 1, f"{run.lost}", "its workers end by themselves")


@pytest.mark.slow
@pytest.mark.parametrize("readers", [0, 1])
def test_a_shard_that_is_cut_short_is_named(
    readers: int, shards: Path, tmp_path: Path, found: Callable[..., None]
) -> None:
    run = start(tmp_path / "run", *OPTIONS, f"unlabeled.root={shards}", f"data.workers={readers}")
    run.wait_for(5)
    os.truncate(shards / "b.tar", 0)
    assert run.wait(60) == 2
    assert f"images of {shards} cannot be read (b/" in run.text
    assert "Traceback" not in run.text
    found(f"a shard cut short, data.workers={readers}", 1, f"{run.lost}", "ends with a sentence naming it")


@pytest.mark.slow
@pytest.mark.parametrize("readers", [0, 1])
def test_a_shard_that_is_deleted_is_read_to_the_end(
    readers: int, shards: Path, tmp_path: Path, found: Callable[..., None]
) -> None:
    options = (*OPTIONS, f"unlabeled.root={shards}", f"data.workers={readers}", "trainer.max_steps=60")
    assert start(tmp_path / "whole", *options).wait() == 0
    run = start(tmp_path / "run", *options)
    run.wait_for(5)
    (shards / "b.tar").unlink()
    assert run.wait() == 0
    assert differences(state(tmp_path / "whole"), state(tmp_path / "run")) == []
    found(f"a shard deleted, data.workers={readers}", 1, "0", "read on to the end of the run, which holds it open")
