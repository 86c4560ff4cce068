"""From photos to packed faces, with a detector that takes the middle of a photo for the face."""

import hashlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from packing import RULES, contents, packed, scene
from PIL import Image

from fer_ssl.data.decode import Decoder
from fer_ssl.data.pools.prepared import PreparedPool
from fer_ssl.data.preparing.aligning import TEMPLATE, align, pose, similarity
from fer_ssl.data.preparing.detecting import Detection, Detector, find_weights
from fer_ssl.data.preparing.listing import list_photos
from fer_ssl.data.preparing.manifest import read_manifest
from fer_ssl.data.preparing.photos import read_photo
from fer_ssl.data.preparing.pipeline import Job, prepare
from fer_ssl.data.preparing.writing import written_whole
from fer_ssl.data.sources.prepared import PreparedSource
from fer_ssl.data.twins import alike, near_pairs, perceptual_hash, thumbnail
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import Provenance


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for seed, name in ((50, "glad"), (40, "calm")):
        (root / name).mkdir(parents=True)
        for number in range(3):
            scene(seed + number).save(root / name / f"p{number}.jpg", quality=92)
    return root


def test_faces_are_packed_and_read_back(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert packed(photos, out) == {}
    assert sorted(path.name for path in out.glob("*.tar")) == ["faces-000000.tar", "faces-000001.tar"]
    source = PreparedSource(out)
    train = source.load(Decoder(112, 3)).train
    assert source.space.classes == ("calm", "glad")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert train.subjects is not None
    assert train.subjects.tolist() == ["p0", "p1", "p2"] * 2
    expected = np.asarray(Image.open(photos / "glad" / "p2.jpg"))[24:136, 24:136]
    assert np.abs(train.images.read(torch.tensor([5]))[0].permute(1, 2, 0).numpy() - expected.astype(float)).mean() < 3
    assert len(PreparedPool(out, limit=2).load(Decoder(48, 1, resident=False))) == 2


def test_a_label_that_names_a_split_is_doubted(photos: Path, tmp_path: Path) -> None:
    (photos / "glad").rename(photos / "Train")
    packed(photos, tmp_path / "out")
    with pytest.raises(DataError, match=r"label 'Train', which looks like a split; .* data\.classes=\[Train,calm\]"):
        assert PreparedSource(tmp_path / "out").space
    assert PreparedSource(tmp_path / "out", ["Train", "calm"]).space.classes == ("Train", "calm")


def test_the_manifest_tells_provenance_and_digests(photos: Path, tmp_path: Path) -> None:
    packed(photos, tmp_path / "out")
    row = read_manifest(tmp_path / "out", "").to_pylist()[4]
    stored = (tmp_path / "out" / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["size"]]
    assert row["sha256"] == hashlib.sha256(stored).hexdigest()
    assert row["photo_sha256"] == hashlib.sha256((photos / row["id"]).read_bytes()).hexdigest()
    assert (row["licence"], row["allowed_use"], row["split"]) == ("CC0-1.0", ["research"], None)


def test_stored_faces_carry_no_exif(photos: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "the name of a person"
    scene(77).save(photos / "glad" / "q.jpg", exif=exif)
    packed(photos, tmp_path / "out")
    assert not any(b"the name" in path.read_bytes() for path in (tmp_path / "out").iterdir())


def test_every_failure_is_listed_with_its_reason(photos: Path, tmp_path: Path) -> None:
    whole = (photos / "calm" / "p0.jpg").read_bytes()
    (photos / "a-copy.jpg").write_bytes(whole)
    scene(40).resize((168, 168)).crop((4, 4, 164, 164)).save(photos / "b.png")
    scene(41).save(photos / "c-anew.jpg", quality=70)
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "empty.jpg").touch()
    (photos / "text.png").write_text("not a picture")
    Image.new("RGB", (160, 160)).save(photos / "black.png")
    Image.new("1", (2**14, 2**13)).save(photos / "huge.png")
    Image.new("RGB", (160, 160), "gray").save(photos / "flat.png")
    (photos / "gone.jpg").symlink_to("nowhere.jpg")
    (photos / "loop").symlink_to(".")
    rejected = packed(photos, tmp_path / "out")
    expected = {
        "calm/p0.jpg": "duplicate of a-copy.jpg",
        "calm/p1.jpg": "looks like c-anew.jpg",
        "cut.jpg": "unreadable: OSError",
        "empty.jpg": "unreadable: the file is empty",
        "text.png": "unreadable: not an image",
        "black.png": "no face",
        "huge.png": "unreadable: 16384 x 8192 pixels are too many",
        "flat.png": "too blurred",
        "gone.jpg": "unreadable: No such file",
        "loop": "a folder that is a link is not followed",
    }
    for name, reason in expected.items():
        assert rejected[name].startswith(reason), name
    kept = set(read_manifest(tmp_path / "out", "")["id"].to_pylist())
    assert not kept & rejected.keys()
    assert kept | rejected.keys() >= set(list_photos(photos, 1.0)[0])


@pytest.mark.parametrize("kind", ["CMYK", "16-bit", "alpha", "rotated", "animated"])
def test_unusual_images_become_upright_rgb(tmp_path: Path, kind: str) -> None:
    path = tmp_path / {"CMYK": "a.jpg", "rotated": "a.jpg", "animated": "a.webp"}.get(kind, "a.png")
    image, exif = scene(1).crop((0, 0, 160, 80)), Image.Exif()
    exif[0x0112] = 6
    if kind == "CMYK":
        image.convert("CMYK").save(path)
    elif kind == "16-bit":
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(path)
    elif kind == "alpha":
        image.putalpha(128)
        image.save(path)
    elif kind == "rotated":
        image.save(path, exif=exif)
    else:
        image.save(path, save_all=True, append_images=[scene(2).crop((0, 0, 160, 80))], lossless=True)
    pixels = read_photo(path.read_bytes())
    assert pixels.shape == ((160, 80, 3) if kind == "rotated" else (80, 160, 3))
    assert pixels.std() > 20


def test_the_points_land_on_the_template() -> None:
    turn = np.array([[1.4, -0.6], [0.6, 1.4]], np.float32)
    points = TEMPLATE @ turn.T + 30
    matrix = similarity(points, TEMPLATE)
    np.testing.assert_allclose(points @ matrix[:, :2].T + matrix[:, 2], TEMPLATE, atol=1e-2)


@pytest.mark.parametrize("crop", ["arcface", "padded"])
def test_a_large_face_is_averaged_not_skipped(crop: str) -> None:
    checks = (np.indices((1120, 1120)).sum(0) % 2 * 255).astype(np.uint8)
    face = Detection(np.array([140, 140, 840, 840], np.float32), TEMPLATE * 10, 0.9)
    assert align(np.stack([checks] * 3, 2), face, crop)[30:80, 30:80].std() < 10


def test_the_pose_of_a_turned_average_face_is_found() -> None:
    assert np.abs(pose(TEMPLATE)).max() < 5
    slant = np.radians(20)
    turn = np.array([[np.cos(slant), -np.sin(slant)], [np.sin(slant), np.cos(slant)]], np.float32)
    assert abs(pose(TEMPLATE @ turn.T)[2] - 20) < 2
    nose = TEMPLATE + np.eye(5, dtype=np.float32)[2][:, None] * np.array([8, 0], np.float32)
    assert pose(nose)[0] > 10


def test_near_pairs_are_those_of_the_naive_search() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 300, np.uint64, endpoint=False)
    hashes[200:] = hashes[:100] ^ (np.uint64(1) << rng.integers(0, 64, 100, np.uint64))
    hashes[250:] ^= np.uint64(0b11011)
    naive = [(i, j) for i in range(300) for j in range(i + 1, 300) if bin(int(hashes[i] ^ hashes[j])).count("1") <= 4]
    assert near_pairs(hashes).tolist() == [list(pair) for pair in naive]
    assert len(naive) >= 50


