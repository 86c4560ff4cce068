import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import ResidentImages
from fer_ssl.data.labels import FERPLUS, vote_majority, vote_probabilities
from fer_ssl.data.sources.fer2013 import FER2013
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import UNKNOWN, Faces, Splits

FORMS = ("csv", "parquet", "folders")


def load(root, **options) -> Splits:
    return FER2013(root, **options).load(Decoder(48, 1))


def pixels(faces: Faces) -> np.ndarray:
    return faces.images.read(torch.arange(len(faces)))[:, 0].numpy()


def official_rows(faces: Faces) -> list[int]:
    return [int(name.split("/")[-1].removesuffix(".png")) for name in faces.ids.tolist()]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_loads_the_same_faces(mini_fer2013, tmp_path, form):
    splits = load(getattr(mini_fer2013, f"write_{form}")(tmp_path))
    for faces, usage in ((splits.train, "Training"), (splits.test, "PublicTest")):
        rows = official_rows(faces)
        assert sorted(rows) == mini_fer2013.rows(usage)
        assert (pixels(faces) == mini_fer2013.pixels[rows]).all()
        assert faces.labels.tolist() == mini_fer2013.labels[rows].tolist()
    assert splits.val is splits.pool is None


def test_ids_are_rows_of_the_official_file(mini_fer2013, tmp_path):
    (tmp_path / "csv").mkdir()
    (tmp_path / "parquet").mkdir()
    from_csv = load(mini_fer2013.write_csv(tmp_path / "csv") / "fer2013.csv")
    from_parquet = load(mini_fer2013.write_parquet(tmp_path / "parquet"))
    assert from_csv.train.ids.tolist() == from_parquet.train.ids.tolist()
    assert (
        from_csv.test.ids.tolist() == from_parquet.test.ids.tolist() == [f"fer2013/{row:05d}" for row in range(14, 21)]
    )


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_private_test_is_a_choice(mini_fer2013, tmp_path, form):
    splits = load(getattr(mini_fer2013, f"write_{form}")(tmp_path), test_split="PrivateTest")
    assert official_rows(splits.test) == mini_fer2013.rows("PrivateTest")


def test_kaggle_header_variant(mini_fer2013, tmp_path):
    lines = ["emotion, Usage, pixels"]
    for row in range(28):
        label, values, usage = mini_fer2013.csv_line(row).split(",")
        lines.append(f"{label},{usage},{values}")
    (tmp_path / "icml_face_data.csv").write_text("\n".join(lines))
    splits = load(tmp_path)
    assert (pixels(splits.train) == mini_fer2013.pixels[:14]).all()


def test_faces_are_resized_and_streamed_alike(mini_fer2013, tmp_path):
    source = FER2013(mini_fer2013.write_csv(tmp_path))
    held = source.load(Decoder(32, 3)).train.images
    read = source.load(Decoder(32, 3, resident=False)).train.images
    assert isinstance(held, ResidentImages)
    assert torch.equal(held.pixels, read.read(torch.arange(14)))
    assert held.pixels.shape == (14, 3, 32, 32)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_ferplus_majority(mini_fer2013, tmp_path, form):
    mini_fer2013.write_votes(tmp_path)
    source = FER2013(getattr(mini_fer2013, f"write_{form}")(tmp_path), labels="ferplus_majority")
    splits = source.load(Decoder(48, 1))
    expected = vote_majority(mini_fer2013.votes)
    assert source.space is FERPLUS
    assert splits.train.labels.tolist() == expected[:14].tolist()
    assert splits.train.labels[3] == UNKNOWN
    assert splits.train.soft_labels is None
    assert official_rows(splits.test) == [14, 16, 17, 18, 19, 20]
    assert splits.test.labels.tolist() == expected[[14, 16, 17, 18, 19, 20]].tolist()
    assert (pixels(splits.test) == mini_fer2013.pixels[[14, 16, 17, 18, 19, 20]]).all()


def test_votes_beside_the_csv_are_found(mini_fer2013, tmp_path):
    mini_fer2013.write_votes(tmp_path)
    splits = load(mini_fer2013.write_csv(tmp_path) / "fer2013.csv", labels="ferplus_majority")
    assert splits.train.labels.tolist() == vote_majority(mini_fer2013.votes)[:14].tolist()


def test_ferplus_soft(mini_fer2013, tmp_path):
    splits = load(mini_fer2013.write_parquet(tmp_path), labels="ferplus_soft")
    assert torch.equal(splits.train.soft_labels, vote_probabilities(mini_fer2013.votes[:14]))
    assert splits.train.labels.tolist() == vote_majority(mini_fer2013.votes[:14]).tolist()


def test_ferplus_csv_overrides_the_parquet_column(mini_fer2013, tmp_path):
    mini_fer2013.write_parquet(tmp_path)
    mini_fer2013.votes[0] = [0, 0, 0, 0, 0, 0, 0, 9, 0, 1]
    splits = load(tmp_path, labels="ferplus_majority", ferplus_csv=mini_fer2013.write_votes(tmp_path))
    assert splits.train.labels[0] == FERPLUS.index("contempt")


def test_ferplus_without_votes_names_the_override(mini_fer2013, tmp_path):
    with pytest.raises(DataError, match=r"data\.ferplus_csv="):
        load(mini_fer2013.write_parquet(tmp_path, votes=False), labels="ferplus_majority")


