"""Photos of random scenes, prepared in this process by a detector that takes the middle for the face."""

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from fer_ssl.data.preparing import pipeline, working
from fer_ssl.data.preparing.aligning import TEMPLATE
from fer_ssl.data.preparing.detecting import Detection
from fer_ssl.data.preparing.listing import list_photos
from fer_ssl.data.preparing.packing import duplicates, kept_rows, pack, write_rejected
from fer_ssl.data.preparing.working import Rules, Worker
from fer_ssl.types import Provenance

RULES = Rules(faces="largest", crop="arcface", min_face=32, min_sharpness=1, max_yaw=None, quality=95)


class Middle:
    """Finds one face, in the middle of any photo that is not black."""

    def detect(self, photo: np.ndarray) -> list[Detection]:
        corner = np.array(photo.shape[1::-1], np.float32) / 2 - 56
        box = np.array([*corner, 112, 112], np.float32)
        return [Detection(box, TEMPLATE + corner, 0.9)] if photo.any() else []


def scene(seed: int, side: int = 160) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def packed(root: Path, out: Path, size: int = 4) -> dict[str, str]:
    """Prepare `root` in this process and return the rejected ids with their reasons."""
    out.mkdir()
    names, skipped = list_photos(root, 1.0)
    Worker(root, Middle(), RULES).write_part(out / "0.parquet", names)  # type: ignore[arg-type]
    left_out = duplicates([out / "0.parquet"], near=True)
    provenance = Provenance("mine", "CC0-1.0", "informed", ("research",), "2024")
    pack(out, kept_rows([out / "0.parquet"], left_out), size, r"(?P<label>\w+)/(?P<subject>\w+)", provenance)
    write_rejected(out / "rejected.parquet", [out / "0.parquet"], left_out, skipped)
    rejected = pq.read_table(out / "rejected.parquet")
    return dict(zip(rejected["id"].to_pylist(), rejected["reason"].to_pylist(), strict=True))


def prepared(photos: Path, output: Path, **changes: Any) -> dict[str, Any]:
    """Run the whole of prepare with the detector of this module, its workers as threads of this process.

    `changes` are those of the job.
    """

    def threads(workers: int, _: object, initializer: Any, initargs: Any) -> Executor:
        return ThreadPoolExecutor(workers, initializer=initializer, initargs=initargs)

    (weights := photos.parent / "none.onnx").touch()
    job = pipeline.Job(photos, output, weights, 640, 0.7, RULES, Provenance(), True, None, 1.0, 2, 2, 1)
    job = replace(job, **changes)
    detector = mock.Mock(return_value=Middle())
    with (
        mock.patch.object(pipeline, "ProcessPoolExecutor", threads),
        mock.patch.object(pipeline, "Detector", detector),
        mock.patch.object(working, "Detector", detector),
        mock.patch.object(working, "_worker", []),
    ):
        return pipeline.prepare(job)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files right in a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
