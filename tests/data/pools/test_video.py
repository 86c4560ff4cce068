import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_ssl.data.decode import Decoder
from fer_ssl.data.pools.video import VideoPool
from fer_ssl.data.video import Player
from fer_ssl.errors import ConfigError, DataError

av = pytest.importorskip("av")


def write_video(path: Path, frames: int, rate: int = 10) -> Path:
    """Write frames of 32 x 32 whose brightness is ten times the number of the frame, a key frame every 12."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width = stream.height = 32
        stream.gop_size = 12
        for number in range(frames):
            pixels = np.full((32, 32, 3), min(number * 10, 250), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_turned(path: Path, degrees: int) -> Path:
    """Write a frame of 64 x 32 with a white upper left corner, to be shown turned counterclockwise by `degrees`."""
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :16] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 64, 32
        stream.set_display_rotation(degrees)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def values(faces, rows: list[int] | None = None) -> list[float]:
    rows = list(range(len(faces))) if rows is None else rows
    return faces.images.read(torch.tensor(rows)).flatten(1).float().mean(1).tolist()


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    write_video(tmp_path / "a.mp4", 25)
    write_video(tmp_path / "deep" / "b.avi", 7)
    return tmp_path


def test_frames_that_are_held_are_those_that_are_streamed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with av.open(str(tmp_path / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width = stream.height = 96  # so large that threads would decode them
            for number in range(100):
                pixels = np.full((96, 96, 3), 2 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
    held, streamed = (VideoPool(tmp_path, 0.1).load(Decoder(8, 1, resident=resident)) for resident in (True, False))
    assert len(held) == len(streamed) == 200
    assert torch.equal(held.images.read(torch.arange(200)), streamed.images.read(torch.arange(200)))


@pytest.mark.parametrize("resident", [True, False])
def test_frames_are_sampled_by_time(videos: Path, resident: bool) -> None:
    faces = VideoPool(videos, every_seconds=0.5).load(Decoder(8, 1, resident=resident))
    expected = [0, 500, 1000, 1500, 2000]
    names = [f"a.mp4/{time:07d}" for time in expected] + [f"deep/b.avi/{time:07d}" for time in expected[:2]]
    assert faces.ids.tolist() == names
    assert faces.subjects.tolist() == [0] * 5 + [1] * 2
    assert values(faces) == pytest.approx([0, 50, 100, 150, 200, 0, 50], abs=4)


@pytest.mark.parametrize(("degrees", "corner"), [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (-90, (0, 1))])
def test_frames_are_upright_as_they_are_shown(degrees: int, corner: tuple[int, int], tmp_path: Path) -> None:
    frame = Player().frame(write_turned(tmp_path / "phone.mp4", degrees), 0)
    assert frame.shape == ((64, 32, 3) if degrees % 180 else (32, 64, 3))
    corners = frame[4 :: len(frame) - 9, 4 :: frame.shape[1] - 9, 0]
    white = np.unravel_index(corners.argmax(), (2, 2))
    assert (white, corners.min() < 20, corners.max() > 230) == (corner, True, True)


def test_any_order_reads_the_same_frames(videos: Path) -> None:
    faces = VideoPool(videos, every_seconds=0.5, limit=6).load(Decoder(8, 1, resident=False))
    order = [5, 2, 3, 0, 4, 4, 1]
    assert values(faces, order) == pytest.approx([values(faces)[row] for row in order])
    images = pickle.loads(pickle.dumps(faces.images))
    assert images.read(torch.tensor([2])).float().mean() == pytest.approx(values(faces)[2])


def test_one_video_and_its_name(videos: Path) -> None:
    assert VideoPool(videos / "a.mp4", 1.0).load(Decoder(8, 1)).ids.tolist()[:1] == ["a.mp4/0000000"]


def test_what_is_no_video_is_named(videos: Path) -> None:
    (videos / "c.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match=r"c\.mp4 is no video"):
        VideoPool(videos).load(Decoder(8, 1))


def test_a_cut_video_gives_what_it_has(videos: Path) -> None:
    path = write_video(videos / "long.avi", 200)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    faces = VideoPool(path, every_seconds=1.0).load(Decoder(8, 1, resident=False, max_rejected=0.9))
    assert 15 <= len(faces) <= 20  # some containers' readers correct what the header promised
    assert values(faces)[:2] == pytest.approx([0, 100], abs=4)
    assert len(faces) - len(faces.images.decoder.rejects.reasons) in (17, 18)


@pytest.mark.parametrize("name", ["", "missing"])
def test_empty_or_missing_root_names_the_override(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"expected videos below .*unlabeled\.root=<dir>"):
        VideoPool(tmp_path / name).load(Decoder(8, 1))


def test_a_missing_package_and_a_wrong_time_name_the_remedy(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"unlabeled\.every_seconds=1"):
        VideoPool(videos, every_seconds=0)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=r"pip install 'fer-ssl\[video\]'"):
        VideoPool(videos).load(Decoder(8, 1))
