"""Faces that are copies of one another, though resized or compressed anew."""

from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.int64]
Wanted = Callable[[Pairs], NDArray[np.bool_]]
THUMB = 16
DISTANCE = 4  # bits of 64
AGREEMENT = 0.98  # correlation of thumbnails
MET = 3  # a row meets about 2 ** MET strangers in a table
_STEPS = np.arange(32)
_COSINES = np.cos(np.pi * (2 * _STEPS[None] + 1) * _STEPS[:8, None] / 64)
_MIRROR = (-1.0) ** np.arange(8)


def perceptual_hash(face: NDArray[np.uint8]) -> int:
    """Return 64 bits of a face [H, W(, 3)]: which of its 8 x 8 lowest cosine frequencies exceed their median."""
    return _hash(_waves(face))


def perceptual_hashes(face: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the `perceptual_hash` of a face and that of its mirror image, whose odd frequencies change their sign."""
    waves = _waves(face)
    return _hash(waves), _hash(waves * _MIRROR)


def _waves(face: NDArray[np.uint8]) -> NDArray[np.floating[Any]]:
    small = np.asarray(Image.fromarray(face).convert("L").resize((32, 32), Image.Resampling.BOX), np.float32)
    waves: NDArray[np.floating[Any]] = _COSINES @ small @ _COSINES.T
    return waves


def _hash(waves: NDArray[np.floating[Any]]) -> int:
    waves = waves.ravel()
    return int(np.packbits(waves > np.median(waves[1:])).view(">u8")[0])


def thumbnail(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a face as gray uint8 [256], which tells apart what shares a hash."""
    return np.asarray(Image.fromarray(face).convert("L").resize((THUMB, THUMB), Image.Resampling.BOX)).ravel()


def near_pairs(hashes: Hashes, distance: int = DISTANCE, wanted: Wanted | None = None) -> Pairs:
    """Return the row pairs int64 [M, 2], first below second, whose hashes [N] differ in at most `distance` bits.

    `wanted` says of pairs [K, 2] which count, bool [K]. Two such hashes agree in k of `distance + k` bands of bits, so
    only rows that share k bands are compared; k grows with N, so that a row meets few others in any of the tables.
    """
    shared = 1
    while 2 ** (64 * shared // (distance + shared) + MET) < len(hashes):
        shared += 1
    edges = np.linspace(0, 64, distance + shared + 1).round().astype(int)
    bands = [sum(1 << bit for bit in range(low, high)) for low, high in pairwise(edges)]
    found = np.empty(0, np.int64)
    for chosen in combinations(bands, shared):
        near = (_near(pairs, hashes, distance, wanted) for pairs in _sharing(hashes & np.uint64(sum(chosen))))
        found = np.unique(np.concatenate([found, *(pairs[:, 0] * len(hashes) + pairs[:, 1] for pairs in near)]))
    return np.stack(np.divmod(found, max(len(hashes), 1)), axis=1)


def _near(pairs: Pairs, hashes: Hashes, distance: int, wanted: Wanted | None) -> Pairs:
    pairs = pairs[np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]) <= distance]
    return np.sort(pairs if wanted is None else pairs[wanted(pairs)], axis=1)


def _sharing(key: Hashes) -> Iterator[Pairs]:
    """Yield the row pairs [K, 2] of equal `key` [N], those that lie equally far apart in its order at a time."""
    order = np.argsort(key, kind="stable")
    ends = np.searchsorted(key[order], key[order], side="right")
    gap = 1
    rows = np.flatnonzero(np.arange(len(order)) + gap < ends)
    while len(rows):
        yield np.stack([order[rows], order[rows + gap]], axis=1)
        gap += 1
        rows = rows[rows + gap < ends[rows]]


def alike(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which of the thumbnails [M, 256] show the same picture: equal, or correlated by `AGREEMENT`."""
    a, b = (side - side.mean(1, keepdims=True) for side in (first.astype(np.float32), second.astype(np.float32)))
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    correlated: NDArray[np.bool_] = (a * b).sum(1) >= AGREEMENT * np.maximum(norm, 1e-6)
    equal: NDArray[np.bool_] = (first == second).all(axis=1)
    return np.logical_or(correlated, equal)
