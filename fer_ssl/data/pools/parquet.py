"""Unlabeled faces in Parquet files."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import hold
from fer_ssl.data.pools.folder import spaced
from fer_ssl.data.sources.folder import found
from fer_ssl.data.sources.parquet import ParquetImages, read_columns
from fer_ssl.errors import DataError
from fer_ssl.types import Faces


class ParquetPool:
    """The images of a Parquet file or of all `*.parquet` files in a folder; the ids are `<file>/<row>`.

    `subject_column` names the person, where one is known; `limit` takes that many faces, evenly spaced.
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
        columns = [self.image_column] + ([self.subject_column] if self.subject_column else [])
        tables = [read_columns([path], columns, "set unlabeled.image_column=<column>") for path in files]
        ids = np.array(
            [f"{path.stem}/{row:07d}" for path, table in zip(files, tables, strict=True) for row in range(len(table))]
        )
        table = pa.concat_tables(tables, promote_options="default")
        rows = spaced(len(table), self.limit)
        encoded = ParquetImages(table[self.image_column], rows)
        subjects = np.array(table[self.subject_column].to_pylist(), str)[rows] if self.subject_column else None
        return hold(encoded, ids[rows], decoder, str(self.root), subjects=subjects)
