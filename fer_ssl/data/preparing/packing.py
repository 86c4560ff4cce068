"""Parts to tar shards, a manifest and a list of rejections, without duplicates."""

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fer_ssl.data.preparing.manifest import SCHEMA
from fer_ssl.data.preparing.photos import frame_of
from fer_ssl.data.preparing.working import NUMBERS
from fer_ssl.data.preparing.writing import written_whole
from fer_ssl.data.provenance import COLUMNS
from fer_ssl.data.twins import alike, near_pairs
from fer_ssl.types import Provenance

Row = Mapping[str, Any]


def duplicates(parts: Sequence[Path], near: bool) -> dict[str, str]:
    """Return the faces to leave out, each with the reason; the first of each group of twins is kept.

    Faces of byte-identical photos are exact duplicates; `near` adds those that look alike.
    """
    columns = ["id", "reason", "photo_sha256", "phash", "thumbnail"]
    table = pa.concat_tables([pq.read_table(path, columns=columns) for path in parts])
    table = table.filter(pc.is_null(table["reason"]))
    ids = table["id"].to_pylist()
    left_out: dict[str, str] = {}
    first: dict[bytes, str] = {}
    for face_id, digest in zip(ids, table["photo_sha256"].to_pylist(), strict=True):
        photo = _photo(face_id)
        if first.setdefault(digest, photo) != photo:
            left_out[face_id] = f"duplicate of {first[digest]}"
    if near:
        pairs = near_pairs(table["phash"].to_numpy())
        for one, other in pairs[_same_picture(table["thumbnail"], pairs)].tolist():
            if ids[one] not in left_out and ids[other] not in left_out:
                left_out[ids[other]] = f"looks like {ids[one]}"
    return left_out


def _photo(face_id: str) -> str:
    return re.sub(r"#\d+$", "", face_id)


def _same_picture(thumbnails: pa.ChunkedArray, pairs: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
    def pixels(rows: Any) -> Any:
        return np.array([np.frombuffer(data, np.uint8) for data in thumbnails.take(rows).to_pylist()]).reshape(-1, 256)

    blocks = [pairs[at : at + 4096] for at in range(0, len(pairs), 4096)]
    return np.concatenate([np.empty(0, bool), *(alike(pixels(rows[:, 0]), pixels(rows[:, 1])) for rows in blocks)])


def kept_rows(parts: Sequence[Path], left_out: Mapping[str, str]) -> Iterator[Row]:
    """Yield the rows of the faces that stay, in order, one part in memory at a time."""
    for path in parts:
        for row in pq.read_table(path).to_pylist():
            if row["reason"] is None and row["id"] not in left_out:
                yield row


def pack(folder: Path, rows: Iterator[Row], size: int, pattern: str | None, provenance: Provenance) -> int:
    """Write shards of `size` faces and `manifest.parquet`; return how many faces they hold.

    A shard that is there already was written whole and is not written again.
    """
    total = 0
    with written_whole(folder / "manifest.parquet") as partial, pq.ParquetWriter(partial, SCHEMA) as manifest:
        for number, first in enumerate(rows):
            shard, faces = folder / f"faces-{number:06d}.tar", chain([first], islice(rows, size - 1))
            places = _write_shard(shard, faces, total)
            records = [{**_record(row, pattern, provenance), **place} for row, place in places]
            manifest.write_table(pa.Table.from_pylist(records, SCHEMA))
            total += len(records)
    return total


def _write_shard(shard: Path, faces: Iterator[Row], start: int) -> Iterator[tuple[Row, Row]]:
    """Yield each face with its place in the shard, which is whole once all are taken."""
    if shard.exists():
        yield from _placed(shard.name, faces)
        return
    with written_whole(shard) as partial, tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as archive:
        for number, (row, place) in enumerate(_placed(shard.name, faces), start):
            member = tarfile.TarInfo(f"{number:09d}.jpg")
            member.size = len(row["jpeg"])
            archive.addfile(member, io.BytesIO(row["jpeg"]))
            yield row, place


def _placed(shard: str, faces: Iterator[Row]) -> Iterator[tuple[Row, Row]]:
    offset = 0
    for row in faces:
        length = len(row["jpeg"])
        yield row, {"shard": shard, "offset": offset + tarfile.BLOCKSIZE, "size": length}
        offset += tarfile.BLOCKSIZE * (1 - (-length // tarfile.BLOCKSIZE))


def _record(row: Row, pattern: str | None, provenance: Provenance) -> dict[str, Any]:
    video, time = frame_of(_photo(row["id"])) or (None, None)
    known = {"subject": video, "video": video, "time_ms": time} | _named(pattern, row["id"])
    measured = {name: row[name] for name in ("id", "phash", *NUMBERS)}
    digests = {"sha256": hashlib.sha256(row["jpeg"]).hexdigest(), "photo_sha256": row["photo_sha256"].hex()}
    return measured | digests | known | {name: getattr(provenance, name) for name in COLUMNS}


def _named(pattern: str | None, face_id: str) -> dict[str, str]:
    match = re.match(pattern, face_id) if pattern else None
    return match.groupdict() if match else {}


def write_rejected(path: Path, parts: Sequence[Path], left_out: Mapping[str, str], skipped: Mapping[str, str]) -> int:
    """Write `id, reason` and what was measured of everything that was left out; return how many rows that is."""
    schema = pa.schema([("id", pa.string()), ("reason", pa.string()), *((name, pa.float32()) for name in NUMBERS)])
    total = len(skipped)
    with written_whole(path) as partial, pq.ParquetWriter(partial, schema) as file:
        file.write_table(pa.Table.from_pylist([{"id": name, "reason": why} for name, why in skipped.items()], schema))
        for part in parts:
            rows = pq.read_table(part, columns=schema.names).to_pylist()
            rows = [row | {"reason": row["reason"] or left_out.get(row["id"])} for row in rows]
            rejected = [row for row in rows if row["reason"] is not None]
            file.write_table(pa.Table.from_pylist(rejected, schema))
            total += len(rejected)
    return total
