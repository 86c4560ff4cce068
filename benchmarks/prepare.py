"""From photos to packed faces: the rate of the whole command, and its memory against the number of photos."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from decoding import SIDE
from measuring import Measurement, Options, Pairs, Skipped, seconds_of
from PIL import Image

from fer_ssl.data.decode import Decoder
from fer_ssl.data.pools.shards import ShardPool
from fer_ssl.data.preparing.detecting import Detector
from fer_ssl.data.preparing.photos import Photos

PHOTO = 250  # pixels, as LFW's
WORKERS = 2
WEIGHTS = "FER_SSL_YUNET"
SETTINGS = ("detector.max_side=640", f"workers={WORKERS}")


def measure_prepare(options: Options) -> Iterator[Measurement]:
    """Yield faces per second of fer_ssl.prepare on aligned LFW faces pasted on 250 x 250 grounds, and its memory."""
    weights, real = os.environ.get(WEIGHTS), os.environ.get("FER_SSL_REAL_DATA")
    if not (weights and real):
        raise Skipped(f"needs YuNet's weights in ${WEIGHTS} and a folder with lfw112 in $FER_SSL_REAL_DATA.")
    few, many = (20, 60) if options.quick else (500, 2000)
    with tempfile.TemporaryDirectory() as name:
        small, large = (write_photos(Path(name) / str(count), Path(real) / "lfw112", count) for count in (few, many))
        alone = detecting(small, Path(weights))
        runs = []
        for repeat in range(1 if options.quick else 3):
            first, second = (run(photos, Path(name) / f"{photos.name}-{repeat}", weights) for photos in (small, large))
            runs.append((first, second))
    every = Pairs([whole for _, (whole, _) in runs], [alone * many] * len(runs))
    against = "YuNet alone on one core"
    yield every.rates(f"{many:,} photos to faces on {WORKERS} cores", against, many, "faces/s")
    later = [whole - start for (start, _), (whole, _) in runs]
    steady = Pairs(later, [alone * (many - few)] * len(runs))
    name = f"the last {many - few:,} of them, without start-up"
    yield steady.rates(name, against, many - few, "faces/s", ">= 100 faces/s")
    held = Pairs([mib for _, (_, mib) in runs], [mib for (_, mib), _ in runs])
    yield held.amounts(f"memory for {many:,} photos, all processes", f"for {few:,}", "MiB", "about 1")


def write_photos(folder: Path, shards: Path, count: int) -> Path:
    """Write `count` photos, each an aligned face on a ground of its own."""
    folder.mkdir()
    rng, images = np.random.default_rng(0), ShardPool(shards, limit=count).load(Decoder(SIDE, 3)).images
    for number in range(count):
        photo = Image.fromarray(rng.integers(60, 200, (10, 10, 3), np.uint8)).resize((PHOTO, PHOTO))
        face = images.read(torch.tensor([number]))[0].permute(1, 2, 0).numpy()
        photo.paste(Image.fromarray(face), ((PHOTO - SIDE) // 2, (PHOTO - SIDE) // 2))
        photo.save(folder / f"{number:06d}.jpg", quality=90)
    return folder


def detecting(folder: Path, weights: Path) -> float:
    """Return the seconds that the detector alone takes for a photo, on one thread."""
    photos, detector = Photos(folder), Detector(weights, 640, 0.7)
    pixels = [photos.read(path.name)[0] for path in sorted(folder.iterdir())[:100]]
    return seconds_of(lambda: [detector.detect(photo) for photo in pixels]) / len(pixels)


def run(photos: Path, output: Path, weights: str) -> tuple[float, float]:
    """Run the command; return its seconds and the most MiB that its processes held together."""
    command = [sys.executable, "-m", "fer_ssl.prepare", f"input={photos}", f"output={output}", *SETTINGS]
    start, most = time.perf_counter(), 0.0
    process = subprocess.Popen([*command, f"detector.weights={weights}"], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        most = max(most, held_mib(process.pid))
        time.sleep(0.2)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - start, most


def held_mib(process: int) -> float:
    """Return the memory of a process and of all that it started; what several share is counted once."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:  # it has just ended
        return 0.0
    own = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return own / 2**10 + sum(held_mib(int(child)) for child in children)
