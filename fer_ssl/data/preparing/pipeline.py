"""The whole way from a folder of photos to packed faces; a killed run goes on where it was."""

import hashlib
import json
import logging
import multiprocessing
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from fer_ssl.data.preparing import working
from fer_ssl.data.preparing.detecting import Detector
from fer_ssl.data.preparing.listing import list_photos
from fer_ssl.data.preparing.packing import duplicates, kept_rows, pack, write_rejected
from fer_ssl.data.preparing.photos import frame_of
from fer_ssl.data.preparing.working import Rules
from fer_ssl.data.preparing.writing import written_whole
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.jobs.lock import held
from fer_ssl.types import Provenance

log = logging.getLogger(__name__)

INTERVAL = 5.0  # seconds between lines of progress
NOTED = ("pattern", "provenance")  # settings that the manifest alone tells of


@dataclass(frozen=True)
class Job:
    """What is made of which photos; all of it but `workers` decides the result."""

    input: Path
    output: Path
    weights: Path
    max_side: int
    min_score: float
    rules: Rules
    provenance: Provenance
    near_duplicates: bool
    pattern: str | None
    every_seconds: float
    chunk: int
    shard_size: int
    workers: int


def prepare(job: Job) -> dict[str, Any]:
    """Write shards, `manifest.parquet`, `rejected.parquet` and `summary.json` to the output; return the summary.

    A second run of the same job does nothing. Raises ConfigError for an output that holds another job's faces.
    """
    names, skipped = list_photos(job.input, job.every_seconds)
    parts_folder = job.output / ".parts"
    try:
        job.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{job.output} cannot be made ({error}); set output=<dir>") from None
    with _held(job.output):
        done = _begin(job, _plan(job, names))
        if done is None:
            Detector(job.weights, job.max_side, job.min_score)  # wrong weights are told before any process starts
            parts_folder.mkdir(exist_ok=True)
            parts = _find_faces(job, names, parts_folder)
            done = _finish(job, parts, len(names), skipped)
        shutil.rmtree(parts_folder, ignore_errors=True)
    return done


def _plan(job: Job, names: Sequence[str]) -> dict[str, str]:
    """Return digests of the settings and of the names, sizes and times of photos and videos.

    `fingerprint` is of all that is made, `faces` of what comes before the manifest: parts and shards.
    """
    settings = asdict(job) | {"workers": None, "output": None, "input": None, "weights": None}
    faces = settings | dict.fromkeys(NOTED)
    told = {"fingerprint": settings, "faces": faces}
    digests = {
        name: hashlib.sha256(json.dumps(each, default=str, sort_keys=True).encode()) for name, each in told.items()
    }
    for facts in chain([job.weights.read_bytes()], _facts(job, names)):
        for digest in digests.values():
            digest.update(facts)
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _facts(job: Job, names: Sequence[str]) -> Iterator[bytes]:
    """Yield name, size and time of each photo, or of the video that it is a frame of."""
    for name in names:
        try:
            frame = frame_of(name)
            facts = (job.input / (frame[0] if frame else name)).stat()
            yield f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape")
        except OSError:
            yield f"{name}\0\n".encode(errors="surrogateescape")


def _begin(job: Job, plan: dict[str, str]) -> dict[str, Any] | None:
    """Return the summary of the same job where it is done; else note in the output what is being made."""
    path, summary = job.output / "plan.json", job.output / "summary.json"
    begun: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    done = bool(begun) and summary.is_file()
    same = begun.get("fingerprint") == plan["fingerprint"] or (not done and begun.get("faces") == plan["faces"])
    if begun and not same:
        raise ConfigError(f"{job.output} holds faces of other photos or settings; set output=<new dir>")
    if done:
        log.info("%s is finished and left as it is", job.output)
        finished: dict[str, Any] = json.loads(summary.read_text())
        return finished
    if not begun and any(file.name != ".lock" for file in job.output.iterdir()):
        raise ConfigError(f"{job.output} is not empty; set output=<new dir>")
    with written_whole(path) as partial:
        partial.write_text(json.dumps(plan) + "\n")
    return None


def _find_faces(job: Job, names: Sequence[str], folder: Path) -> list[Path]:
    """Write the missing parts on `workers` processes and return all parts in order."""
    starts = range(0, len(names), job.chunk)
    chunks = {folder / f"{start:012d}.parquet": names[start : start + job.chunk] for start in starts}
    missing = [(path, chunk) for path, chunk in chunks.items() if not path.exists()]
    progress = _Progress(len(names), sum(len(chunk) for _, chunk in missing))
    setup = (job.input, job.weights, job.max_side, job.min_score, job.rules)
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    try:
        with ProcessPoolExecutor(job.workers, context, working.start, setup) as pool:
            for faces, photos in _in_a_window(pool, missing, 2 * job.workers):
                progress.add(faces, photos)
    except BrokenProcessPool:
        raise DataError("a worker process died, perhaps for memory; run the command again with fewer workers") from None
    return list(chunks)


def _in_a_window(
    pool: ProcessPoolExecutor, missing: Sequence[tuple[Path, Sequence[str]]], width: int
) -> Iterator[tuple[int, int]]:
    """Yield faces and photos of each finished part, with at most `width` parts under way."""
    under_way: dict[Future[int], int] = {}
    for path, names in missing:
        under_way[pool.submit(working.work, path, names)] = len(names)
        if len(under_way) >= width:
            yield from _finished(under_way)
    while under_way:
        yield from _finished(under_way)


def _finished(under_way: dict[Future[int], int]) -> Iterator[tuple[int, int]]:
    done, _ = wait(under_way, return_when=FIRST_COMPLETED)
    yield from [(future.result(), under_way.pop(future)) for future in done]


class _Progress:
    """Logs photos done, faces per second and the time left every `INTERVAL` seconds."""

    def __init__(self, total: int, left: int) -> None:
        self.total, self.left, self.faces, self.photos = total, left, 0, 0
        self.start = self.told = time.perf_counter()

    def add(self, faces: int, photos: int) -> None:
        self.faces, self.photos, self.left = self.faces + faces, self.photos + photos, self.left - photos
        now = time.perf_counter()
        if now - self.told >= INTERVAL or not self.left:
            self.told, seconds = now, now - self.start
            eta = time.strftime("%H:%M:%S", time.gmtime(self.left * seconds / self.photos))
            rate = self.faces / seconds
            log.info("%d of %d photos, %.0f faces/s, %s left", self.total - self.left, self.total, rate, eta)


def _finish(job: Job, parts: Sequence[Path], photos: int, skipped: dict[str, str]) -> dict[str, Any]:
    left_out = duplicates(parts, job.near_duplicates)
    accepted = pack(job.output, kept_rows(parts, left_out), job.shard_size, job.pattern, job.provenance)
    rejected = write_rejected(job.output / "rejected.parquet", parts, left_out, skipped)
    summary = {"photos": photos, "accepted": accepted, "rejected": rejected, "duplicates": len(left_out)}
    with written_whole(job.output / "summary.json") as partial:
        partial.write_text(json.dumps(summary, indent=2) + "\n")
    return summary


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder against a second run; the hold of a killed one ends with it."""
    with (folder / ".lock").open("w") as lock:
        if not held(lock.fileno()):
            raise ConfigError(f"another run is writing to {folder}; wait for its end, or set output=<dir>")
        yield
