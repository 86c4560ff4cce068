import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from fer_ssl.data.decode import Decoder
from fer_ssl.data.sources.parquet import ParquetSource
from fer_ssl.errors import DataError
from fer_ssl.types import UNKNOWN


def values(faces) -> list[float]:
    return faces.images.read(torch.arange(len(faces))).flatten(1).float().mean(1).tolist()


def hugging_face(images: list[bytes], labels: list[int], names: list[str]) -> pa.Table:
    table = pa.table({"image": [{"bytes": data, "path": None} for data in images], "label": labels})
    features = {"label": {"names": names, "_type": "ClassLabel"}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def test_hugging_face_folder_with_shards_and_metadata(face_bytes, tmp_path):
    for name, rows in (
        ("train-00000-of-00002", [0, 1]),
        ("train-00001-of-00002", [2]),
        ("validation-00000-of-00001", [3]),
        ("test-00000-of-00001", [4, 5]),
    ):
        table = hugging_face([face_bytes[row] for row in rows], [row % 2 for row in rows], ["calm", "glad"])
        pq.write_table(table, tmp_path / f"{name}.parquet")
    source = ParquetSource(tmp_path)
    splits = source.load(Decoder(8, 1))
    assert source.space.classes == ("calm", "glad")
    assert [values(faces) for faces in (splits.train, splits.val, splits.test)] == [[0, 1, 2], [3], [4, 5]]
    assert splits.train.labels.tolist() == [0, 1, 0]
    assert splits.train.ids.tolist() == ["train/0000000", "train/0000001", "train/0000002"]


def test_one_file_of_plain_bytes_with_class_names(face_bytes, tmp_path):
    table = pa.table({"png": face_bytes[:4], "mood": ["glad", "calm", None, "glad"]})
    pq.write_table(table, tmp_path / "faces.parquet")
    source = ParquetSource(tmp_path / "faces.parquet", "png", "mood", classes=["calm", "glad"])
    splits = source.load(Decoder(8, 1, resident=False))
    assert splits.train.labels.tolist() == [1, 0, UNKNOWN, 1]
    assert values(splits.train) == [0, 1, 2, 3]
    assert splits.val is splits.test is None


@pytest.mark.parametrize("labels", [[0, 2], [0, -2], ["calm", "sad"]])
def test_label_outside_the_space_names_the_row(face_bytes, tmp_path, labels):
    pq.write_table(pa.table({"image": face_bytes[:2], "label": labels}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"row 1 of .*outside the 2 classes calm, glad.*data\.classes="):
        ParquetSource(tmp_path, classes=["calm", "glad"]).load(Decoder(8, 1))


def test_missing_column_is_named(face_bytes, tmp_path):
    pq.write_table(pa.table({"picture": face_bytes[:2], "label": [0, 1]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"no column 'image' but picture, label; set data\.image_column"):
        ParquetSource(tmp_path, classes=["calm", "glad"]).load(Decoder(8, 1))


def test_a_missing_label_column_is_told_before_its_classes(face_bytes, tmp_path):
    pq.write_table(pa.table({"img": face_bytes[:2], "emotion": [0, 1]}), tmp_path / "own.parquet")
    with pytest.raises(DataError, match=r"no column 'label' but img, emotion; set data.image_column and data.l"):
        assert ParquetSource(tmp_path / "own.parquet").space


def test_classes_must_be_known(face_bytes, tmp_path):
    pq.write_table(pa.table({"image": face_bytes[:2], "label": [0, 1]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"data\.classes="):
        ParquetSource(tmp_path).load(Decoder(8, 1))


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"train.parquet is not a Parquet file"):
        ParquetSource(tmp_path).load(Decoder(8, 1))


@pytest.mark.parametrize("name", ["", "missing"])
def test_empty_or_missing_root_names_the_override(tmp_path, name):
    with pytest.raises(DataError, match=r"train.parquet.*(empty|not exist).*data\.root=<dir>"):
        ParquetSource(tmp_path / name).load(Decoder(8, 1))


def test_null_images_are_rejected(face_bytes, tmp_path):
    table = pa.table({"image": [face_bytes[0], None], "label": [0, 1]})
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"1 of 2 images.*train/0000001: the file is empty"):
        ParquetSource(tmp_path, classes=["calm", "glad"]).load(Decoder(8, 1))
