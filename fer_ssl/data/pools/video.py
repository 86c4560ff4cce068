"""Unlabeled faces as frames of videos."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_ssl.data.decode import Decoder
from fer_ssl.data.ids import JoinedIds, NumberedIds
from fer_ssl.data.images import hold
from fer_ssl.data.pools.folder import spaced
from fer_ssl.data.sources.folder import found
from fer_ssl.data.video import SUFFIXES, Player, times_of
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import Faces


class VideoFrames:
    """The frames of `paths` shown at `times` int64 [N] (milliseconds); `videos` int64 [N] says of which."""

    threads = False  # one player, which goes from frame to frame

    def __init__(self, paths: list[Path], videos: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        self.paths, self.videos, self.times = paths, videos, times
        self.player = Player()

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        return self.player.frame(self.paths[int(self.videos[row])], int(self.times[row]))


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
        times = [times_of(path, self.every_seconds) for path in paths]
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
