"""Unlabeled faces in Parquet files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_ssl.data.cache import cached
from fer_ssl.data.decode import Decoder
from fer_ssl.data.ids import JoinedIds, NumberedIds
from fer_ssl.data.images import hold
from fer_ssl.data.pools.folder import spaced
from fer_ssl.data.sources.folder import found
from fer_ssl.data.sources.parquet import ParquetImages, read_columns, read_schema
from fer_ssl.errors import DataError
from fer_ssl.types import Faces

ROWS = 1024  # encoded images that are copied at a time
COLUMN = "image"


class MappedImages:
    """The image files in a column `image` of an Arrow file, which the system maps into memory as they are read."""

    def __init__(self, path: Path, rows: NDArray[np.int64]) -> None:
        self.path, self.rows = path, rows
        self._images: ParquetImages | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "rows": self.rows, "_images": None}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> bytes:
        if self._images is None:
            self._images = ParquetImages(pa.ipc.open_file(pa.memory_map(str(self.path))).read_all()[COLUMN], self.rows)
        return self._images[row]


class ParquetPool:
    """The images of a Parquet file or of all `*.parquet` files in a folder; the ids are `<file>/<row>`.

    Encoded images stay in memory where they fit as decoded ones would, else they are copied once to the cache, as an
    Arrow file: a Parquet file gives no access to a single value. `subject_column` names the person, where one is
    known; `limit` takes that many faces, evenly spaced.
    """

    def __init__(
        self,
        root: str | Path,
        image_column: str = "image",
        subject_column: str | None = None,
        limit: int | None = None,
    ) -> None:
        self.root = Path(root)
        self.image_column = image_column
        self.subject_column = subject_column
        self.limit = limit

    def load(self, decoder: Decoder) -> Faces:
        """Return the faces without labels; raise DataError for missing files or columns."""
        files = [self.root] if self.root.is_file() else sorted(self.root.glob("*.parquet"))
        if not files:
            raise DataError(f"expected Parquet files at {self.root}, but {found(self.root)}; set unlabeled.root=<dir>")
        for path in files:
            _require_images(read_schema(path), self.image_column, path)
        counts = [pq.read_metadata(path).num_rows for path in files]
        ids = JoinedIds(
            [NumberedIds(f"{path.stem}/", np.arange(count)) for path, count in zip(files, counts, strict=True)]
        )
        rows = spaced(len(ids), self.limit)
        return hold(
            self._encoded(files, rows, decoder), ids[rows], decoder, str(self.root), subjects=self._people(files, rows)
        )

    def _encoded(
        self, files: Sequence[Path], rows: NDArray[np.int64], decoder: Decoder
    ) -> ParquetImages | MappedImages:
        if encoded_bytes(files) <= decoder.resident_gib * 2**30:
            tables = [
                read_columns([path], [self.image_column], "set unlabeled.image_column=<column>") for path in files
            ]
            for table, path in zip(tables, files, strict=True):
                _require_rows(len(table), path)
            columns = [ParquetImages(table[self.image_column]).column.cast(pa.large_binary()) for table in tables]
            chunks = [chunk for column in columns for chunk in column.chunks]
            return ParquetImages(pa.chunked_array(chunks, pa.large_binary()), rows)
        return MappedImages(as_arrow(files, self.image_column), rows)

    def _people(self, files: Sequence[Path], rows: NDArray[np.int64]) -> NDArray[np.str_] | None:
        if self.subject_column is None:
            return None
        table = read_columns(files, [self.subject_column], "set unlabeled.subject_column=<column>")
        names = table[self.subject_column].to_pylist()
        own = (f"nobody named, row {row}" for row in range(len(names)))  # no two nameless faces are one person
        return np.array([face if name is None else name for name, face in zip(names, own, strict=True)], str)[rows]


def encoded_bytes(files: Sequence[Path]) -> int:
    """Return what the columns of Parquet files take in memory; asked for one of them, Arrow aborts on some damages."""
    footers = map(pq.read_metadata, files)
    return sum(each.row_group(number).total_byte_size for each in footers for number in range(each.num_row_groups))


def as_arrow(files: Sequence[Path], column: str) -> Path:
    """Return an Arrow file in the cache with a column `image` of the bytes in a column of Parquet files."""
    versions = [(path.resolve(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]

    def write(target: Path) -> None:
        with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, pa.schema({COLUMN: pa.binary()})) as writer:
            for path in files:
                rows = 0
                for batch in _batches(path, column):
                    writer.write_batch(batch)
                    rows += len(batch)
                _require_rows(rows, path)

    return cached("parquet", (column, *versions), ".arrow", write)


def _batches(path: Path, column: str) -> Any:
    try:
        for batch in pq.ParquetFile(path).iter_batches(ROWS, columns=[column]):
            images = ParquetImages(pa.chunked_array([batch[column]])).column.cast(pa.binary())
            yield pa.record_batch([images.combine_chunks()], [COLUMN])
    except pa.ArrowException as error:
        raise DataError(f"{path} cannot be read ({error}); restore or remove it") from error


def _require_rows(found_rows: int, path: Path) -> None:
    if found_rows != (told := pq.read_metadata(path).num_rows):
        raise DataError(f"{path} holds {found_rows} of the {told} rows that its footer tells of; restore or remove it")


def _require_images(schema: pa.Schema, column: str, path: Path) -> None:
    if column not in schema.names:
        raise DataError(
            f"{path} has no column {column!r} but {', '.join(schema.names)}; set unlabeled.image_column=<column>"
        )
    kind = schema.field(column).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise DataError(
            f"column {column!r} of {path} holds {kind}, not the bytes of images; set unlabeled.image_column=<column>"
        )
