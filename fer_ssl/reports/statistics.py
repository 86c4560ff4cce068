"""Differences between two methods, paired: over seeds and splits, or over the faces of the test split."""

from collections.abc import Iterator, Sequence
from itertools import product
from statistics import mean, stdev
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

LEVEL = 0.95
DRAWS = 10_000
FACE_DRAWS = 2_000
CHUNK = 4_000_000  # weights held at a time
ENOUGH_RUNS = 6  # below, no sign-flip test over runs can reach p = 0.05, so it rejects no shift, however large
EXACT_UP_TO = 14  # differences; beyond, signs are drawn


class Spread(tuple[float, ...]):
    """Values of one measure over seeds."""

    @property
    def mean(self) -> float:
        return mean(self)

    @property
    def std(self) -> float | None:
        """Sample standard deviation, None for one value."""
        return stdev(self) if len(self) > 1 else None

    def text(self, sign: str = "", alone: str = " ± -") -> str:
        """Return mean ± deviation of fractions in percent, `alone` in place of the deviation of one value."""
        return f"{100 * self.mean:{sign}.2f}" + (alone if self.std is None else f" ± {100 * self.std:.2f}")


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return values over seeds, None where one is missing."""
    known = [float(value) for value in values if value is not None]
    return Spread(known) if len(known) == len(values) else None


class Difference(NamedTuple):
    """A mean difference, its LEVEL confidence interval and the two-sided p-value, None where too few runs tell them."""

    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


class Pair(NamedTuple):
    """Predictions of two methods for the same faces, by whose `ids` those of several pairs are told apart; each [N]."""

    ids: NDArray[Any]
    labels: Labels
    ours: Labels
    theirs: Labels


Placed = tuple[Pair, Labels]  # with the places of its faces among those of all pairs


def over_seeds(differences: Sequence[float]) -> Difference | None:
    """Return the difference over paired runs: interval and p-value of the sign-flip test; None without a pair.

    With n runs no p-value is below 2^(1-n): below ENOUGH_RUNS there is no interval, and no p-value of one run.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        return None
    p = sign_flip_p(values) if len(values) > 1 else None
    low, high = unrejected(values) if len(values) >= ENOUGH_RUNS else (None, None)
    return Difference(float(values.mean()), low, high, p)


def sign_flip_p(differences: Floats) -> float:
    """Return the share of sign assignments whose mean is at least as far from 0 (Fisher's randomisation test)."""
    observed = abs(differences.sum())
    return float((np.abs(_signs(len(differences)) @ differences) >= observed - 1e-12).mean())


def unrejected(differences: Floats) -> tuple[float, float]:
    """Return the least and the greatest shift of the differences [N] with a sign-flip p above 1 - LEVEL.

    Flipped signs take the mean at least as far from a shift as it was where the shift lies beyond the mean of those
    flipped or of those kept, so the ends are ordered means of parts (Hartigan 1969, "Using Subsample Values as Typical
    Values"). N >= ENOUGH_RUNS.
    """
    signs = _signs(len(differences))
    flipped = (signs < 0).sum(1)
    divided = (flipped > 0) & (flipped < len(differences))
    flips, count = signs[divided] < 0, flipped[divided]
    parts = np.stack([flips @ differences / count, ~flips @ differences / (len(differences) - count)])
    # all signs flipped or none reach every shift
    rejected = int((1 - LEVEL) * len(signs)) - int((~divided).sum())
    return float(np.sort(parts.min(0))[rejected]), float(np.sort(parts.max(0))[-1 - rejected])


def _signs(count: int) -> Floats:
    """Return assignments of signs [R, count], among them that of no flip: all, or where these are many, drawn ones."""
    if count <= EXACT_UP_TO:
        return np.array(list(product((1.0, -1.0), repeat=count)))
    signs = np.random.default_rng(0).choice((1.0, -1.0), (DRAWS, count))
    signs[0] = 1.0
    return signs


def over_faces(pairs: Sequence[Pair], classes: int) -> Difference:
    """Return the difference of macro-F1, mean over runs, when the faces of the test split are drawn anew.

    A face counts as often for all methods of all runs that were scored on it: folds, or runs of which one could not
    read a face, were not all scored on the same. Faces vary here; seeds and splits do not.
    """
    faces, rows = np.unique(np.concatenate([pair.ids for pair in pairs]), return_inverse=True)
    placed = list(zip(pairs, np.split(rows, np.cumsum([len(pair.ids) for pair in pairs])[:-1]), strict=True))
    observed = _differences(placed, classes, np.ones((1, len(faces))))
    drawn = np.concatenate(list(_resampled(placed, classes, len(faces))))
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return Difference(float(observed[0]), *_interval(drawn), min(1.0, float(2 * (tail + 1) / (len(drawn) + 1))))


def _resampled(placed: Sequence[Placed], classes: int, count: int) -> Iterator[Floats]:
    draw, left = np.random.default_rng(0), FACE_DRAWS
    while left:
        rows = min(left, max(1, CHUNK // count))
        faces = draw.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        weights = np.bincount(faces.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        yield _differences(placed, classes, weights)
        left -= rows


def _differences(placed: Sequence[Placed], classes: int, weights: Floats) -> Floats:
    """Return the difference of macro-F1 for every row of the weights [R, faces], mean over pairs: [R]."""
    each = [_difference(pair, classes, weights[:, rows]) for pair, rows in placed]
    return np.asarray(np.mean(each, axis=0))


def _difference(pair: Pair, classes: int, weights: Floats) -> Floats:
    ours, theirs = (macro_f1(pair.labels, guesses, classes, weights) for guesses in (pair.ours, pair.theirs))
    return ours - theirs


def macro_f1(labels: Labels, predictions: Labels, classes: int, weights: Floats) -> Floats:
    """Return the macro-F1 [R] of predictions [N] for every row of face counts [R, N]; absent classes count as 0."""
    truth, guess = np.eye(classes)[labels], np.eye(classes)[predictions]
    hits, total = weights @ (truth * guess), weights @ truth + weights @ guess
    return np.asarray((2 * hits / np.maximum(total, 1)).mean(1))


def _interval(values: Floats) -> tuple[float, float]:
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
