"""YuNet (Wu et al., Machine Intelligence Research 2023) through OpenCV: boxes, five points, scores."""

import hashlib
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_ssl.data.cache import cache_folder
from fer_ssl.data.preparing.writing import written_whole
from fer_ssl.errors import ConfigError

Points = NDArray[np.float32]


@dataclass(frozen=True)
class Detection:
    """A face: `box` x, y, width, height and `points` [5, 2] in pixels; eyes, nose, mouth corners, image-left first."""

    box: NDArray[np.float32]
    points: Points
    score: float


def find_weights(path: str | None, url: str, sha256: str) -> Path:
    """Return the weights at `path`, or the pinned ones from the cache, which `url` fills once.

    Raises ConfigError for a missing file and for a download that is not the pinned one.
    """
    if path is not None:
        if not Path(path).is_file():
            raise ConfigError(f"there are no detector weights at {path}; set detector.weights=<yunet.onnx>")
        return Path(path)
    cache = cache_folder("detectors")
    kept = cache / f"yunet-{sha256[:16]}.onnx"
    if not kept.is_file():
        data = _fetch(url)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ConfigError(f"{url} no longer holds the pinned weights; set detector.weights=<yunet.onnx>")
        cache.mkdir(parents=True, exist_ok=True)
        with written_whole(kept) as partial:
            partial.write_bytes(data)
    return kept


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            data: bytes = answer.read()
            return data
    except OSError as error:
        raise ConfigError(f"{url} cannot be fetched ({error}); set detector.weights=<yunet.onnx>") from None


class Detector:
    """YuNet on one thread; photos are shrunk to `max_side` pixels for it. Raises ConfigError for wrong weights."""

    def __init__(self, weights: Path, max_side: int, min_score: float) -> None:
        self.cv2 = load_opencv()
        self.max_side = max_side
        self.cv2.setNumThreads(1)
        try:
            self.net = self.cv2.FaceDetectorYN.create(str(weights), "", (64, 64), min_score, 0.3, 500)
            self.detect(np.zeros((64, 64, 3), np.uint8))
        except self.cv2.error as error:
            raise ConfigError(
                f"{weights} is no YuNet ({error.err or error}); set detector.weights=<yunet.onnx>"
            ) from None

    def detect(self, photo: NDArray[np.uint8]) -> list[Detection]:
        """Return the faces of an RGB photo [H, W, 3], the largest first."""
        scale = min(1.0, self.max_side / max(photo.shape[:2]))
        side = tuple(max(1, round(scale * length)) for length in photo.shape[1::-1])
        small = photo if scale == 1 else self.cv2.resize(photo, side, interpolation=self.cv2.INTER_AREA)
        self.net.setInputSize(side)
        _, rows = self.net.detect(np.ascontiguousarray(small[:, :, ::-1]))
        found = [] if rows is None else [self._detection(row / np.float32(scale), row[14]) for row in rows]
        return sorted(found, key=lambda face: -float(face.box[2] * face.box[3]))

    def _detection(self, row: NDArray[np.float32], score: float) -> Detection:
        return Detection(row[:4], row[4:14].reshape(5, 2), float(score))


def load_opencv() -> Any:
    """Return OpenCV, quiet; raise ConfigError naming the extra where it is not installed."""
    try:
        import cv2
    except ImportError:
        raise ConfigError("finding faces needs OpenCV; pip install 'fer-ssl[prepare]'") from None
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # OpenCV 5 warns at every start
    return cv2
