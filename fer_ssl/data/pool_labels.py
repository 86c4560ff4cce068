"""What a teacher said of every face of a pool, kept in a Parquet file between two rounds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from fer_ssl.errors import DataError
from fer_ssl.files import whole
from fer_ssl.types import Faces, LabelSpace

COLUMNS = ("id", "pseudo_label", "confidence", "keep", "tau")


def write_pool_labels(path: Path, columns: Mapping[str, Any], classes: Sequence[str]) -> None:
    """Write COLUMNS, one row per face, whole or not at all, and the names of the classes as metadata."""
    table = pa.table({name: columns[name] for name in COLUMNS})
    with whole(path) as partial:
        named = table.replace_schema_metadata({"classes": json.dumps(list(classes))})
        pq.write_table(named, partial, compression="zstd")


def pseudo_labeled(path: Path, pool: Faces | None, space: LabelSpace) -> Faces:
    """Return the faces of `pool` that the file keeps, under their pseudo-labels.

    Raises DataError for a file that cannot be read, of another label space or pool, or that keeps no face, and for a
    pool in which two faces have one name.
    """
    if pool is None:
        raise DataError(f"{path} labels faces of a pool and this run has none; set unlabeled=<that pool>")
    table = _table(path)
    classes = json.loads(table.schema.metadata[b"classes"])
    if tuple(classes) != space.classes:
        raise DataError(
            f"{path} labels the classes {', '.join(classes)}, but the data has {', '.join(space.classes)}; set "
            "data.pseudo_labels to a file made for it"
        )
    kept = table.filter(pc.field("keep"))
    if not len(kept):
        raise DataError(
            f"{path} keeps no face; make it anew with a lower selection.threshold.floor, or selection.threshold.tau of "
            "threshold@selection.threshold=fixed"
        )
    names = pool.ids.tolist()
    row_of = {name: row for row, name in enumerate(names)}
    if len(row_of) < len(names):
        twice = next(name for row, name in enumerate(names) if row_of[name] != row)
        raise DataError(
            f"two faces of the pool are named {twice!r}, and {path} cannot tell them apart; give the files of the "
            "mixed pools names of their own, or make one pool of a folder above them"
        )
    rows = [row_of.get(name) for name in kept["id"].to_pylist()]
    if None in rows:
        stranger = kept["id"][rows.index(None)].as_py()
        raise DataError(f"{path} labels the face {stranger!r}, which is not in the pool; set unlabeled=<its pool>")
    labels = torch.from_numpy(kept["pseudo_label"].to_numpy().astype(np.int64))
    return replace(pool.subset(torch.tensor(rows)), labels=labels, soft_labels=None)


def _table(path: Path) -> pa.Table:
    remedy = "make it with python -m fer_ssl.pseudo_label, or set data.pseudo_labels=null"
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"pseudo-labels {path} cannot be read as Parquet ({reason}); {remedy}") from None
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing or b"classes" not in (table.schema.metadata or {}):
        raise DataError(f"{path} lacks {', '.join(missing) or 'the names of its classes'}; {remedy}")
    return table
