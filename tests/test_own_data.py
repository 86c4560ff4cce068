"""Bring your own faces: class folders, a tree of unlabeled faces, and what happens to broken files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import TINY, composed

from fer_ssl.errors import DataError, FerError
from fer_ssl.inference import score_checkpoint
from fer_ssl.rounds import label_pool
from fer_ssl.run import run

SMALL = [option for option in TINY if not option.startswith("data.")]


def write_faces(folder: Path, count: int, seed: int) -> None:
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 24, 24, 3), dtype=np.uint8)
    for row, face in enumerate(pixels):
        Image.fromarray(face).save(folder / f"{row:03d}.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed, name in enumerate(("angry", "happy", "sad")):
        write_faces(tmp_path / "photos" / "train" / name, 40, seed)
        write_faces(tmp_path / "photos" / "test" / name, 5, seed + 10)
    write_faces(tmp_path / "pool" / "someone" / "deep", 12, 20)
    write_faces(tmp_path / "pool" / "flat", 12, 21)
    return tmp_path


def own(photos: Path, *overrides: str) -> dict[str, object]:
    places = ["data=folder", f"data.root={photos}/photos", "unlabeled=folder", f"unlabeled.root={photos}/pool"]
    return run(composed(*SMALL, f"run_dir={photos}/run", *places, *overrides))


def test_folders_and_a_deep_pool_train(photos: Path) -> None:
    metrics = own(photos)
    assert metrics["classes"] == ["angry", "happy", "sad"]
    faces = json.loads((photos / "run" / "data.json").read_text())["faces"]
    assert faces == {"labeled": 108, "val": 12, "test": 15, "pool": 24}
    assert not (photos / "run" / "rejected.csv").exists()


def test_a_broken_image_is_skipped_and_listed(photos: Path) -> None:
    broken = photos / "photos" / "train" / "happy" / "007.png"
    broken.write_bytes(broken.read_bytes()[:60])
    own(photos)
    rejected = list(csv.DictReader((photos / "run" / "rejected.csv").open()))
    assert [row["id"] for row in rejected] == ["train/happy/007.png"]
    assert json.loads((photos / "run" / "data.json").read_text())["rejected"] == 1


def test_too_many_broken_images_stop_the_run(photos: Path) -> None:
    for row in range(5):
        (photos / "photos" / "train" / "sad" / f"{row:03d}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"5 of 120 .* cannot be read .* data\.max_rejected="):
        own(photos)


def test_evaluation_stops_where_too_many_streamed_faces_are_broken(photos: Path) -> None:
    own(photos)
    for row in range(2):
        (photos / "photos" / "test" / "sad" / f"{row:03d}.png").write_bytes(b"")
    place = [f"ckpt_path={photos}/run/checkpoints/last.ckpt", f"run_dir={photos}", "data=folder"]
    options = [*place, f"data.root={photos}/photos", "data.resident=never"]
    with pytest.raises(DataError, match=r"2 of 15 .* cannot be read .* data\.max_rejected="):
        score_checkpoint(composed(*options, config="evaluate"))
    assert score_checkpoint(composed(*options, "data.max_rejected=0.2", config="evaluate"))["test"]


def test_a_split_that_is_not_there_is_told_with_those_that_are(photos: Path) -> None:
    own(photos)
    place = [f"ckpt_path={photos}/run/checkpoints/last.ckpt", f"run_dir={photos}", "data=folder"]
    with pytest.raises(FerError, match=r"data=folder has no val split; set split=test or train"):
        score_checkpoint(composed(*place, f"data.root={photos}/photos", "split=val", config="evaluate"))


def test_a_run_stops_where_too_many_streamed_test_faces_are_broken(photos: Path) -> None:
    for row in range(2):
        (photos / "photos" / "test" / "sad" / f"{row:03d}.png").write_bytes(b"")
    streamed = ["data.resident=never", "data.leak_check=false"]  # so that nothing reads them before the end
    with pytest.raises(DataError, match=r"2 of 15 .* cannot be read .* data\.max_rejected="):
        own(photos, *streamed)
    assert not (photos / "run" / "metrics.json").exists()
    assert own(photos, *streamed, "data.max_rejected=0.2")["test"]


def test_a_pool_is_not_labeled_where_too_many_of_its_streamed_faces_are_broken(photos: Path) -> None:
    own(photos, "data.resident=never", "data.leak_check=false")
    for row in range(2):
        (photos / "pool" / "flat" / f"{row:03d}.png").write_bytes(b"")
    selection = composed("run_dir=.", config="pseudo_label").selection
    with pytest.raises(DataError, match=r"2 of 24 .* cannot be read .* data\.max_rejected="):
        label_pool(photos / "run" / "checkpoints" / "last.ckpt", selection, "cpu", photos / "labels.parquet")
    assert not (photos / "labels.parquet").exists()


def test_identical_faces_never_cross_into_the_test_split(photos: Path) -> None:
    twin = (photos / "photos" / "test" / "sad" / "000.png").read_bytes()
    (photos / "pool" / "flat" / "000.png").write_bytes(twin)
    (photos / "photos" / "train" / "happy" / "000.png").write_bytes(twin)
    own(photos)
    data = json.loads((photos / "run" / "data.json").read_text())
    assert data["leaked"] == 2
    assert data["faces"]["pool"] == 23


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.labels_per_class=99"], r"data\.labels_per_class=99 is more than the 40"),
        (["batch.unlabeled=64"], r"pool holds 24 faces, fewer than one batch; set batch\.unlabeled=24"),
        (["batch.labeled=2"], r"batch\.labeled=2 is smaller than the 3 classes"),
        (["data.classes=[angry,happy]"], r"sad.* is none of the classes .*data\.classes="),
        (["unlabeled.root=/nowhere"], r"/nowhere.*unlabeled\.root="),
        (["data.root=/nowhere"], r"/nowhere.*data\.root="),
    ],
)
def test_a_mistake_names_its_override(photos: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(FerError, match=message):
        own(photos, *overrides)


def test_a_run_that_will_have_no_score_is_told(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    (photos / "photos" / "test").rename(photos / "later")
    own(photos)
    own(photos, "data.val_fraction=0", "+experiment=pretrain_infonce")
    assert "no split to score" not in caplog.text
    assert "test" not in own(photos, "data.val_fraction=0")
    assert "no split to score, and the run will end without a figure for reports; set data.val_fraction" in caplog.text


def test_classes_that_few_faces_show_are_told(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    own(photos)
    assert "few labeled faces show" not in caplog.text
    for row in range(3, 40):
        (photos / "photos" / "train" / "sad" / f"{row:03d}.png").unlink()
    own(photos, "data.heldout_fraction=0.1")
    assert "few labeled faces show sad (3), too few to learn it; label more, or leave the class out" in caplog.text
    assert "no held-out face shows sad; raise data.heldout_fraction" in caplog.text
    caplog.clear()
    own(photos, "data.labels_per_class=2")
    assert "few labeled faces show" not in caplog.text
