"""A few faces that were accepted, and a few photos of each reason why others were not."""

import io
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from fer_ssl.data.pools.prepared import packed
from fer_ssl.data.preparing.manifest import read_manifest
from fer_ssl.data.preparing.photos import Photos
from fer_ssl.errors import DataError


class Sample(NamedTuple):
    """A picture, None where there is none to show, its name, and what was measured or why it was rejected."""

    picture: Image.Image | None
    name: str
    text: str


def accepted_samples(output: Path, count: int) -> tuple[int, list[Sample]]:
    """Return how many faces the manifest holds, and `count` of them evenly spaced."""
    table = read_manifest(output, "set output=<dir>")
    rows = table.take(_spaced(len(table), count))
    images = packed(output, rows)
    return len(table), [
        Sample(_opened(images[place]), row["id"], _measured(row)) for place, row in enumerate(rows.to_pylist())
    ]


def rejected_samples(output: Path, photos: Path, count: int) -> dict[str, tuple[int, list[Sample]]]:
    """Return, by kind of reason, how many there are, and the photos of `count` of them evenly spaced."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in pq.read_table(output / "rejected.parquet", columns=["id", "reason"]).to_pylist():
        groups[kind(row["reason"])].append(row)
    taken = Photos(photos)
    return {
        name: (len(rows), [_rejected(rows[place], taken) for place in _spaced(len(rows), count).tolist()])
        for name, rows in sorted(groups.items())
    }


def kind(reason: str) -> str:
    """Return a reason without its measures and names."""
    return re.split(r":| of |(?<=like) ", reason)[0]


def _spaced(total: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
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
