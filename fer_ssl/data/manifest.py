"""The frozen record of which face served as what."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fer_ssl.files import whole
from fer_ssl.types import UNKNOWN, Faces

LABELED_ROLES = ("labeled", "pseudo", "heldout", "val", "test")


def manifest_hash(roles: Mapping[str, Faces]) -> str:
    """Return a SHA-256 over the ids and labels of every role: equal for equal splits."""
    digest = hashlib.sha256()
    for role in sorted(roles):
        labels = roles[role].labels.tolist() if role in LABELED_ROLES else [UNKNOWN] * len(roles[role])
        for image_id, label in sorted(zip(roles[role].ids.tolist(), labels, strict=True)):
            digest.update(f"{role}\0{image_id}\0{label}\n".encode())
    return digest.hexdigest()


def write_manifest(path: Path, roles: Mapping[str, Faces]) -> None:
    """Write `id, role, label` of every face; the pool's labels stay unknown even where the source has them."""
    tables = [
        pa.table(
            {
                "id": faces.ids.tolist(),
                "role": [role] * len(faces),
                "label": faces.labels.numpy() if role in LABELED_ROLES else np.full(len(faces), UNKNOWN),
            }
        )
        for role, faces in roles.items()
    ]
    write_table(path, pa.concat_tables(tables))


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file whole or not at all."""
    with whole(path) as partial:
        pq.write_table(table, partial, compression="zstd")
