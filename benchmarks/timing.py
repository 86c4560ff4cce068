"""Two things timed in turns: what noise does to one it does to the other, so their ratio stands."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

WARMUP = 3


class Figure(NamedTuple):
    """One measurement: medians in seconds, the median of the paired ratios, and what was asked of it."""

    name: str
    ours: float
    reference: float
    ratio: float
    against: str
    asked: str

    def __str__(self) -> str:
        times = f"{1e3 * self.ours:.3f} ms, {self.against} {1e3 * self.reference:.3f} ms"
        return f"{self.name}: {times}, ratio {self.ratio:.4f} (asked {self.asked})"


def paired(
    name: str, ours: Callable[[], object], reference: Callable[[], object], against: str, asked: str, repeats: int
) -> Figure:
    """Time both `repeats` times after a warm-up, each going first in every other pair."""
    pairs: list[tuple[float, float]] = []
    for repeat in range(WARMUP + repeats):
        if repeat % 2:
            pairs.append((seconds(ours), seconds(reference)))
        else:
            second = seconds(reference)
            pairs.append((seconds(ours), second))
    kept = pairs[WARMUP:]
    first, second = (statistics.median(column) for column in zip(*kept, strict=True))
    return Figure(name, first, second, statistics.median(a / b for a, b in kept), against, asked)


def seconds(run: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
