"""One chunk of photos to one file of faces and rejections: what a worker process does."""

import io
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from fer_ssl.data.preparing.aligning import align, measure
from fer_ssl.data.preparing.detecting import Detection, Detector
from fer_ssl.data.preparing.photos import Photos
from fer_ssl.data.preparing.writing import written_whole
from fer_ssl.data.twins import perceptual_hash, thumbnail
from fer_ssl.errors import DataError

NUMBERS = ("detector_score", "face_px", "sharpness", "yaw", "pitch", "roll")
PART = pa.schema(
    [("id", pa.string()), ("reason", pa.string()), ("photo_sha256", pa.binary()), ("jpeg", pa.binary())]
    + [(name, pa.float32()) for name in NUMBERS]
    + [("phash", pa.uint64()), ("thumbnail", pa.binary())]
)  # a row with a reason is a rejection


@dataclass(frozen=True)
class Rules:
    """Which faces are kept and how: the largest of a photo or all, cropped and compressed so."""

    faces: str
    crop: str
    min_face: float
    min_sharpness: float
    max_yaw: float | None
    quality: int


class Worker:
    """Turns photos below `root` into the rows of a part."""

    def __init__(self, root: Path, detector: Detector, rules: Rules) -> None:
        self.photos, self.detector, self.rules = Photos(root), detector, rules

    def write_part(self, path: Path, names: Sequence[str]) -> int:
        """Write the rows of the photos `names` and return how many faces they hold."""
        rows = [row for name in names for row in self.rows(name)]
        with written_whole(path) as partial:
            pq.write_table(pa.Table.from_pylist(rows, PART), partial)
        return sum(row.get("reason") is None for row in rows)

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield a row for each face of a photo, or one with the reason why there is none."""
        try:
            photo, digest = self.photos.read(name)
        except DataError as error:
            yield {"id": name, "reason": str(error)}
            return
        except OSError as error:
            yield {"id": name, "reason": f"unreadable: {error.strerror}"}
            return
        found = self.detector.detect(photo)
        if not found:
            yield {"id": name, "reason": "no face", "photo_sha256": digest}
        for number, face in enumerate(found if self.rules.faces == "all" else found[:1]):
            yield {"photo_sha256": digest} | self._face(f"{name}#{number}" if number else name, photo, face)

    def _face(self, face_id: str, photo: NDArray[np.uint8], face: Detection) -> dict[str, Any]:
        crop = align(photo, face, self.rules.crop)
        quality = measure(crop, face)
        row = {"id": face_id, "detector_score": face.score} | asdict(quality)
        rules = self.rules
        if quality.face_px < rules.min_face:
            return row | {"reason": f"too small: {quality.face_px:.0f} px"}
        if quality.sharpness < rules.min_sharpness:
            return row | {"reason": f"too blurred: sharpness {quality.sharpness:.0f}"}
        if rules.max_yaw is not None and abs(quality.yaw) > rules.max_yaw:
            return row | {"reason": f"turned away: yaw {quality.yaw:.0f} degrees"}
        twins = {"phash": perceptual_hash(crop), "thumbnail": thumbnail(crop).tobytes()}
        return row | twins | {"jpeg": _jpeg(crop, rules.quality)}


def _jpeg(crop: NDArray[np.uint8], quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


_worker: list[Worker] = []  # the one of this process


def start(root: Path, weights: Path, max_side: int, min_score: float, rules: Rules) -> None:
    """Load the detector once for a process; the process ends with its parent, even a killed one."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    _worker.append(Worker(root, Detector(weights, max_side, min_score), rules))


def work(path: Path, names: Sequence[str]) -> int:
    """Write one part in a process that `start` made ready."""
    return _worker[0].write_part(path, names)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
