"""Disks that fill up or turn read-only: a sentence, nothing half-written, and a run that goes on elsewhere."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import breaking
import pytest
from comparing import assert_same_run
from faulting import start
from running import trained

OPTIONS = ("epoch_steps=3", "trainer.max_steps=8", "callback.checkpoint.every_n_steps=2", "ckpt_path=auto")
FAST = ("disk full, writing a checkpoint",)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    trained(folder, *OPTIONS)
    return folder


@pytest.mark.parametrize(
    "fault", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in breaking.DISKS]
)
def test_a_broken_disk_is_told_and_the_run_goes_on(
    fault: str, whole: Path, tmp_path: Path, found: Callable[..., None]
) -> None:
    run = start(tmp_path / "run", *OPTIONS, fault=partial(breaking.disk, fault, tmp_path / "run"))
    status = run.wait()
    if status == breaking.NO_MOUNT:
        pytest.skip("this needs the right to mount a disk in a namespace")
    assert status == 2, run.text
    state = "can no longer be written" if "read-only" in fault else "is full"
    assert f"error: the disk of {tmp_path / 'run'} {state} ([Errno" in run.text
    assert "Traceback" not in run.text
    assert not list((tmp_path / "left").rglob("*.partial"))
    shutil.rmtree(tmp_path / "run")
    shutil.copytree(tmp_path / "left", tmp_path / "run")
    again = start(tmp_path / "run", *OPTIONS)
    assert again.wait() == 0
    assert_same_run(whole, tmp_path / "run")
    found(fault, 1, f"{run.lost}", "ends with a sentence; after room is made goes on to the same result")


def test_a_directory_that_cannot_be_written_is_told_at_once(tmp_path: Path, found: Callable[..., None]) -> None:
    run = start(tmp_path / "run", *OPTIONS, fault=partial(breaking.read_only_from_the_start, tmp_path / "run"))
    status = run.wait()
    if status == breaking.NO_MOUNT:
        pytest.skip("this needs the right to mount a disk in a namespace")
    assert status == 2, run.text
    assert "cannot be written" in run.text
    assert "set hydra.run.dir=" in run.text
    found("run directory read-only from the start", 1, "0", "refused before anything is loaded")
