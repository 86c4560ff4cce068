"""Labels of a pool between two rounds: written, read, refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from making import SPACE, faces

from fer_ssl.data.pool_labels import pseudo_labeled, write_pool_labels
from fer_ssl.errors import DataError
from fer_ssl.types import Faces, LabelSpace

POOL = faces([2, 2, 1, 0], "pool")


def columns(pool: Faces = POOL, keep: tuple[bool, ...] = (True, False, True, False)) -> dict[str, Any]:
    return {
        "id": pool.ids.tolist(),
        "pseudo_label": np.array([0, 1, 2, 0]),
        "confidence": np.array([0.9, 0.3, 0.8, 0.2], np.float32),
        "keep": np.array(keep),
        "tau": np.array([0.5, 0.5, 0.5, 0.5], np.float32),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_pool_labels(tmp_path / "labels.parquet", columns(), SPACE.classes)
    return tmp_path / "labels.parquet"


def test_kept_faces_come_back_under_their_pseudo_labels(path: Path) -> None:
    shuffled = POOL.subset(torch.tensor([3, 2, 0, 1]))
    taught = pseudo_labeled(path, shuffled, SPACE)
    assert taught.ids.tolist() == ["pool/00000", "pool/00002"]
    assert taught.labels.tolist() == [0, 2]
    assert torch.equal(taught.images.read(torch.arange(2)), POOL.images.read(torch.tensor([0, 2])))
    assert [file.name for file in path.parent.iterdir()] == ["labels.parquet"]


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet", None])
def test_a_broken_or_missing_file_is_told(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as Parquet .* fer_ssl\.pseudo_label"):
        pseudo_labeled(path, POOL, SPACE)


def test_another_parquet_file_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"lacks pseudo_label, confidence, keep, tau; make it"):
        pseudo_labeled(tmp_path / "other.parquet", POOL, SPACE)
    pq.write_table(pa.table(columns()), tmp_path / "nameless.parquet")
    with pytest.raises(DataError, match="lacks the names of its classes"):
        pseudo_labeled(tmp_path / "nameless.parquet", POOL, SPACE)


def test_labels_of_another_space_pool_or_of_nobody_are_told(path: Path) -> None:
    with pytest.raises(DataError, match=r"labels the classes calm, glad, cross, but the data has glad, calm, cross"):
        pseudo_labeled(path, POOL, LabelSpace("turned", ("glad", "calm", "cross")))
    with pytest.raises(DataError, match=r"labels the face 'pool/00000', which is not in the pool; set unlabeled="):
        pseudo_labeled(path, faces([0, 1], "other"), SPACE)
    with pytest.raises(DataError, match=r"this run has none; set unlabeled="):
        pseudo_labeled(path, None, SPACE)
    write_pool_labels(path, columns(keep=(False,) * 4), SPACE.classes)
    with pytest.raises(DataError, match=r"keeps no face; .* lower selection\.threshold\.floor"):
        pseudo_labeled(path, POOL, SPACE)


def test_faces_that_share_a_name_are_not_taught_each_other_s_labels(tmp_path: Path) -> None:
    twice = replace(POOL, ids=np.array(["a/0.png", "a/1.png", "a/0.png", "a/2.png"]))
    write_pool_labels(tmp_path / "labels.parquet", columns(twice), SPACE.classes)
    with pytest.raises(DataError, match=r"are named 'a/0\.png', .* make one pool of a folder above"):
        pseudo_labeled(tmp_path / "labels.parquet", twice, SPACE)
