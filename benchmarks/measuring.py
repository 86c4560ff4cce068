"""How everything here is measured: ours and a reference in turns, and the median of their ratios."""

import contextlib
import datetime
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fer_ssl.precision import gains_by_bf16
from fer_ssl.results import environment

Run = Callable[[], object]


class Skipped(Exception):  # noqa: N818
    """A benchmark that cannot run here; the message is the sentence that says why."""


@dataclass(frozen=True)
class Options:
    """What the command line chose; `quick` takes the smallest sizes, to see that everything runs."""

    repeats: int = 15
    quick: bool = False
    data: Path | None = None  # FER2013; None: procedural faces

    @property
    def backbone(self) -> str:
        return "test_resnet" if self.quick else "resnet10t"

    @property
    def batches(self) -> tuple[tuple[int, int], ...]:
        """Labeled and unlabeled faces of a step."""
        return ((8, 8),) if self.quick else ((16, 48), (32, 96))


@dataclass(frozen=True)
class Measurement:
    """Medians of both sides and of their ratio; `spread` is half the distance of the ratio's quartiles."""

    name: str
    against: str
    unit: str
    ours: float
    reference: float
    ratio: float
    spread: float
    pairs: int
    goal: str = ""


@dataclass(frozen=True)
class Pairs:
    """Seconds of one call of ours and of the reference, pair by pair."""

    ours: list[float]
    reference: list[float]

    def seconds(self, name: str, against: str, goal: str = "") -> Measurement:
        """Return the measurement whose ratio is of seconds: below one, ours is faster."""
        return self._measurement(name, against, "s", self.ours, self.reference, goal)

    def amounts(self, name: str, against: str, unit: str, goal: str = "") -> Measurement:
        """Return the measurement of pairs that are no seconds but hold `unit`."""
        return self._measurement(name, against, unit, self.ours, self.reference, goal)

    def rates(self, name: str, against: str, count: int, unit: str = "images/s", goal: str = "") -> Measurement:
        """Return the measurement whose ratio is of `count` per second: above one, ours is faster."""
        ours, reference = ([count / second for second in side] for side in (self.ours, self.reference))
        return self._measurement(name, against, unit, ours, reference, goal)

    def _measurement(
        self, name: str, against: str, unit: str, ours: list[float], reference: list[float], goal: str
    ) -> Measurement:
        ratios = [a / b for a, b in zip(ours, reference, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        medians = (statistics.median(ours), statistics.median(reference), middle)
        return Measurement(name, against, unit, *medians, (high - low) / 2, len(ratios), goal)


def in_turns(ours: Run, reference: Run, repeats: int, warmup: int = 3, calls: tuple[int, int] = (1, 1)) -> Pairs:
    """Time both in turns, the first of each pair alternating; `calls` of each make one time."""
    pairs = Pairs([], [])
    for repeat in range(warmup + repeats):
        sides = [(ours, calls[0], pairs.ours), (reference, calls[1], pairs.reference)]
        for run, count, seconds in sides if repeat % 2 else reversed(sides):
            seconds.append(seconds_of(run, count))
    return Pairs(pairs.ours[warmup:], pairs.reference[warmup:])


def seconds_of(run: Run, calls: int = 1) -> float:
    """Return the mean seconds of a call; an accelerator's queue is waited for."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / calls


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Compute on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def machine() -> dict[str, Any]:
    """Return the facts that a number depends on: machine, software, commit, date."""
    cpu = torch.cpu.get_capabilities()
    return environment() | {
        "cores": cpu.get("num_physical_cores"),
        "huge_pages": os.environ.get("THP_MEM_ALLOC_ENABLE") == "1",  # as fer_ssl.train sets it
        "bf16": gains_by_bf16(cpu),
        "date": str(datetime.date.today()),
    }
