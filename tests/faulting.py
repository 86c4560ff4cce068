"""Runs as real processes, forked from one that has imported everything, so that they can be killed at any moment."""

import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only
from running import trained

from fer_ssl.callbacks.checkpoint import LastCheckpoint
from fer_ssl.callbacks.telemetry import Telemetry
from fer_ssl.cli import told

forked = multiprocessing.get_context("forkserver")
forked.set_forkserver_preload(["faulting"])

Fault = Callable[[], Callable[[], None] | None]  # what it returns is called after the run


@dataclass
class Started:
    """A run in a process of its own; `steps[0]` is the step it has done and `steps[1]` the one it has saved."""

    process: BaseProcess
    steps: Any
    log: Path

    def wait(self, seconds: float = 120.0) -> int:
        """Return the exit status; a run that takes longer is killed and fails the test."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"still running after {seconds} s:\n{self.text}")
        return self.process.exitcode

    def wait_for(self, step: int, seconds: float = 60.0) -> None:
        """Return once the run has done `step`; fail where it ends or takes too long."""
        end = time.monotonic() + seconds
        while self.steps[0] < step:
            assert self.process.is_alive(), self.text
            assert time.monotonic() < end, self.text
            time.sleep(0.005)

    @property
    def lost(self) -> int:
        """Steps done since the last one saved."""
        return max(0, self.steps[0] - max(self.steps[1], 0))

    @property
    def text(self) -> str:
        return self.log.read_text()


def start(run_dir: Path, *overrides: str, fault: Fault | None = None, **environment: str) -> Started:
    """Start a tiny run; `fault`, a function of the module `breaking`, is called in its process first."""
    log = run_dir.parent / f"{run_dir.name}.{environment.get('LOCAL_RANK', 0)}.log"
    steps = forked.Array("q", [-1, -1], lock=False)
    process = fork(_run, run_dir, overrides, fault, environment, steps, log)
    return Started(process, steps, log)


def fork(target: Callable[..., None], *args: Any) -> BaseProcess:
    """Start `target` in a process of its own that has imported everything."""
    path = os.environ.get("PYTHONPATH", "")
    if str(Path(__file__).parent) not in path:  # the process that forks imports by it
        os.environ["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parent), str(Path(__file__).parent.parent), path]
        )
    process = forked.Process(target=target, args=args)
    process.start()
    return process


def start_ranks(run_dir: Path, *overrides: str, fault: Fault | None = None, world: int = 2) -> list[Started]:
    """Start a tiny run on several gloo ranks, each a process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(world), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    options = ("trainer=ddp_cpu", f"trainer.devices={world}", *overrides)
    return [start(run_dir, *options, fault=fault, **shared, LOCAL_RANK=str(rank)) for rank in range(world)]


def _run(
    run_dir: Path, overrides: tuple[str, ...], fault: Fault | None, environment: dict[str, str], steps: Any, log: Path
) -> None:
    with log.open("a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    os.environ.update(environment)
    multiprocessing.set_start_method("fork", force=True)  # as in a run of its own, for the data workers
    rank_zero_only.rank = int(environment.get("LOCAL_RANK", 0))
    torch.set_num_threads(1)
    _report_to(steps)
    after = None if fault is None else fault()
    try:
        told(lambda: trained(run_dir, *overrides))
    finally:
        if after is not None:
            after()


def _report_to(steps: Any) -> None:
    done, save = Telemetry.on_train_batch_end, LastCheckpoint.save

    def on_train_batch_end(self: Telemetry, trainer: Trainer, *rest: Any) -> None:
        done(self, trainer, *rest)
        steps[0] = trainer.global_step

    def saved(self: LastCheckpoint, trainer: Trainer) -> None:
        save(self, trainer)
        steps[1] = self._saved_at

    Telemetry.on_train_batch_end, LastCheckpoint.save = on_train_batch_end, saved  # type: ignore[method-assign]