def test_a_copy_hashes_alike_and_another_face_does_not() -> None:
    one, small, other = (np.asarray(image) for image in (scene(1), scene(1).resize((70, 70)), scene(2)))
    assert bin(perceptual_hash(one) ^ perceptual_hash(small)).count("1") <= 4
    assert alike(thumbnail(one)[None], thumbnail(small)[None]).all()
    assert not alike(thumbnail(one)[None], thumbnail(other)[None]).any()


def test_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    limited = (
        "import resource, signal; from pathlib import Path\n"
        "from fer_ssl.data.preparing.writing import written_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"with written_whole(Path({str(tmp_path / 'shard.tar')!r})) as path: path.write_bytes(bytes(5000))\n"
    )
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True)
    assert "DataError" in done.stderr
    assert "free space, then run the same command again" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_file_is_removed(tmp_path: Path) -> None:
    def write_half() -> None:
        with written_whole(tmp_path / "a") as path:
            path.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_without_a_column_or_with_a_wrong_type_is_told(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no .*manifest\.parquet; run python -m fer_ssl\.prepare"):
        PreparedPool(tmp_path / "none").load(Decoder(8, 1))
    packed(photos, tmp_path / "out")
    path = tmp_path / "out" / "manifest.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["licence"]), path)
    with pytest.raises(DataError, match="no column 'licence'"):
        PreparedPool(tmp_path / "out").load(Decoder(8, 1))
    pq.write_table(table.set_column(2, "offset", table["offset"].cast(pa.string())), path)
    with pytest.raises(DataError, match=r"column 'offset' of .* is no int64"):
        PreparedPool(tmp_path / "out").load(Decoder(8, 1))


def test_wrong_or_missing_weights_are_told(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ConfigError, match=r"is no YuNet .* set detector\.weights="):
        Detector(tmp_path / "no.onnx", 640, 0.7)
    with pytest.raises(ConfigError, match=r"no detector weights .* set detector\.weights="):
        find_weights(str(tmp_path / "none.onnx"), "", "")
    (tmp_path / "other.onnx").write_bytes(b"changed")
    with pytest.raises(ConfigError, match="no longer holds the pinned weights"):
        find_weights(None, (tmp_path / "other.onnx").as_uri(), "0" * 64)


@pytest.fixture
def real_job(real_data: Path, tmp_path: Path) -> Job:
    """60 faces of LFW on a gray ground and the detector."""
    weights = real_data.parent / "models" / "yunet" / "yunet_n_dynamic.onnx"
    if not weights.is_file():
        pytest.skip(f"no detector at {weights}")
    (tmp_path / "in").mkdir()
    faces = PreparedFaces(real_data)
    for number in range(60):
        photo = Image.new("RGB", (250, 250), (118, 120, 125))
        photo.paste(faces[number], (69, 69))
        photo.save(tmp_path / "in" / f"{number:03d}.jpg", quality=90)
    nobody = Provenance()
    return Job(tmp_path / "in", tmp_path / "out", weights, 640, 0.7, RULES, nobody, True, None, 1.0, 4, 20, 2)


class PreparedFaces:
    """The first faces of the LFW shards as images."""

    def __init__(self, root: Path) -> None:
        from fer_ssl.data.pools.shards import ShardPool

        self.images = ShardPool(root / "lfw112", limit=60).load(Decoder(112, 3)).images

    def __getitem__(self, row: int) -> Image.Image:
        return Image.fromarray(self.images.read(torch.tensor([row]))[0].permute(1, 2, 0).numpy())


@pytest.mark.real
def test_real_faces_are_found_and_a_second_run_changes_nothing(real_job: Job) -> None:
    summary = prepare(real_job)
    assert summary["accepted"] >= 57
    before = contents(real_job.output)
    assert prepare(real_job) == summary
    assert contents(real_job.output) == before
    with pytest.raises(ConfigError, match=r"other photos or settings; set output="):
        prepare(replace(real_job, rules=replace(RULES, quality=50)))


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("delay", [1, 4, 15])
def test_real_a_killed_run_goes_on_to_the_same_end(real_job: Job, tmp_path: Path, delay: int) -> None:
    """Kill once `delay` parts are there; nothing whole is written anew."""
    prepare(replace(real_job, output=tmp_path / "straight"))
    overrides = ("near_duplicates=true", "chunk=4", "shard_size=20", "min_sharpness=1", "min_face=32")
    command = [sys.executable, "-m", "fer_ssl.prepare", f"input={real_job.input}", f"output={real_job.output}"]
    command += [*overrides, f"detector.weights={real_job.weights}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    parts = real_job.output / ".parts"
    while process.poll() is None and len(list(parts.glob("*.parquet"))) < delay:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    times = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(times) >= delay or not parts.exists()
    made, straight = contents(real_job.output), contents(tmp_path / "straight")
    assert straight.keys() == made.keys() - {"contact_sheet.html"}  # the command's own
    assert all(made[name] == data for name, data in straight.items() if name != "plan.json")
