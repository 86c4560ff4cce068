"""A few faces that were accepted, and a few photos of each reason why others were not."""

import io
import re
from array import array
from collections import defaultdict
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from fer_ssl.data.pools.prepared import packed
from fer_ssl.data.preparing.manifest import NAME
from fer_ssl.data.preparing.photos import Photos
from fer_ssl.errors import DataError


class Sample(NamedTuple):
    """A picture, None where there is none to show, its name, and what was measured or why it was rejected."""

    picture: Image.Image | None
    name: str
    text: str


def accepted_samples(output: Path, count: int) -> tuple[int, list[Sample]]:
    """Return how many faces the manifest holds, and `count` of them evenly spaced."""
    total = pq.read_metadata(output / NAME).num_rows
    rows = _rows_at(output / NAME, _spaced(total, count))
    images = packed(output, rows)
    return total, [
        Sample(_opened(images[place]), row["id"], _measured(row)) for place, row in enumerate(rows.to_pylist())
    ]


def rejected_samples(output: Path, photos: Path, count: int) -> dict[str, tuple[int, list[Sample]]]:
    """Return, by kind of reason, how many there are, and the photos of `count` of them evenly spaced."""
    path = output / "rejected.parquet"
    groups: dict[str, array[int]] = defaultdict(lambda: array("q"))
    reasons = (batch["reason"].to_pylist() for batch in pq.ParquetFile(path).iter_batches(columns=["reason"]))
    for row, reason in enumerate(chain.from_iterable(reasons)):
        groups[kind(reason)].append(row)
    shown = {name: np.array(rows)[_spaced(len(rows), count)] for name, rows in sorted(groups.items())}
    chosen = np.sort(np.concatenate([np.empty(0, np.int64), *shown.values()]))
    found = dict(zip(chosen.tolist(), _rows_at(path, chosen).to_pylist(), strict=True))
    taken = Photos(photos)
    return {
        name: (len(groups[name]), [_rejected(found[row], taken) for row in rows.tolist()])
        for name, rows in shown.items()
    }


def _rows_at(path: Path, rows: NDArray[np.int64]) -> pa.Table:
    """Return the `rows` (ascending) of a Parquet file, a batch of which is in memory at a time."""
    start, found = 0, []
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            inside = rows[(rows >= start) & (rows < start + len(batch))]
            found.append(batch.take(pa.array(inside - start)))
            start += len(batch)
        return pa.Table.from_batches(found, file.schema_arrow)


def kind(reason: str) -> str:
    """Return a reason without its measures and names."""
    return re.split(r":| of |(?<=like) ", reason)[0]


def _spaced(total: int, count: int) -> NDArray[np.int64]:
    return np.linspace(0, total - 1, min(total, count)).round().astype(np.int64)


def _measured(row: Mapping[str, Any]) -> str:
    told = f"score {row['detector_score']:.2f}, {row['face_px']:.0f} px, sharpness {row['sharpness']:.0f}"
    return told if row["label"] is None else f"{row['label']}; {told}"


def _rejected(row: Mapping[str, Any], photos: Photos) -> Sample:
    return Sample(_photo(photos, re.sub(r"#\d+$", "", row["id"])), row["id"], row["reason"])


def _photo(photos: Photos, name: str) -> Image.Image | None:
    try:
        return Image.fromarray(photos.read(name)[0])
    except (DataError, OSError):
        return None


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")
