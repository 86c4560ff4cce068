"""A copy of FER2013 for tuning: faces of Training are its test split, and nothing of the real one is in it."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HELD_OUT, SEED = 3500, 123


def make_fold(fer2013: Path, target: Path) -> Path:
    """Write Parquet files of FER2013 to `target`, unless they are there, and return it.

    The held-out faces are drawn from those that no split file excludes as twins of a test face.
    """
    if (target / "train.parquet").exists():
        return target
    train = pq.read_table(fer2013 / "train.parquet")
    columns = pq.read_schema(fer2013 / "public_test.parquet").names
    official = np.array([int(re.findall(r"\d+", image["path"])[-1]) for image in train["image"].to_pylist()])
    excluded = json.loads((fer2013 / "splits" / "25_per_class_seed0.json").read_text())["excluded"]
    candidates = np.flatnonzero(~np.isin(official, excluded))
    held_out = np.sort(np.random.default_rng(SEED).permutation(candidates)[:HELD_OUT])
    target.mkdir(parents=True, exist_ok=True)
    for name, rows in (("public_test", held_out), ("train", np.setdiff1d(candidates, held_out))):
        pq.write_table(train.select(columns).take(pa.array(rows)), target / f"{name}.parquet")
    return target
