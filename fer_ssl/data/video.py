"""Frames of video files by the time at which they are shown, by PyAV."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_ssl.data.pictures import MAX_PIXELS
from fer_ssl.errors import ConfigError, DataError

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")


class Player:
    """Shows frames; the last video stays open, so that times in ascending order decode each frame once."""

    def __init__(self) -> None:
        self._playing: tuple[Path, int, Iterator[tuple[int, Any]]] | None = None  # video, time, frames from there

    def __reduce__(self) -> tuple[type["Player"], tuple[()]]:
        return Player, ()

    def frame(self, path: Path, time: int) -> NDArray[np.uint8]:
        """Return the first frame shown at `time` (milliseconds) or later as uint8 [H, W, 3], upright.

        Raises DataError where the video ends before or is damaged.
        """
        if self._playing is None or self._playing[0] != path or self._playing[1] >= time:
            self._playing = path, time, frames_from(path, time)
        for shown, frame in self._playing[2]:
            if shown >= time:
                self._playing = path, shown, self._playing[2]
                return upright(frame)
        self._playing = None
        raise DataError(f"{path.name} ends before {time} ms")


def upright(frame: Any) -> NDArray[np.uint8]:
    """Return the pixels of PyAV's frame as it is shown: phones record turned frames, and say so."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def times_of(path: Path, every_seconds: float) -> NDArray[np.int64]:
    """Return the times in milliseconds at which a video is sampled; raises DataError where it cannot be read."""
    return np.arange(0, max(duration(path), 1), max(round(1000 * every_seconds), 1))


def open_video(path: Path) -> Any:
    """Return PyAV's container of a file; raise DataError for one without a video, ConfigError without PyAV."""
    try:
        import av
    except ImportError as error:
        raise ConfigError("videos need the package av: pip install 'fer-ssl[video]'") from error
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
