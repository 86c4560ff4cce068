"""What lies below a folder of photos and videos, and what cannot be read of it."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from packing import packed, prepared, scene

from fer_ssl.data import video
from fer_ssl.data.decode import Decoder
from fer_ssl.data.pools.prepared import PreparedPool
from fer_ssl.data.preparing.listing import list_photos
from fer_ssl.data.preparing.manifest import read_manifest
from fer_ssl.data.preparing.photos import Photos, frame_of
from fer_ssl.errors import ConfigError, DataError

av = pytest.importorskip("av")


def write_clip(path: Path, scenes: int) -> Path:
    """Write a video that shows each scene for a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 160
        stream.bit_rate = 2_000_000
        for number in range(5 * scenes):
            frame = av.VideoFrame.from_ndarray(np.asarray(scene(number // 5)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    write_clip(root / "glad" / "clip.MP4", 3)
    scene(50).save(root / "glad" / "photo.jpg")
    return root


def test_videos_are_sampled_by_time_among_the_photos(mixed: Path) -> None:
    frames = [f"glad/clip.MP4/{time:07d}" for time in (0, 500, 1000, 1500, 2000, 2500)]
    assert list_photos(mixed, 0.5) == ([*frames, "glad/photo.jpg"], {})
    assert frame_of(frames[1]) == ("glad/clip.MP4", 500)
    assert frame_of("glad/photo.jpg") is None
    pixels, digest = Photos(mixed).read(frames[2])
    assert np.abs(pixels - np.asarray(scene(1)).astype(int)).mean() < 12
    assert len(digest) == 32


def test_the_manifest_names_video_and_time(mixed: Path, tmp_path: Path) -> None:
    assert packed(mixed, tmp_path / "out") == {}
    table = read_manifest(tmp_path / "out", "")
    assert table["video"].to_pylist() == ["glad/clip.MP4"] * 3 + [None]
    assert table["time_ms"].to_pylist() == [0, 1000, 2000, None]
    assert table["label"].to_pylist() == ["glad"] * 4
    assert len(PreparedPool(tmp_path / "out").load(Decoder(48, 3))) == 4


def test_who_is_in_one_video_is_one_person_where_nothing_names_them(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / "in" / name, 2)
    prepared(tmp_path / "in", tmp_path / "out")
    assert set(read_manifest(tmp_path / "out", "")["subject"].to_pylist()) <= {"a.mp4", "b.mp4"}


def test_frames_are_the_same_wherever_a_run_goes_on(mixed: Path) -> None:
    names, _ = list_photos(mixed, 0.5)
    photos = Photos(mixed)
    straight = [photos.read(name)[1] for name in names]
    assert [Photos(mixed).read(name)[1] for name in names[3:]] == straight[3:]
    assert [photos.read(name)[1] for name in reversed(names)] == straight[::-1]


def test_broken_videos_are_listed_with_their_reason(mixed: Path, tmp_path: Path) -> None:
    (mixed / "none.mp4").write_bytes(b"no video")
    (mixed / "empty.avi").touch()
    (mixed / "gone.mkv").symlink_to("nowhere.mkv")
    cut = write_clip(mixed / "cut.avi", 8)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    rejected = packed(mixed, tmp_path / "out")
    assert {"none.mp4", "empty.avi", "gone.mkv"} <= rejected.keys()
    assert "is no video that can be read" in rejected["none.mp4"]
    ids = read_manifest(tmp_path / "out", "")["id"].to_pylist()
    assert "cut.avi/0001000" in {*ids, *rejected}
    assert all(not name.startswith("cut.avi/0006") for name in ids)


def test_videos_without_their_package_name_the_extra(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=r"pip install 'fer-ssl\[video\]'"):
        list_photos(mixed, 1.0)


def test_a_folder_removed_in_between_is_listed(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (mixed / "glad" / "below").mkdir()
    times = video.times_of

    def removing(path: Path, every_seconds: float) -> np.ndarray:
        shutil.rmtree(mixed / "glad" / "below")
        return times(path, every_seconds)

    monkeypatch.setattr(video, "times_of", removing)
    assert list_photos(mixed, 1.0)[1] == {"glad/below": "unreadable folder: No such file or directory"}


def test_photos_removed_after_they_were_listed_are_rejected(mixed: Path) -> None:
    names, _ = list_photos(mixed, 1.0)
    shutil.rmtree(mixed / "glad")
    for name in names:
        with pytest.raises((OSError, DataError)):
            Photos(mixed).read(name)


def test_an_input_of_which_nothing_can_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected photos or videos below .*unreadable folder: No such.*set input="):
        list_photos(tmp_path / "gone", 1.0)
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match=r"but it is empty; set input=<dir>"):
        list_photos(tmp_path / "in", 1.0)


@pytest.mark.parametrize("place", ["file", "file/out"])
def test_an_output_that_is_no_folder_is_told(mixed: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot be made .*set output=<dir>"):
        prepared(mixed, tmp_path / place)
