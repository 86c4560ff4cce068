"""Labeled faces in Parquet files."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import hold
from fer_ssl.data.sources.folder import found
from fer_ssl.errors import DataError
from fer_ssl.types import UNKNOWN, Faces, LabelSpace, Splits

REMEDY = "set data.image_column and data.label_column"


class ParquetImages:
    """The image files in the `rows` of a Parquet column of plain bytes or of structs {bytes, path}.

    A Parquet file gives no access to a single value, so the encoded bytes stay in memory.
    """

    def __init__(self, column: pa.ChunkedArray, rows: NDArray[np.int64] | None = None) -> None:
        self.column = pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column
        self.rows = np.arange(len(column)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> bytes:
        return self.column[int(self.rows[row])].as_py() or b""


class ParquetSource:
    """A Parquet file, or a folder with `train*.parquet` and, where there are any, `val*.parquet` and `test*.parquet`.

    Labels are class numbers or names; `classes` defaults to the ClassLabel names in the schema's metadata. The ids
    are `<split>/<row>`.
    """

    def __init__(
        self,
        root: str | Path,
        image_column: str = "image",
        label_column: str = "label",
        classes: Sequence[str] | None = None,
        channels: int = 3,
    ) -> None:
        self.root = Path(root)
        self.image_column = image_column
        self.label_column = label_column
        self.classes = classes
        self.channels = channels

    @cached_property
    def space(self) -> LabelSpace:
        """Return the classes in order; raise DataError for a file without labels, or when nothing names the classes."""
        names = self.classes or self._class_names(self._files("train")[0])
        if not names:
            raise DataError(
                f"{self.root} does not name the classes of column {self.label_column!r}; set data.classes=[...]"
            )
        return LabelSpace.of(self.root.stem, names)

    def load(self, decoder: Decoder) -> Splits:
        """Return train and, where they have files, val and test.

        Raises DataError for missing files or columns and for a label outside the space.
        """
        train = self._faces("train", self._files("train"), decoder)
        others = {split: self._files(split) for split in ("val", "test")}
        return Splits(train, **{split: self._faces(split, files, decoder) for split, files in others.items() if files})

    def _class_names(self, path: Path) -> list[str] | None:
        schema = read_schema(path)
        require_columns(path, schema, (self.label_column,), REMEDY)
        return class_names(schema, self.label_column)

    def _files(self, split: str) -> list[Path]:
        if split != "train":
            return sorted(self.root.glob(f"{split}*.parquet"))
        files = [self.root] if self.root.is_file() else sorted(self.root.glob("train*.parquet"))
        if not files:
            raise DataError(
                f"expected a Parquet file, or a folder with train.parquet, at {self.root}, but {found(self.root)}; "
                "set data.root=<dir>"
            )
        return files

    def _faces(self, split: str, files: list[Path], decoder: Decoder) -> Faces:
        columns = (self.image_column, self.label_column)
        table = read_columns(files, columns, REMEDY)
        ids = np.array([f"{split}/{row:07d}" for row in range(len(table))])
        labels = to_labels(table[self.label_column], self.space, str(self.root))
        return hold(ParquetImages(table[self.image_column]), ids, decoder, str(self.root), labels)


def read_columns(files: Sequence[Path], columns: Sequence[str], remedy: str) -> pa.Table:
    """Read columns of Parquet files, one after the other.

    Raises DataError for a file that is not Parquet and, with its `remedy`, for one that lacks a column.
    """
    for path in files:
        require_columns(path, read_schema(path), columns, remedy)
    return pa.concat_tables([_read_table(path, columns) for path in files], promote_options="default")


def require_columns(path: Path, schema: pa.Schema, columns: Sequence[str], remedy: str) -> None:
    """Raise DataError, with its `remedy`, for a file that lacks a column."""
    for column in columns:
        if column not in schema.names:
            raise DataError(f"{path} has no column {column!r} but {', '.join(schema.names)}; {remedy}")


def _read_table(path: Path, columns: Sequence[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged ({error}); restore or remove it") from error


def read_schema(path: Path) -> pa.Schema:
    """Return the schema of a Parquet file; raise DataError for a file that is none."""
    try:
        schema = pq.read_schema(path)
        schema.names  # noqa: B018  # decodes them: a damaged name is found here
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a Parquet file ({error}); restore or remove it") from error
    return schema


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """Return the ClassLabel names that Hugging Face's `datasets` stores for a column, if any."""
    metadata: dict[str, Any] = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    names: list[str] | None = metadata.get("info", {}).get("features", {}).get(column, {}).get("names")
    return names


def to_labels(column: pa.ChunkedArray, space: LabelSpace, origin: str, rows: NDArray[np.int64] | None = None) -> Tensor:
    """Return a column of class numbers or names as int64 [N]; a null or -1 is UNKNOWN.

    Raises DataError naming the row (of `rows` int64 [N], else the position) of a label outside the space.
    """
    known: dict[object, int] = {None: UNKNOWN, UNKNOWN: UNKNOWN}
    for label, name in enumerate(space.classes):
        known |= {label: label, name: label}
    values = column.to_pylist()
    for position, value in enumerate(values):
        if value not in known:
            raise DataError(
                f"row {position if rows is None else rows[position]} of {origin} has label {value!r}, outside the "
                f"{len(space)} classes {', '.join(space.classes)}; mend the row or set data.classes=[...]"
            )
    return torch.tensor([known[value] for value in values], dtype=torch.int64)
