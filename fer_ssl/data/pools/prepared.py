"""Faces that `python -m fer_ssl.prepare` packed, without their labels."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from fer_ssl.data.decode import Decoder
from fer_ssl.data.ids import compact
from fer_ssl.data.images import hold
from fer_ssl.data.pools.folder import spaced
from fer_ssl.data.pools.shards import ShardImages
from fer_ssl.data.pools.storage import LocalFiles
from fer_ssl.data.preparing.manifest import read_manifest
from fer_ssl.data.provenance import of_rows
from fer_ssl.errors import DataError
from fer_ssl.types import Faces


class PreparedPool:
    """The faces of the manifest in `root`; `limit` takes that many, evenly spaced."""

    def __init__(self, root: str | Path, limit: int | None = None) -> None:
        self.root = Path(root)
        self.limit = limit

    def load(self, decoder: Decoder) -> Faces:
        """Return the faces; people are named where the manifest names the subject of every face.

        Raises DataError for a missing or wrong manifest and for missing shards.
        """
        table = read_manifest(self.root, "set unlabeled.root=<dir>")
        table = table.take(spaced(len(table), self.limit))
        subjects = compact(table["subject"].to_pylist()) if len(table) and not table["subject"].null_count else None
        ids, origins = compact(table["id"].to_pylist()), of_rows(table)
        return hold(packed(self.root, table), ids, decoder, str(self.root), subjects=subjects, origins=origins)


def packed(root: Path, table: pa.Table) -> ShardImages:
    """Return the images of manifest rows; raise DataError for a shard that is not there."""
    names = sorted(set(table["shard"].to_pylist()))
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise DataError(f"the manifest of {root} names {missing[0]}, which is not there; prepare the photos again")
    numbers = {name: number for number, name in enumerate(names)}
    rows = np.array([numbers[name] for name in table["shard"].to_pylist()], np.int64)
    files = LocalFiles([str(root / name) for name in names])
    return ShardImages(files, rows, table["offset"].to_numpy(), table["size"].to_numpy())
