"""A checkpoint asked about faces without labels: which get a prediction, which one, and what is refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from running import composed, trained

from fer_ssl.checkpoints import read_checkpoint
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.inference import averaged, predict_faces, score_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("run")
    trained(run_dir)
    return run_dir / "checkpoints" / "last.ckpt"


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Return a folder with four faces in each of two folders, which bear the same names."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3), dtype=np.uint8)
    for number, face in enumerate(pixels):
        path = tmp_path / "faces" / "ab"[number // 4] / f"{number % 4}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(path)
    return tmp_path / "faces"


def predicted(checkpoint: Path, out: Path, *options: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the summary and the rows of predictions.parquet by id."""
    summary = predict_faces(composed(f"ckpt_path={checkpoint}", f"run_dir={out}", *options, config="predict"))
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    assert len({row["id"] for row in rows}) == len(rows) == summary["faces"]
    return summary, {row["id"]: row for row in rows}


@pytest.mark.parametrize("resident", ["never", "cpu"])
def test_readable_faces_get_the_average_s_prediction(resident: str, checkpoint: Path, faces: Path) -> None:
    (faces / "a" / "3.png").write_bytes(b"no image")
    options = [f"unlabeled.root={faces}", "data.max_rejected=0.2", f"data.resident={resident}", "data.batch_eval=3"]
    summary, rows = predicted(checkpoint, faces.parent / "out", *options)
    assert (summary["faces"], summary["unreadable"]) == (7, 1)
    assert sum(summary["shares"].values()) == pytest.approx(1)
    assert rows.keys() == {f"{folder}/{number}.png" for folder in "ab" for number in range(4)} - {"a/3.png"}
    assert all((row["split"], row["label"]) == ("unlabeled", -1) for row in rows.values())
    assert "a/3.png" in (faces.parent / "out" / "rejected.csv").read_text()
    content = read_checkpoint(checkpoint)
    model = averaged(content, OmegaConf.create(content["config"]), "cpu").eval()
    pixels = torch.from_numpy(np.array(Image.open(faces / "b" / "1.png"))).permute(2, 0, 1).unsqueeze(0)
    with torch.inference_mode():
        probs = model(pixels).logits.softmax(1)[0]
    row = rows["b/1.png"]
    assert [row[f"prob_{name}"] for name in content["classes"]] == pytest.approx(probs.tolist(), abs=1e-5)
    assert row["prediction"] == int(probs.argmax())


@pytest.mark.parametrize("resident", ["never", "cpu"])
def test_a_face_called_as_an_unreadable_one_of_another_set_is_kept(
    resident: str, checkpoint: Path, faces: Path
) -> None:
    (faces / "a" / "3.png").write_bytes(b"no image")
    pools = f"unlabeled.pools=[{{kind:folder,root:{faces}/a}},{{kind:folder,root:{faces}/b}}]"
    options = ["unlabeled=mixed", pools, "data.max_rejected=0.5", f"data.resident={resident}"]
    out = faces.parent / "out"
    summary = predict_faces(composed(f"ckpt_path={checkpoint}", f"run_dir={out}", *options, config="predict"))
    assert (summary["faces"], summary["unreadable"]) == (7, 1)
    names = pq.read_table(out / "predictions.parquet")["id"].to_pylist()
    assert sorted(names) == sorted(2 * ["0.png", "1.png", "2.png"] + ["3.png"])


def test_a_model_of_gray_faces_is_shown_gray_faces(checkpoint: Path, faces: Path, tmp_path: Path) -> None:
    trained(tmp_path / "gray", "data.channels=1")
    gray = tmp_path / "gray" / "checkpoints" / "last.ckpt"
    shown = predicted(gray, tmp_path / "shown", f"unlabeled.root={faces}")[1]
    forced = predicted(gray, tmp_path / "forced", f"unlabeled.root={faces}", "data.channels=3")[1]
    for face in (faces / "a").iterdir():
        Image.open(face).convert("L").save(face)
    assert predicted(gray, tmp_path / "again", f"unlabeled.root={faces}/a")[1].keys() == {f"{n}.png" for n in range(4)}
    as_gray = predicted(gray, tmp_path / "as_gray", f"unlabeled.root={faces}")[1]
    assert as_gray["a/0.png"] == shown["a/0.png"] != forced["a/0.png"]


def test_a_model_of_gray_faces_is_scored_on_gray_faces(tmp_path: Path) -> None:
    learned = trained(tmp_path / "gray", "data.channels=1")["test"]
    given = [f"ckpt_path={tmp_path}/gray/checkpoints/last.ckpt", "data.source.val=21", "data.source.test=42"]
    given += ["data.source.labeled=70", "data.source.pool=96"]
    as_learned, in_colour = (
        score_checkpoint(composed(*given, *option, f"run_dir={tmp_path}", config="evaluate"))["test"]
        for option in ([], ["data.channels=3"])
    )
    assert as_learned["ece"] == pytest.approx(learned["ece"])
    assert in_colour["ece"] != pytest.approx(learned["ece"])


