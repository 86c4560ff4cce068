"""The audit finds what was planted, and nothing else."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from pages import Page
from PIL import Image, ImageEnhance
from running import composed

from fer_ssl.audit import audit
from fer_ssl.data.auditing.pairs import Search
from fer_ssl.errors import ConfigError, DataError

Pixels = NDArray[np.uint8]


def scene(seed: int, side: int = 64) -> Image.Image:
    """Return a smooth random picture that no other seed resembles."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).convert("RGB")


def save(root: Path, split: str, label: str, name: str, picture: Image.Image, **options: object) -> str:
    path = root / split / label / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return f"{split}/{label}/{name}"


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Six strangers in each split, and copies of test faces in training."""
    root = tmp_path / "faces"
    for number in range(6):
        save(root, "train", "glad" if number else "calm", f"t{number}.png", scene(number))
        save(root, "test", "calm", f"s{number}.png", scene(100 + number))
    save(root, "train", "calm", "same_file.png", scene(100))
    save(root, "train", "glad", "same_pixels.bmp", scene(101))
    save(root, "train", "calm", "compressed.jpg", scene(102), quality=60)
    save(root, "train", "calm", "larger.png", scene(103).resize((96, 96), Image.Resampling.BICUBIC))
    save(root, "train", "calm", "brighter.png", ImageEnhance.Brightness(scene(104)).enhance(1.1))
    save(root, "train", "calm", "mirrored.png", scene(105).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    return root


FOUND = {
    ("same_file", "s0", "exact"), ("same_pixels", "s1", "exact"), ("compressed", "s2", "near"),
    ("larger", "s3", "near"), ("brighter", "s4", "near"), ("mirrored", "s5", "mirrored"),
}  # fmt: skip


def audited(root: Path, run_dir: Path, *overrides: str) -> dict[str, object]:
    return audit(composed("data=folder", f"data.root={root}", f"run_dir={run_dir}", *overrides, config="audit"))


def found(run_dir: Path) -> set[tuple[str, str, str]]:
    rows = pq.read_table(run_dir / "pairs.parquet").to_pylist()
    return {
        (*sorted((Path(row["id"]).stem, Path(row["twin"]).stem), key=len, reverse=True), row["kind"]) for row in rows
    }


def test_planted_twins_are_found_and_strangers_are_not(planted: Path, tmp_path: Path) -> None:
    summary = audited(planted, tmp_path / "run")
    assert found(tmp_path / "run") == FOUND
    assert summary["leaks"]["faces"] == {"train": 6}
    rows = {Path(row["id"]).stem: row for row in json.loads((tmp_path / "run" / "audit.json").read_text())["pairs"]}
    by_twin = {Path(row["twin"]).stem: row for row in rows.values()} | rows
    assert by_twin["same_pixels"]["conflict"]
    assert not by_twin["same_file"]["conflict"]
    assert by_twin["same_file"]["same_file"]
    assert not by_twin["same_pixels"]["same_file"]


@pytest.mark.parametrize(
    ("option", "kinds"),
    [("near=false", {"exact", "mirrored"}), ("mirrored=false", {"exact", "near"})],
)
def test_a_kind_can_be_left_out(option: str, kinds: set[str], planted: Path, tmp_path: Path) -> None:
    audited(planted, tmp_path / "run", option)
    assert found(tmp_path / "run") == {each for each in FOUND if each[2] in kinds}


def test_the_list_of_an_audit_leaves_the_leaks_out(planted: Path, tmp_path: Path) -> None:
    audited(planted, tmp_path / "first")
    listed = json.loads((tmp_path / "first" / "exclude.json").read_text())
    assert sorted(Path(name).stem for name in listed["train"]) == sorted(train for train, _, _ in FOUND)
    for name in listed["train"]:
        (planted / name).unlink()
    summary = audited(planted, tmp_path / "second", "strict=true")
    assert summary["leaks"] == {"faces": {}, "held_out_twins": 0, "subjects": 0}


def test_a_strict_audit_fails_on_leaks(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"6 faces of train are on both sides of a split .*data\.exclude="):
        audited(planted, tmp_path / "run", "strict=true")
    assert (tmp_path / "run" / "audit.html").exists()


def test_another_set_is_compared(planted: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save(other, "train", "glad", "copy.png", scene(3))
    save(other, "train", "calm", "stranger.png", scene(500))
    audited(planted, tmp_path / "run", "set@against=folder", f"against.root={other}", "near=false", "mirrored=false")
    rows = pq.read_table(tmp_path / "run" / "pairs.parquet").to_pylist()
    crossing = [row for row in rows if "against/train" in (row["split"], row["twin_split"])]
    assert [(Path(row["id"]).name, Path(row["twin"]).name) for row in crossing] == [("t3.png", "copy.png")]


def test_the_page_shows_pairs_and_needs_nothing_from_outside(planted: Path, tmp_path: Path) -> None:
    audited(planted, tmp_path / "run", "shown=2")
    page = Page((tmp_path / "run" / "audit.html").read_text())
    assert "6 faces of train have a twin in a held-out split" in page.text
    assert "2 of 3 pairs" in page.text
    assert page.links
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)


@pytest.mark.parametrize(
    ("override", "message"),
    [("distance=13", "distance=13 is none of 0 to 12"), ("shown=-1", "shown=-1 is less than no pair")],
)
def test_a_mistake_names_its_key(override: str, message: str, planted: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        audited(planted, tmp_path / "run", override)


def test_a_set_without_its_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"against=folder needs the place of its files; set against\.root="):
        audited(tmp_path, tmp_path / "run", "set@against=folder")
    with pytest.raises(ConfigError, match=r"against=rafdb chooses no set; set set@against=rafdb against\.root="):
        audited(tmp_path, tmp_path / "run", "against=rafdb")


def test_near_twins_are_searched_for_by_default() -> None:
    assert Search() == Search(near=True, mirrored=True, within=True, distance=4)


def test_an_image_that_cannot_be_read_is_no_twin(planted: Path, tmp_path: Path) -> None:
    (planted / "train" / "glad" / "t3.png").write_bytes(b"no picture")
    (planted / "test" / "calm" / "s3.png").write_bytes(b"no picture")
    summary = audited(planted, tmp_path / "run", "data.max_rejected=0.5")
    assert found(tmp_path / "run") == {each for each in FOUND if each[1] != "s3"}
    assert summary["unreadable"] == 2
    assert len((tmp_path / "run" / "rejected.csv").read_text().splitlines()) == 3
    with pytest.raises(DataError, match="cannot be read"):
        audited(planted, tmp_path / "again", "data.max_rejected=0.01")
    for split in ("train/glad/t3.png", "test/calm/s3.png"):
        scene(300 + len(split)).save(planted / split)
    audited(planted, tmp_path / "run")
    assert not (tmp_path / "run" / "rejected.csv").exists(), "all can be read by now"


@pytest.mark.browser
def test_a_browser_shows_the_pairs_without_overflow(planted: Path, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("there is no browser")
    audited(planted, tmp_path / "run")
    probe = "<script>document.title = JSON.stringify([document.body.scrollWidth, innerWidth,"
    probe += " [...document.images].map(image => image.getBoundingClientRect().width)])</script></body>"
    page = tmp_path / "probe.html"
    page.write_text((tmp_path / "run" / "audit.html").read_text().replace("</body>", probe))
    for width in (1240, 500):
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
        shown = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, check=True, timeout=60).stdout
        used, inner, images = json.loads(shown.split("<title>")[1].split("</title>")[0])
        assert used <= inner
        assert len(images) >= 2 * len(FOUND)
        assert min(images) > 60


@pytest.mark.real
def test_the_known_twins_of_fer2013_are_found(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "fer2013"
    summary = audit(composed("data=fer2013", f"data.root={root}", f"run_dir={tmp_path}", config="audit"))
    counts = {(each["kind"], each["split"], each["twin_split"]): each for each in summary["twins"]}
    crossing, within = counts["exact", "train", "test"], counts["exact", "train", "train"]
    assert (crossing["faces"], crossing["twins"], crossing["conflicts"]) == (351, 280, 27)
    assert (within["faces"], within["conflicts"]) == (2271, 96)
    assert summary["splits"]["train"]["blank"] == 11
    exact = [row for row in pq.read_table(tmp_path / "pairs.parquet").to_pylist() if row["kind"] == "exact"]
    leaked = {row["id"] for row in exact if row["split"] != row["twin_split"]}
    split = json.loads((root / "splits" / "25_per_class_seed0.json").read_text())
    assert leaked <= {f"fer2013/{row:05d}" for row in split["excluded"]}  # 703 rows, twins of either test split
    assert leaked < set(json.loads((tmp_path / "exclude.json").read_text())["train"])
    conflicts = [row for row in exact if row["conflict"] and row["split"] == row["twin_split"]]
    assert {name for row in conflicts for name in (row["id"], row["twin"])} == flagged(root)


def flagged(root: Path) -> set[str]:
    """Return the faces whose column says that a twin in their own split has another label."""
    tables = [pq.read_table(root / f"{name}.parquet") for name in ("train", "public_test")]
    rows = [row for table in tables for row in table.select(["image", "label_conflict"]).to_pylist()]
    return {f"fer2013/{int(Path(row['image']['path']).stem):05d}" for row in rows if row["label_conflict"]}
