"""The manifest of prepared faces: one row a face, where it lies, what is known of it and where it comes from."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fer_ssl.data.sources.parquet import read_schema
from fer_ssl.errors import DataError

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("shard", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("label", pa.string()),
        ("soft_label", pa.list_(pa.float32())),
        ("subject", pa.string()),
        ("video", pa.string()),
        ("time_ms", pa.int64()),
        ("split", pa.string()),
        ("detector_score", pa.float32()),
        ("face_px", pa.float32()),
        ("sharpness", pa.float32()),
        ("yaw", pa.float32()),
        ("pitch", pa.float32()),
        ("roll", pa.float32()),
        ("sha256", pa.string()),
        ("photo_sha256", pa.string()),
        ("phash", pa.uint64()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("consent", pa.string()),
        ("allowed_use", pa.list_(pa.string())),
        ("collected", pa.string()),
    ]
)
NAME = "manifest.parquet"


def read_manifest(root: Path, remedy: str) -> pa.Table:
    """Return the manifest in the folder `root`.

    Raises DataError, with its `remedy`, where there is none, and for missing or mistyped columns.
    """
    path = root / NAME
    if not path.is_file():
        raise DataError(f"there is no {path}; run python -m fer_ssl.prepare input=<photos> output={root}, or {remedy}")
    schema = read_schema(path)
    for column in SCHEMA:
        if column.name not in schema.names:
            raise DataError(f"{path} has no column {column.name!r}; prepare the photos again, or {remedy}")
        if schema.field(column.name).type != column.type:
            raise DataError(f"column {column.name!r} of {path} is no {column.type}; prepare the photos again")
    return pq.read_table(path, columns=SCHEMA.names)