def test_a_checkpoint_that_noted_no_channels_asks_for_them(checkpoint: Path, faces: Path, tmp_path: Path) -> None:
    content = read_checkpoint(checkpoint)
    del content["FaceData"]["channels"]
    torch.save(content, tmp_path / "old.ckpt")
    with pytest.raises(ConfigError, match=r"does not tell .* set data\.channels=1, or 3"):
        predicted(tmp_path / "old.ckpt", tmp_path / "out", f"unlabeled.root={faces}")
    assert predicted(tmp_path / "old.ckpt", tmp_path / "out", f"unlabeled.root={faces}", "data.channels=3")[0]


def test_what_is_lacking_is_told(checkpoint: Path, faces: Path) -> None:
    given, root = f"ckpt_path={checkpoint}", f"unlabeled.root={faces}"
    for options, told in (
        ([root], "no checkpoint to ask; set ckpt_path="),
        ([given], r"unlabeled=folder needs the place of its files; set unlabeled\.root="),
        ([given, root, "data.batch_eval=0"], r"data\.batch_eval=0 makes no sense; set data\.batch_eval above 0"),
        ([given, root, "data.channels=2"], r"data\.channels=2 is neither gray nor colour; set data\.channels=1 or 3"),
        ([given, "unlabeled=same"], "unlabeled=same names no faces; set unlabeled=folder"),
        (
            [given, root, f"run_dir={checkpoint.parent.parent}"],
            r"another verb wrote, config\.yaml; set hydra\.run\.dir=",
        ),
    ):
        with pytest.raises(ConfigError, match=told):
            predict_faces(composed(f"run_dir={faces.parent}/out", *options, config="predict"))


def test_scores_do_not_replace_predictions(checkpoint: Path, faces: Path) -> None:
    out = faces.parent / "out"
    predicted(checkpoint, out, f"unlabeled.root={faces}")
    with pytest.raises(ConfigError, match=r"another verb wrote, predictions\.json; set hydra\.run\.dir="):
        score_checkpoint(composed(f"ckpt_path={checkpoint}", f"run_dir={out}", config="evaluate"))


def test_a_folder_without_a_readable_face_is_told(checkpoint: Path, faces: Path) -> None:
    for face in faces.rglob("*.png"):
        face.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"8 of 8 images of .* cannot be read"):
        predicted(checkpoint, faces.parent / "out", f"unlabeled.root={faces}")
    with pytest.raises(DataError, match="none of the faces"):
        predicted(checkpoint, faces.parent / "out", f"unlabeled.root={faces}", "data.max_rejected=1.0")


@pytest.mark.parametrize("resident", ["never", "cpu"])
def test_faces_that_cannot_be_read_are_told_and_not_scored(
    resident: str, checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classes = read_checkpoint(checkpoint)["classes"]
    pixels = np.random.default_rng(0).integers(0, 256, (len(classes), 2, 24, 24, 3), dtype=np.uint8)
    for name, of_class in zip(classes, pixels, strict=True):
        (tmp_path / "test" / name).mkdir(parents=True)
        for number, face in enumerate(of_class):
            Image.fromarray(face).save(tmp_path / "test" / name / f"{number}.png")
    (tmp_path / "test" / classes[0] / "0.png").write_bytes(b"no image")
    (tmp_path / "train").symlink_to(tmp_path / "test")
    options = [
        f"ckpt_path={checkpoint}", "data=folder", f"data.root={tmp_path}", f"data.classes=[{','.join(classes)}]",
        "data.max_rejected=0.2", f"data.resident={resident}", f"run_dir={tmp_path}/out", "data.leak_check=false",
    ]  # fmt: skip
    results = score_checkpoint(composed(*options, config="evaluate"))
    assert results["test"]["count"] == 2 * len(classes) - 1
    ids = [row["id"] for row in pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()]
    assert len(ids) == 2 * len(classes) - 1
    assert f"test/{classes[0]}/0.png" not in ids
    assert f"test/{classes[0]}/0.png" in (tmp_path / "out" / "rejected.csv").read_text()
    assert "faces cannot be read and are not scored" in caplog.text
    shutil.copy(tmp_path / "test" / classes[0] / "1.png", tmp_path / "test" / classes[0] / "0.png")
    score_checkpoint(composed(*options, config="evaluate"))
    assert not (tmp_path / "out" / "rejected.csv").exists(), "all can be read by now"
