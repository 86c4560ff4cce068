import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from fer_ssl.data.decode import Decoder
from fer_ssl.data.pools.parquet import ParquetPool
from fer_ssl.errors import DataError
from fer_ssl.types import UNKNOWN


@pytest.fixture
def root(face_bytes, tmp_path):
    for part in range(2):
        images = [{"bytes": face_bytes[part * 3 + row], "path": None} for row in range(3)]
        pq.write_table(pa.table({"image": images, "person": ["x", "y", "y"]}), tmp_path / f"part{part}.parquet")
    return tmp_path


def values(faces) -> list[float]:
    return faces.images.read(torch.arange(len(faces))).flatten(1).float().mean(1).tolist()


@pytest.mark.parametrize("resident", [True, False])
def test_all_files_of_a_folder(root, resident):
    faces = ParquetPool(root, subject_column="person").load(Decoder(8, 1, resident=resident))
    assert values(faces) == [0, 1, 2, 3, 4, 5]
    assert faces.ids[[0, 3]].tolist() == ["part0/0000000", "part1/0000000"]
    assert faces.subjects.tolist() == ["x", "y", "y"] * 2
    assert faces.labels.tolist() == [UNKNOWN] * 6


def test_limit_keeps_images_ids_and_people_together(root):
    faces = ParquetPool(root, subject_column="person", limit=2).load(Decoder(8, 1))
    assert values(faces) == [0, 3]
    assert faces.ids.tolist() == ["part0/0000000", "part1/0000000"]
    assert faces.subjects.tolist() == ["x", "x"]


def test_one_file(root):
    assert values(ParquetPool(root / "part1.parquet").load(Decoder(8, 3))) == [3, 4, 5]


def test_missing_column_is_named(root):
    with pytest.raises(DataError, match=r"no column 'img' but image, person; set unlabeled\.image_column"):
        ParquetPool(root, image_column="img").load(Decoder(8, 1))


@pytest.mark.parametrize("name", ["", "missing"])
def test_empty_or_missing_root_names_the_override(tmp_path, name):
    with pytest.raises(DataError, match=r"(empty|not exist).*unlabeled\.root=<dir>"):
        ParquetPool(tmp_path / name).load(Decoder(8, 1))
