import io
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fer_ssl.data.decode import Decoder
from fer_ssl.data.pools.parquet import MappedImages, ParquetPool
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


def test_faces_without_a_name_are_each_a_person(face_bytes, tmp_path):
    images = [{"bytes": face_bytes[row], "path": None} for row in range(4)]
    pq.write_table(pa.table({"image": images, "person": ["x", None, None, "x"]}), tmp_path / "faces.parquet")
    names = ParquetPool(tmp_path, subject_column="person").load(Decoder(8, 1)).subjects.tolist()
    assert (names[0], len(set(names))) == (names[3], 3)


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


def test_encoded_images_that_do_not_fit_are_mapped_from_the_cache(root, monkeypatch, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    pool = ParquetPool(root, subject_column="person", limit=4)
    faces = pool.load(Decoder(8, 1, resident=False, resident_gib=0))
    assert isinstance(faces.images.encoded, MappedImages)
    assert values(faces) == [0, 1, 3, 4]
    assert values(pool.load(Decoder(8, 1, resident=False))) == [0, 1, 3, 4]
    images = pickle.loads(pickle.dumps(faces.images))
    assert torch.equal(images.read(torch.arange(4)), faces.images.read(torch.arange(4)))
    files = list(cache.rglob("*.*"))
    assert [path.suffix for path in files] == [".arrow"]
    pool.load(Decoder(8, 1, resident=False, resident_gib=0))
    assert list(cache.rglob("*.*")) == files


@pytest.mark.parametrize("column", [["a"], [1.5], [{"path": "x"}], [[1, 2]]])
def test_a_column_of_other_things_is_named(tmp_path, column):
    pq.write_table(pa.table({"image": column}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"column 'image' of .* holds .*, not the bytes of images"):
        ParquetPool(tmp_path).load(Decoder(8, 1))


def test_null_images_are_rejects(root):
    pq.write_table(pa.table({"image": pa.array([None, b""], pa.binary())}), root / "part2.parquet")
    faces = ParquetPool(root).load(Decoder(8, 1, max_rejected=0.5))
    assert len(faces) == 6
    with pytest.raises(DataError, match="2 of 8 images"):
        ParquetPool(root).load(Decoder(8, 1))


WHOLE = io.BytesIO()
pq.write_table(pa.table({"image": [b"x" * 50] * 5}), WHOLE)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, len(WHOLE.getvalue())),
    at=st.integers(0, len(WHOLE.getvalue()) - 1),
    value=st.integers(0, 255),
    fits=st.booleans(),
)
@example(cut=222, at=222, value=0, fits=False)  # a footer that tells of more rows than there are
@example(cut=214, at=214, value=128, fits=False)  # the name of a column is no text
def test_damaged_files_are_read_or_data_errors(tmp_path, monkeypatch, cut, at, value, fits):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = bytearray(WHOLE.getvalue())
    data[at] = value
    (tmp_path / "any.parquet").write_bytes(data[: cut if cut < at else None])
    try:
        faces = ParquetPool(tmp_path / "any.parquet").load(Decoder(8, 1, False, resident_gib=8.0 if fits else 0.0))
        [faces.images.encoded[row] for row in range(len(faces))]
    except DataError:
        return
