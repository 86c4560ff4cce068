"""Photos and frames of videos as upright RGB pixels; needs no torch, which a worker process would load for nothing."""

import hashlib
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_ssl.data.jpeg import from_jpeg
from fer_ssl.data.pictures import read_picture
from fer_ssl.data.video import SUFFIXES, Player
from fer_ssl.errors import DataError

Pixels = NDArray[np.uint8]
_FRAME = re.compile(rf"(.+(?:{'|'.join(map(re.escape, SUFFIXES))}))/(\d+)", re.IGNORECASE)


def frame_name(video: str, time: int) -> str:
    """Return the name of the frame of a video that is shown at `time` (milliseconds)."""
    return f"{video}/{time:07d}"


def frame_of(name: str) -> tuple[str, int] | None:
    """Return video and milliseconds of a frame's name, None for a photo's."""
    match = _FRAME.fullmatch(name)
    return (match[1], int(match[2])) if match else None


class Photos:
    """The photos and frames below `root`, by their names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.player = Player()

    def read(self, name: str) -> tuple[Pixels, bytes]:
        """Return RGB uint8 [H, W, 3] and the sha256 of the photo's bytes, or of the frame's pixels.

        Raises DataError, with the reason alone, or OSError.
        """
        frame = frame_of(name)
        if frame is None:
            data = (self.root / name).read_bytes()
            return read_photo(data), hashlib.sha256(data).digest()
        try:
            pixels = self.player.frame(self.root / frame[0], frame[1])
        except DataError as error:
            raise DataError(f"unreadable: {error}") from error
        return pixels, hashlib.sha256(pixels.tobytes()).digest()


def read_photo(data: bytes) -> Pixels:
    """Return the first image in the bytes of a photo as RGB uint8 [H, W, 3], turned as its EXIF says.

    Raises DataError, with the reason alone, for bytes that are not a whole image.
    """
    try:
        pixels = from_jpeg(data, 3)
        return np.array(read_picture(data).convert("RGB")) if pixels is None else pixels
    except DataError as error:
        raise DataError(f"unreadable: {error}") from error
