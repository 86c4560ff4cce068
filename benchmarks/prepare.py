"""From photos to packed faces: the rate of the whole command, and its memory against the number of photos."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measuring import Measurement, Options, Skipped
from PIL import Image
from views import faces

from fer_ssl.data.decode import Decoder
from fer_ssl.data.pools.shards import ShardPool

SIDE, FACE = 250, 112  # LFW's photos, and aligned faces of about the size that they show
WORKERS = 2


@dataclass(frozen=True)
class Prepared:
    """A run of the command: `ready` is when its first worker had loaded the detector; MiB over all its processes."""

    accepted: int
    seconds: float
    ready: float
    mib: float


def write_photos(folder: Path, shown: torch.Tensor, count: int) -> None:
    """Write `count` photos: faces uint8 [N, 3, 112, 112] in turn, each on a ground of its own."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        ground = Image.fromarray(rng.integers(60, 200, (10, 10, 3), np.uint8)).resize((SIDE, SIDE))
        face = shown[number % len(shown)].permute(1, 2, 0).numpy()
        ground.paste(Image.fromarray(face), ((SIDE - FACE) // 2, (SIDE - FACE) // 2))
        ground.save(folder / f"{number:06d}.jpg", quality=90)


def run(photos: Path, output: Path, weights: Path) -> Prepared:
    """Run the command as a user does."""
    settings = (f"workers={WORKERS}", "near_duplicates=true", f"detector.weights={weights}")
    command = [sys.executable, "-m", "fer_ssl.prepare", f"input={photos}", f"output={output}", *settings]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    watch = Watch(process.pid, output / ".parts")
    if process.wait():
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    seconds = time.perf_counter() - start
    ready = watch.stop() - start
    return Prepared(json.loads((output / "summary.json").read_text())["accepted"], seconds, ready, watch.mib)
