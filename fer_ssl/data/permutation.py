"""A shuffled order of millions of items that is computed, not stored."""

from math import isqrt

import numpy as np
from numpy.typing import NDArray

ROUNDS = 8
MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of splitmix64


class KeyedPermutation:
    """A permutation of 0 .. `size` - 1 that `key` picks; any part of it costs what that part holds.

    An index is a pair (left, right) with left < a, right < b and a * b just above `size`; each round adds a keyed
    hash of one half to the other, modulo its range (a generalised Feistel network), and an index that leaves the
    range goes through again until it is back (cycle walking: Black and Rogaway, CT-RSA 2002).
    """

    def __init__(self, size: int, key: tuple[int, ...]) -> None:
        self.size = size
        self.keys = np.random.SeedSequence(key).generate_state(ROUNDS, np.uint64)
        self.left = isqrt(max(size - 1, 0)) + 1
        self.right = -(-size // self.left)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> NDArray[np.int64]:
        """Return the items at a contiguous part of the order, int64 [M]."""
        return self.at(np.arange(*part.indices(self.size), dtype=np.uint64))

    def at(self, places: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the items at `places` [M] of the order, int64 [M]."""
        items = self._shuffle(places)
        outside = np.flatnonzero(items >= self.size)
        while len(outside):
            items[outside] = self._shuffle(items[outside])
            outside = outside[items[outside] >= self.size]
        return items.astype(np.int64)

    def _shuffle(self, items: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = np.divmod(items, np.uint64(self.right))
        for number, key in enumerate(self.keys):
            if number % 2:
                right = (right + _hashed(left, key)) % np.uint64(self.right)
            else:
                left = (left + _hashed(right, key)) % np.uint64(self.left)
        return left * np.uint64(self.right) + right


def _hashed(values: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
    """Return a hash below 2**32 of each value, so that sums cannot overflow."""
    mixed = (values ^ key) * MIX[0]
    mixed ^= mixed >> np.uint64(31)
    mixed *= MIX[1]
    return mixed >> np.uint64(32)
