"""A pool of millions of faces: opening it, holding it, reading it at random, decoding it.

`python benchmarks/pool.py ours|dictionary FOLDER` prints seconds and MiB that opening takes in a process of its own.
"""

import io
import json
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch
from decoding import SIDE, as_jpeg
from measuring import Measurement, Options, in_turns, one_core
from numpy.typing import NDArray
from PIL import Image
from probes import resident_mib
from views import faces

from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import StreamedImages
from fer_ssl.data.pools.recordio import MAGIC, RecordPool
from fer_ssl.data.samplers import ShuffledSampler
from fer_ssl.types import Faces

MILLIONS, THOUSANDS = 5_800_000, 10_000
DISTINCT = 512  # JPEG files, of which every record is one
FACE_BYTES = 6000  # what a record takes on average in the sparse file
BATCH = 96


def textured(count: int) -> torch.Tensor:
    """Return uint8 [count, 3, SIDE, SIDE] with grain, so that their JPEGs take about 6 kB as aligned photos do."""
    grain = 7 * torch.randn(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return (faces(SIDE, 3, count) + grain).clamp(0, 255).to(torch.uint8)


def synthesise(folder: Path, count: int) -> Path:
    """Write `train.rec` and `train.idx` of `count` faces behind InsightFace's header; the file is mostly a hole."""
    folder.mkdir()
    places = []
    with (folder / "train.rec").open("wb") as file:
        _write(file, struct.pack("<IfQQ2f", 2, 0, 0, 0, count + 1, count + 1))
        for number, image in enumerate(textured(DISTINCT)):
            file.seek(max(file.tell(), number * (count * FACE_BYTES // DISTINCT // 4 * 4)))
            places.append(file.tell())
            _write(file, struct.pack("<IfQQ", 0, number, number, 0) + as_jpeg(image))
    keys = np.arange(count + 1)
    offsets = np.concatenate([[0], np.resize(places, count)])
    options = pa.csv.WriteOptions(include_header=False, delimiter="\t")
    pa.csv.write_csv(pa.table({"key": keys, "offset": offsets}), folder / "train.idx", options)
    return folder


def _write(file: io.BufferedWriter, content: bytes) -> None:
    file.write(struct.pack("<II", MAGIC, len(content)) + content + bytes(-len(content) % 4))


def opened(folder: Path) -> Faces:
    return RecordPool(folder).load(Decoder(SIDE, 3, resident=False))


def dictionary(folder: Path) -> dict[int, int]:
    """Read the index as MXNet's reader does: line by line into a dictionary."""
    with (folder / "train.idx").open() as file:
        return {int(key): int(offset) for key, offset in (line.split("\t") for line in file)}


def opening(side: str, folder: Path) -> list[float]:
    """Return the seconds and MiB that one side takes in a new process; ours reads batches too before it is weighed."""
    command = [sys.executable, __file__, side, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def weigh(side: str, folder: Path) -> tuple[float, float]:
    before, start = resident_mib(), time.perf_counter()
    held = opened(folder) if side == "ours" else dictionary(folder)
    seconds = time.perf_counter() - start
    if isinstance(held, Faces):
        read = reader(held)
        for _ in range(50):
            read()
    return seconds, resident_mib() - before


def reader(pool: Faces) -> Callable[[], torch.Tensor]:
    """Return what reads the next batch of the pool's shuffled order."""
    batches = iter(ShuffledSampler(len(pool), BATCH))
    return lambda: pool.images.read(next(batches))


def mapped(path: Path, offsets: NDArray[np.int64]) -> Callable[[int], bytes]:
    """Return a reader of records through a memory map, in Python."""
    descriptor = os.open(path, os.O_RDONLY)
    memory = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)

    def read(row: int) -> bytes:
        offset = offsets.item(row)
        _, length = struct.unpack_from("<II", memory, offset)
        return memory[offset + 8 + 24 : offset + 8 + length]

    return read


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def by_pillow_at_48(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB").resize((48, 48), Image.Resampling.BILINEAR)
        return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


def measure_pool(options: Options) -> Iterator[Measurement]:
    """Yield the cost of a RecordIO pool of 5.8 million faces, of one face in it, and of decoding."""
    millions = THOUSANDS * 2 if options.quick else MILLIONS
    with tempfile.TemporaryDirectory() as name, one_core():
        large, small = (synthesise(Path(name) / str(count), count) for count in (millions, THOUSANDS))
        yield from _measure_opening(large, millions)
        pools = opened(large), opened(small)
        yield from _measure_reading(pools[0], large / "train.rec", options)
        yield from _measure_decoding(pools[0], options)
        pairs = in_turns(reader(pools[0]), reader(pools[1]), options.repeats, calls=(10, 10))
        yield pairs.seconds(f"batch of {BATCH} out of {millions:,}", f"out of {THOUSANDS:,}", "about 1")


def _measure_opening(folder: Path, count: int) -> Iterator[Measurement]:
    (seconds, mib), (their_seconds, their_mib) = opening("ours", folder), opening("dictionary", folder)
    name, against = f"open {count:,} records", "index read into a dictionary"
    yield Measurement(name, against, "s", seconds, their_seconds, seconds / their_seconds, 0.0, 1, "<= 2 s")
    name = f"memory of {count:,} records"
    yield Measurement(name, against, "MiB", mib, their_mib, mib / their_mib, 0.0, 1, "<= 200 MiB")


def _measure_reading(pool: Faces, path: Path, options: Options) -> Iterator[Measurement]:
    assert isinstance(pool.images, StreamedImages)
    encoded = pool.images.encoded
    rows = ShuffledSampler(len(pool), 2000).batch(0).tolist()
    by_map = mapped(path, encoded.offsets)  # type: ignore[attr-defined]
    pairs = in_turns(
        lambda: [encoded[row] for row in rows], lambda: [by_map(row) for row in rows], options.repeats, calls=(5, 5)
    )
    yield pairs.rates("random reads", "memory map in Python", len(rows), "reads/s", ">= 150,000/s")


def _measure_decoding(pool: Faces, options: Options) -> Iterator[Measurement]:
    assert isinstance(pool.images, StreamedImages)
    encoded = pool.images.encoded
    files = [bytes(encoded[row]) for row in range(16 if options.quick else DISTINCT)]
    kilobytes = sum(map(len, files)) / len(files) / 1000
    for side, pillow in ((SIDE, by_pillow), (48, by_pillow_at_48)):
        decoder = Decoder(side, 3)
        pairs = in_turns(
            lambda decode=decoder.to_face: [decode(file) for file in files],
            lambda decode=pillow: [decode(file) for file in files],
            options.repeats,
            warmup=1,
        )
        name = f"JPEG of {SIDE} px and {kilobytes:.1f} kB to {side} px"
        yield pairs.rates(name, "Pillow", len(files), goal=">= 3" if side == SIDE else "")
    rows = torch.arange(BATCH * 4)
    pairs = in_turns(
        lambda: pool.images.read(rows),
        lambda: torch.from_numpy(np.stack([by_pillow(bytes(encoded[row])) for row in rows.tolist()])),
        options.repeats,
        warmup=1,
    )
    yield pairs.rates("record to batch", "Pillow", len(rows), goal=">= 10,000 images/s")


if __name__ == "__main__":
    print(json.dumps(weigh(sys.argv[1], Path(sys.argv[2]))))
