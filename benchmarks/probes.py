"""Callbacks that look at a training process from inside; a run takes them by `+callback.<name>._target_=`."""

import json
import os
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer


def resident_mib() -> float:
    """Return the memory that this process holds at present."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_resident_mib() -> float:
    """Return the most memory that this process ever held.

    Not getrusage's figure: Linux hands that of the parent down to the programs it starts.
    """
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 2**10


class EndAfterFirstStep(Callback):
    """End the process once a step is done."""

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        os._exit(0)


class Residence(Callback):
    """Write to `path` the memory held at the end of each of `samples` equal parts of training."""

    def __init__(self, path: str, samples: int = 10) -> None:
        self.path, self.samples = Path(path), samples
        self.held: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step % max(1, trainer.max_steps // self.samples) == 0:
            self.held.append(resident_mib())

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        self.path.write_text(json.dumps(self.held))
