"""Twins among printed faces: equal, alike, or alike in the mirror."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_ssl.data.auditing.prints import Printed, Prints
from fer_ssl.data.twins import DISTANCE, THUMB, Pairs, alike, near_pairs
from fer_ssl.types import UNKNOWN

KINDS = ("exact", "near", "mirrored")
BLOCK = 4096  # pairs


@dataclass(frozen=True)
class Search:
    """What counts as twins: `distance` bits of the hashes, at most, for `near` and `mirrored` ones.

    Without `within` only twins in different splits count.
    """

    near: bool = True
    mirrored: bool = True
    within: bool = True
    distance: int = DISTANCE


class Pair(NamedTuple):
    """Two faces by their rows among all, the first below the second, and the bits in which their hashes differ."""

    kind: str
    row: int
    twin: int
    distance: int
    conflict: bool


class Side:
    """The faces of one split that show one picture, and the first of each label."""

    def __init__(self, rows: Sequence[int], meanings: Sequence[int]) -> None:
        self.rows, self.meanings = rows, meanings
        self.firsts = {label: row for row, label in zip(reversed(rows), reversed(meanings), strict=True)}

    def twin(self, row: int, label: int) -> tuple[int, bool] | None:
        """Return the first face that contradicts `label` and True, else the first but `row` itself and False."""
        others = [first for other, first in self.firsts.items() if UNKNOWN not in (label, other) and other != label]
        if others:
            return min(others), True
        return next(((other, False) for other in self.rows[:2] if other != row), None)


def find_pairs(printed: Printed, search: Search) -> list[Pair]:
    """Return pairs in which each face that has twins in a split occurs with one of them, by kind and rows.

    Where labels contradict each other, it is one that does. So pairs grow with the faces, not with their square.
    """
    _, firsts, group, sizes = np.unique(
        printed.prints["pixels"], return_index=True, return_inverse=True, return_counts=True
    )
    groups = _Groups(printed, group, sizes)
    twins = np.flatnonzero(sizes > 1).tolist()
    pairs = [pair for number in twins for pair in groups.pairs("exact", number, number, 0, search)]
    if search.near or search.mirrored:
        for kind, one, other, bits in _alike_groups(printed.prints[firsts], groups.splits(), search):
            pairs += groups.pairs(kind, one, other, bits, search)
    return sorted(pairs, key=lambda pair: (KINDS.index(pair.kind), pair.row, pair.twin))


class _Groups:
    """The faces of each group of pixel-identical ones, by split."""

    def __init__(self, printed: Printed, group: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        self.part, self.meanings = printed.part, printed.meanings
        self.order = np.argsort(group, kind="stable")
        self.starts = np.cumsum([0, *sizes])

    def splits(self) -> NDArray[np.int64]:
        """Return the splits that hold a face of each group, as the bits of a number."""
        return np.bitwise_or.reduceat(1 << self.part[self.order], self.starts[:-1])

    def sides(self, number: int) -> dict[int, Side]:
        rows = self.order[self.starts[number] : self.starts[number + 1]]
        of = {part: rows[self.part[rows] == part] for part in np.unique(self.part[rows]).tolist()}
        return {part: Side(each.tolist(), self.meanings[each].tolist()) for part, each in of.items()}

    def pairs(self, kind: str, one: int, other: int, bits: int, search: Search) -> set[Pair]:
        """Return the pairs between two groups, or within one."""
        here, there = self.sides(one), self.sides(other)
        chosen = [(a, b) for a, b in product(here, there) if a != b or search.within]
        return {
            Pair(kind, min(row, found[0]), max(row, found[0]), bits, found[1])
            for a, b in chosen
            for side, opposite in ((here[a], there[b]), (there[b], here[a]))
            for row, label in zip(side.rows, side.meanings, strict=True)
            if (found := opposite.twin(row, label)) is not None
        }


def _alike_groups(prints: Prints, splits: NDArray[np.int64], search: Search) -> Iterator[tuple[str, int, int, int]]:
    """Yield kind, two groups and the bits between them, for groups by one of their `prints` and their splits' bits."""
    count = len(prints)
    hashes = np.concatenate([prints["hash"], prints["mirrored"]]) if search.mirrored else prints["hash"]

    def wanted(pairs: Pairs) -> Any:
        one, other = pairs.min(1), pairs.max(1)
        counts = (one < count) & (one != other - count) & (search.near | (other >= count))
        both = splits[one % count] | splits[other % count]
        return counts & (search.within | (np.bitwise_count(both) > 1))

    pairs = near_pairs(hashes, search.distance, wanted)
    seen: set[tuple[int, int]] = set()
    for block in np.split(pairs[np.argsort(pairs[:, 1] >= count, kind="stable")], range(BLOCK, len(pairs), BLOCK)):
        thumbs = prints["thumbnail"][block % count]
        flipped = thumbs[:, 1].reshape(-1, THUMB, THUMB)[:, :, ::-1].reshape(-1, THUMB**2)
        mirrored = block[:, 1] >= count
        same = alike(thumbs[:, 0], np.where(mirrored[:, None], flipped, thumbs[:, 1]))
        bits = np.bitwise_count(hashes[block[:, 0]] ^ hashes[block[:, 1]])
        for (one, other), in_mirror, bit in zip(block[same].tolist(), mirrored[same], bits[same].tolist(), strict=True):
            key = min(one, other % count), max(one, other % count)
            if key not in seen:
                seen.add(key)
                yield ("mirrored" if in_mirror else "near"), *key, bit
