"""The frozen record of which face served as what."""

import hashlib
from collections.abc import Iterator, Mapping
from itertools import chain, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from fer_ssl.files import whole
from fer_ssl.types import UNKNOWN, Faces

BLOCK = 2**16  # faces
LABELED_ROLES = ("labeled", "pseudo", "heldout", "val", "test")


def manifest_hash(roles: Mapping[str, Faces]) -> str:
    """Return a SHA-256 over the ids and labels of every role: equal for equal splits."""
    digest = hashlib.sha256()
    for role in sorted(roles):
        for ids, labels in _sorted(role, roles[role]):
            lines = (f"{role}\0{image_id}\0{label}\n" for image_id, label in zip(ids, labels, strict=True))
            digest.update("".join(lines).encode())
    return digest.hexdigest()


def write_manifest(path: Path, roles: Mapping[str, Faces]) -> None:
    """Write `id, role, label` of every face; the pool's labels stay unknown even where the source has them."""
    columns = pa.schema({"id": pa.string(), "role": pa.string(), "label": pa.int64()})
    with whole(path) as partial, pq.ParquetWriter(partial, columns, compression="zstd") as writer:
        for role, faces in roles.items():
            for ids, labels in _blocks(role, faces):
                writer.write_table(pa.table([ids, [role] * len(ids), labels], columns))


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file whole or not at all."""
    with whole(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def _blocks(role: str, faces: Faces) -> Iterator[tuple[list[str], list[int]]]:
    """Yield ids and labels, a part at a time: millions of strings would take gigabytes."""
    for rows in torch.arange(len(faces)).split(BLOCK):
        labels = faces.labels[rows].tolist() if role in LABELED_ROLES else [UNKNOWN] * len(rows)
        yield faces.ids[rows.numpy()].tolist(), labels


def _sorted(role: str, faces: Faces) -> Iterator[tuple[list[str], list[int]]]:
    """Yield what `_blocks` does in the order of ids; a large pool has that order and is not sorted in memory."""
    ids = chain.from_iterable(ids for ids, _ in _blocks(role, faces))
    if all(before < after for before, after in pairwise(ids)):
        yield from _blocks(role, faces)
        return
    pairs = sorted(pair for block in _blocks(role, faces) for pair in zip(*block, strict=True))
    yield [image_id for image_id, _ in pairs], [label for _, label in pairs]
