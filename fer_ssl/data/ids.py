"""Ids of millions of faces, made when asked for: as an array of strings they would take gigabytes."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_ssl.types import Ids

BLOCK = 2**16


class NumberedIds:
    """The ids `<prefix><number>`, for `numbers` int [N]; numbers have at least 7 digits."""

    def __init__(self, prefix: str, numbers: NDArray[Any]) -> None:
        self.prefix = prefix
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: Any) -> Any:
        """Return the id at a row number, or the ids at rows int64 [M]."""
        numbers = self.numbers[rows]
        return NumberedIds(self.prefix, numbers) if numbers.ndim else f"{self.prefix}{numbers:07d}"

    def tolist(self) -> list[str]:
        return [f"{self.prefix}{number:07d}" for number in self.numbers.tolist()]


class JoinedIds:
    """The ids of several sets behind one another; `rows` int64 [N] index their concatenation, None: all of it."""

    def __init__(self, parts: Sequence[Ids], rows: NDArray[np.int64] | None = None) -> None:
        self.parts = parts
        self.starts = np.cumsum([0, *map(len, parts)])
        self.rows = rows

    def __len__(self) -> int:
        return int(self.starts[-1]) if self.rows is None else len(self.rows)

    def __getitem__(self, rows: Any) -> Any:
        """Return the id at a row number, or the ids at rows int64 [M]."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        rows = np.asarray(rows) if self.rows is None else self.rows[rows]
        return JoinedIds(self.parts, rows) if np.ndim(rows) else self._one(int(rows))

    def tolist(self) -> list[str]:
        if self.rows is None:
            return list(chain.from_iterable(part.tolist() for part in self.parts))
        return [self._one(row) for row in self.rows.tolist()]

    def _one(self, row: int) -> str:
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        return str(self.parts[part][row - int(self.starts[part])])


def compact(names: list[str]) -> NDArray[np.str_]:
    """Return names as an array that takes the bytes of each instead of four times those of the longest."""
    return np.array(names, np.dtypes.StringDType())
