"""Faces that are copies of one another, though resized or compressed anew."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Hashes = NDArray[np.uint64]
THUMB = 16
DISTANCE = 4  # bits of 64
AGREEMENT = 0.98  # correlation of thumbnails
_STEPS = np.arange(32)
_COSINES = np.cos(np.pi * (2 * _STEPS[None] + 1) * _STEPS[:8, None] / 64)


def perceptual_hash(face: NDArray[np.uint8]) -> int:
    """Return 64 bits of a face [H, W(, 3)]: which of its 8 x 8 lowest cosine frequencies exceed their median."""
    small = np.asarray(Image.fromarray(face).convert("L").resize((32, 32), Image.Resampling.BOX), np.float32)
    waves = (_COSINES @ small @ _COSINES.T).ravel()
    return int(np.packbits(waves > np.median(waves[1:])).view(">u8")[0])


def thumbnail(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a face as gray uint8 [256], which tells apart what shares a hash."""
    return np.asarray(Image.fromarray(face).convert("L").resize((THUMB, THUMB), Image.Resampling.BOX)).ravel()


def near_pairs(hashes: Hashes, distance: int = DISTANCE) -> NDArray[np.int64]:
    """Return the row pairs int64 [M, 2], first below second, whose hashes [N] differ in at most `distance` bits.

    Two such hashes agree in one of `distance + 1` bands of bits, so only rows that share a band are compared.
    """
    edges = np.linspace(0, 64, distance + 2).round().astype(int)
    found = [np.empty((0, 2), np.int64)]
    for low, high in pairwise(edges):
        band = (hashes >> np.uint64(low)) & np.uint64(2 ** int(high - low) - 1)
        order = np.argsort(band, kind="stable")
        ends = np.searchsorted(band[order], band[order], side="right")
        gap = 1
        rows = np.flatnonzero(np.arange(len(order)) + gap < ends)
        while len(rows):
            pairs = np.stack([order[rows], order[rows + gap]], axis=1)
            found.append(pairs[np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]) <= distance])
            gap += 1
            rows = rows[rows + gap < ends[rows]]
    pairs = np.concatenate(found)
    return np.unique(np.sort(pairs, axis=1), axis=0)


def alike(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which of the thumbnails [M, 256] show the same picture: equal, or correlated by `AGREEMENT`."""
    a, b = (side - side.mean(1, keepdims=True) for side in (first.astype(np.float32), second.astype(np.float32)))
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    correlated: NDArray[np.bool_] = (a * b).sum(1) >= AGREEMENT * np.maximum(norm, 1e-6)
    equal: NDArray[np.bool_] = (first == second).all(axis=1)
    return np.logical_or(correlated, equal)
