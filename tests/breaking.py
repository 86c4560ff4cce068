"""Faults that a run's own process brings upon itself; `faulting.start` calls them before the run."""

import ctypes
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fer_ssl import run as running_code
from fer_ssl.callbacks.checkpoint import DirectIO
from fer_ssl.loggers import HistoryLogger
from fer_ssl.method.losses import InfoNCE
from fer_ssl.module import SemiSupervised
from fer_ssl.types import Batch

RANK = "LOCAL_RANK"
NO_MOUNT = 77  # the exit status of a process that may not mount
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000


def _at_step_three(rank: str, fault: Callable[[], None]) -> None:
    step = SemiSupervised.training_step

    def broken(self: SemiSupervised, batch: Batch, batch_idx: int) -> Tensor:
        if batch.position == 3 and os.environ.get(RANK, "0") == rank:
            fault()
        return step(self, batch, batch_idx)

    SemiSupervised.training_step = broken  # type: ignore[method-assign]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def rank_zero_dies() -> None:
    _at_step_three("0", die)


def rank_one_dies() -> None:
    _at_step_three("1", die)


def rank_one_dies_and_zero_sleeps() -> None:
    rank_one_dies()
    _at_step_three("0", lambda: time.sleep(300))


def wandb_dies() -> None:
    def kill() -> None:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        (core,) = (child for child in children if Path(f"/proc/{child}/comm").read_text().startswith("wandb-core"))
        os.kill(int(core), signal.SIGKILL)

    _at_step_three("0", kill)


def rank_one_diverges() -> None:
    forward = InfoNCE.forward

    def breaking(self: InfoNCE, step: Any) -> Tensor:
        bad = step.global_step >= 3 and os.environ[RANK] == "1"
        return forward(self, step) * (torch.nan if bad else 1.0)

    InfoNCE.forward = breaking  # type: ignore[method-assign]


def _mount(source: str, place: Path, kind: str, flags: int, options: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), str(place).encode(), kind.encode(), flags, options.encode()):
        raise SystemExit(NO_MOUNT)


def own_disk(run_dir: Path, kib: int) -> Callable[[], None]:
    """Give the run directory a disk of its own that only this process sees; what is left there is copied to `left`."""
    libc = ctypes.CDLL(None, use_errno=True)
    user = 0 if os.geteuid() == 0 else CLONE_NEWUSER
    run_dir.mkdir(exist_ok=True)
    if libc.unshare(CLONE_NEWNS | user):
        raise SystemExit(NO_MOUNT)
    _mount("none", Path("/"), "", MS_REC | MS_PRIVATE, "")
    _mount("tmpfs", run_dir, "tmpfs", 0, f"size={kib}k")

    def copy_back() -> None:
        shutil.copytree(run_dir, run_dir.parent / "left", ignore=shutil.ignore_patterns("filler"))

    return copy_back


def fill(run_dir: Path) -> None:
    """Write until nothing more fits."""
    with (run_dir / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(2**10))


def make_read_only(run_dir: Path) -> None:
    _mount(str(run_dir), run_dir, "", MS_BIND, "")  # over itself: the disk below has files open for writing
    _mount("none", run_dir, "", MS_BIND | MS_REMOUNT | MS_RDONLY, "")


DISKS: dict[str, tuple[Callable[[Path], None], Any, str, int]] = {  # what is done, and before which call of what
    "disk full, writing a checkpoint": (fill, DirectIO, "save_checkpoint", 3),
    "disk full, writing history.csv": (fill, HistoryLogger, "save", 5),
    "disk full, writing predictions": (fill, running_code, "write_predictions", 1),
    "disk full, writing the report": (fill, running_code, "write_report", 1),
    "run directory becomes read-only": (make_read_only, SemiSupervised, "training_step", 5),
}


def disk(name: str, run_dir: Path) -> Callable[[], None]:
    """Break the disk of a run in one of the ways of `DISKS`."""
    harm, owner, method, call = DISKS[name]
    original, calls = getattr(owner, method), count(1)

    def broken(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            harm(run_dir)
        return original(*args, **kwargs)

    setattr(owner, method, broken)
    return own_disk(run_dir, 16 * 2**10)


def read_only_from_the_start(run_dir: Path) -> None:
    own_disk(run_dir, 64)
    make_read_only(run_dir)