def test_ferplus_needs_official_rows(mini_fer2013, tmp_path):
    with pytest.raises(DataError, match="CSV or Parquet"):
        load(mini_fer2013.write_folders(tmp_path), labels="ferplus_majority")


def test_ferplus_of_another_order_is_refused(mini_fer2013, tmp_path):
    mini_fer2013.write_csv(tmp_path)
    mini_fer2013.usage = mini_fer2013.usage[::-1]
    mini_fer2013.write_votes(tmp_path)
    with pytest.raises(DataError, match="row by row"):
        load(tmp_path, labels="ferplus_majority")


def test_short_ferplus_file_is_refused(mini_fer2013, tmp_path):
    path = mini_fer2013.write_votes(mini_fer2013.write_csv(tmp_path))
    path.write_text("\n".join(path.read_text().splitlines()[:6]))
    with pytest.raises(DataError, match="5 rows, too few for row 13"):
        load(tmp_path, labels="ferplus_majority")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line.replace(" ", ",", 1), "not a CSV table"),
        (lambda line: line.replace(" ", "", 1), "row 5 of .* has 2303 pixels instead of 2304"),
        (lambda line: f"3,{' '.join(['300'] * 2304)},Training", "row 5 of .* outside 0..255"),
        (lambda line: line.replace(" ", " x", 1), "row 5 of .* not numbers"),
        (lambda line: f"3,,{line.split(',')[2]}", "row 5 of .* has 0 pixels"),
        (lambda line: "7" + line[1:], "row 5 of .* has label 7"),
    ],
)
def test_broken_csv_rows_are_named(mini_fer2013, tmp_path, change, message):
    path = mini_fer2013.write_csv(tmp_path) / "fer2013.csv"
    lines = path.read_text().splitlines()
    lines[6] = change(lines[6])
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_csv_without_usage_is_refused(tmp_path):
    (tmp_path / "fer2013.csv").write_text("emotion,pixels\n0,1 2 3\n")
    with pytest.raises(DataError, match="no column 'Usage'"):
        load(tmp_path)


def test_csv_without_the_test_split_is_refused(mini_fer2013, tmp_path):
    path = mini_fer2013.write_csv(tmp_path) / "fer2013.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:15]))
    with pytest.raises(DataError, match="no row with Usage PublicTest"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["", "nothing/here"])
def test_empty_or_missing_root_tells_what_was_expected(tmp_path, name):
    with pytest.raises(DataError, match=r"expected fer2013.csv, train.parquet.*data\.root=<dir>"):
        load(tmp_path / name)


def test_unknown_class_folder_is_named(mini_fer2013, tmp_path):
    mini_fer2013.write_folders(tmp_path)
    (tmp_path / "train" / "bored").mkdir()
    with pytest.raises(DataError, match="bored"):
        load(tmp_path)


def test_class_folder_without_images_is_named(mini_fer2013, tmp_path):
    mini_fer2013.write_folders(tmp_path)
    for path in (tmp_path / "train" / "disgust").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="'disgust'"):
        load(tmp_path)


def test_parquet_label_outside_the_space_is_named(mini_fer2013, tmp_path):
    mini_fer2013.labels[4] = 9
    with pytest.raises(DataError, match=r"row 4 of .* has label 9"):
        load(mini_fer2013.write_parquet(tmp_path))


def test_parquet_without_columns_is_named(mini_fer2013, tmp_path):
    mini_fer2013.write_parquet(tmp_path)
    pq.write_table(pa.table({"picture": [b""]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match="no column 'image' but picture"):
        load(tmp_path)


def test_parquet_without_official_rows_is_refused(mini_fer2013, tmp_path):
    mini_fer2013.write_parquet(tmp_path)
    pq.write_table(pa.table({"image": [{"bytes": b"", "path": "face.png"}], "label": [0]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"image.path 'face.png' in row 0"):
        load(tmp_path)


def test_missing_private_parquet_is_named(mini_fer2013, tmp_path):
    (mini_fer2013.write_parquet(tmp_path) / "private_test.parquet").unlink()
    with pytest.raises(DataError, match=r"private_test.parquet.*data\.test_split"):
        load(tmp_path, test_split="PrivateTest")


def test_choices_are_checked(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.labels="):
        FER2013(tmp_path, labels="majority")
    with pytest.raises(ConfigError, match=r"data\.test_split="):
        FER2013(tmp_path, test_split="Test")


@pytest.mark.real
def test_real_ferplus_counts_and_split_files(real_data):
    root = real_data / "fer2013"
    unread = Decoder(48, 1, resident=False)
    splits = FER2013(root, labels="ferplus_majority").load(unread)
    assert (len(splits.train), int((splits.train.labels != UNKNOWN).sum())) == (28709, 25060)
    assert len(splits.test) == 3199
    official = FER2013(root).load(unread).train
    split = json.loads((root / "splits" / "25_per_class_seed0.json").read_text())
    known = dict(zip(official.ids.tolist(), official.labels.tolist(), strict=True))
    labels = [known[f"fer2013/{row:05d}"] for row in split["labeled"]]
    assert np.bincount(labels).tolist() == [25] * 7
