"""Unlabeled faces as frames of videos."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_ssl.data.decode import Decoder
from fer_ssl.data.ids import JoinedIds, NumberedIds
from fer_ssl.data.images import hold
from fer_ssl.data.pictures import MAX_PIXELS
from fer_ssl.data.pools.folder import spaced
from fer_ssl.data.sources.folder import found
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import Faces

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")


class VideoFrames:
    """The frames of `paths` shown at `times` int64 [N] (milliseconds); `videos` int64 [N] says of which.

    The last video stays open, so that times in ascending order decode each frame once; any other order seeks.
    """

    def __init__(self, paths: list[Path], videos: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        self.paths, self.videos, self.times = paths, videos, times
        self._playing: tuple[int, int, Iterator[tuple[int, Any]]] | None = None  # video, time, frames from there

    def __getstate__(self) -> dict[str, Any]:
        return {"paths": self.paths, "videos": self.videos, "times": self.times, "_playing": None}

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        video, time = int(self.videos[row]), int(self.times[row])
        if self._playing is None or self._playing[0] != video or self._playing[1] >= time:
            self._playing = video, time, frames_from(self.paths[video], time)
        for shown, frame in self._playing[2]:
            if shown >= time:
                self._playing = video, shown, self._playing[2]
                pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
                return pixels
        self._playing = None
        raise DataError(f"{self.paths[video].name} ends before {time} ms")


class VideoPool:
    """A frame every `every_seconds` of each video below `root`, or of that video; who is in one video is one person.

    The ids are `<path>/<milliseconds>`; `limit` takes that many frames, evenly spaced.
    """

    def __init__(self, root: str | Path, every_seconds: float = 1.0, limit: int | None = None) -> None:
        if every_seconds <= 0:
            raise ConfigError(f"unlabeled.every_seconds={every_seconds} is no time; set unlabeled.every_seconds=1")
        self.root = Path(root)
        self.every_seconds = every_seconds
        self.limit = limit

    def load(self, decoder: Decoder) -> Faces:
        """Return the frames without labels.

        Raises DataError where there is no video or one cannot be read, ConfigError where PyAV is not installed.
        """
        paths = self._paths()
        step = round(1000 * self.every_seconds)
        times = [np.arange(0, max(duration(path), 1), step) for path in paths]
        videos = np.repeat(np.arange(len(paths)), [len(of_one) for of_one in times])
        names = [path.relative_to(self.root).as_posix() if path != self.root else path.name for path in paths]
        ids = JoinedIds([NumberedIds(f"{name}/", of_one) for name, of_one in zip(names, times, strict=True)])
        rows = spaced(len(videos), self.limit)
        encoded = VideoFrames(paths, videos[rows], np.concatenate(times)[rows])
        return hold(encoded, ids[rows], decoder, str(self.root), subjects=videos[rows])

    def _paths(self) -> list[Path]:
        files = [self.root] if self.root.is_file() else sorted(self.root.rglob("*"))
        videos = [path for path in files if path.suffix.lower() in SUFFIXES]
        if not videos:
            raise DataError(f"expected videos below {self.root}, but {found(self.root)}; set unlabeled.root=<dir>")
        return videos


def open_video(path: Path) -> Any:
    """Return PyAV's container of a file; raise DataError for one without a video, ConfigError without PyAV."""
    try:
        import av
    except ImportError as error:
        raise ConfigError("unlabeled=video needs the package av: pip install 'fer-ssl[video]'") from error
    try:
        container = av.open(str(path))
        stream = container.streams.video[0]
    except (av.FFmpegError, IndexError, OSError) as error:
        raise DataError(f"{path} is no video that can be read ({error}); restore or remove it") from error
    if stream.width * stream.height > MAX_PIXELS:
        raise DataError(f"{path} has {stream.width} x {stream.height} pixels, which are too many; remove it")
    return container


def duration(path: Path) -> int:
    """Return how long a video lasts, in milliseconds, as its container says or else as its frames do."""
    with open_video(path) as container:
        if container.duration is not None:
            lasts: int = container.duration // 1000  # PyAV counts microseconds
            return lasts
        return max((shown for shown, _ in frames_from(path, 0)), default=0)


def frames_from(path: Path, time: int) -> Iterator[tuple[int, Any]]:
    """Yield (milliseconds, frame) from the key frame before `time` on, counted from the first frame of the stream."""
    import av

    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        start = stream.start_time or 0
        try:
            container.seek(start + int(time / 1000 / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.pts is not None:
                    yield round((frame.pts - start) * stream.time_base * 1000), frame
        except av.FFmpegError as error:
            raise DataError(f"{path.name} is damaged ({error})") from error
