"""Batches by position: resident faces are indexed, streamed ones are decoded by workers."""

import math
import time
from collections.abc import Iterator
from itertools import count

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fer_ssl.data.decode import Rejects
from fer_ssl.data.images import ResidentImages
from fer_ssl.data.placing import ahead
from fer_ssl.data.samplers import Sampler
from fer_ssl.errors import DataError
from fer_ssl.types import Batch, EvalBatch, Faces

CPU = torch.device("cpu")
Read = tuple[Tensor, dict[tuple[str, str], str]]  # images uint8 [B, C, H, W], and what could not be read


class _Reader(Dataset[Read | DataError]):
    """Reads whole batches, so that a worker decodes without per-sample collation, and tells what it rejected."""

    def __init__(self, faces: Faces, rejects: Rejects) -> None:
        self.images = faces.images
        self.rejects = rejects  # the images' own: a worker gets both in one copy

    def __getitem__(self, indices: Tensor) -> Read | DataError:
        known = len(self.rejects)
        try:
            return self.images.read(indices), self.rejects.since(known)
        except DataError as error:
            return error  # raised in a worker, it would arrive wrapped in a traceback


def stream(
    faces: Faces, sampler: Sampler, start: int, workers: int, rejects: Rejects
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (rows, images) of the batches from `start` on, without end.

    Raises DataError when more faces than `rejects` allows turn out unreadable.
    """
    batches = (sampler.batch(position) for position in count(start))
    if isinstance(faces.images, ResidentImages):
        for rows in batches:
            yield rows, faces.images.read(rows)
        return
    for rows, read in _read(_Reader(faces, rejects), batches, sampler.seed, workers):
        if isinstance(read, DataError):
            raise read
        images, rejected = read
        if rejected:
            rejects.merge(rejected)
        yield rows, images


def _read(
    reader: _Reader, batches: Iterator[Tensor], seed: int, workers: int
) -> Iterator[tuple[Tensor, Read | DataError]]:
    if workers == 0:
        for rows in batches:
            yield rows, reader[rows]
        return
    ahead = _Tee(batches)
    # a generator of its own: the workers' seeds must not move the run's random state
    seeds = torch.Generator().manual_seed(seed)
    loader = DataLoader(reader, sampler=ahead, batch_size=None, num_workers=workers, generator=seeds)
    for read in loader:
        yield ahead.oldest(), read


class _Tee:
    """Hands rows to the workers and keeps them until their images are back, in order."""

    def __init__(self, batches: Iterator[Tensor]) -> None:
        self.batches = batches
        self.waiting: list[Tensor] = []

    def __iter__(self) -> Iterator[Tensor]:
        for rows in self.batches:
            self.waiting.append(rows)
            yield rows

    def oldest(self) -> Tensor:
        return self.waiting.pop(0)


class TrainLoader:
    """One epoch of training batches, from wherever the run stands.

    Iterating again continues; `seek` moves to a saved position. A batch carries its position, so whoever consumes it
    knows how far the run has come, whatever is read ahead. For a CUDA `device`, batches are sent there ahead.
    """

    def __init__(
        self,
        labeled: Faces,
        labeled_sampler: Sampler,
        pool: Faces | None,
        pool_sampler: Sampler | None,
        epoch_steps: int,
        workers: int,
        rejects: Rejects,
        device: torch.device = CPU,
    ) -> None:
        self.labeled, self.labeled_sampler = labeled, labeled_sampler
        self.pool, self.pool_sampler = pool, pool_sampler
        self.epoch_steps = epoch_steps
        self.workers = workers
        self.rejects = rejects
        self.device = device
        self.position = 0
        self.waited = 0.0  # seconds, for batches so far
        self._batches: Iterator[Batch] | None = None

    def __len__(self) -> int:
        return self.epoch_steps

    def seek(self, position: int) -> None:
        """Continue from batch `position`."""
        self.position, self._batches = position, None

    def __iter__(self) -> Iterator[Batch]:
        if self._batches is None:
            batches = self._endless(self.position)
            self._batches = ahead(batches, self.device) if self.device.type == "cuda" else batches
        for _ in range(self.epoch_steps):
            asked = time.perf_counter()
            batch = next(self._batches)
            self.waited += time.perf_counter() - asked
            yield batch

    def _endless(self, start: int) -> Iterator[Batch]:
        labeled = stream(self.labeled, self.labeled_sampler, start, self.workers, self.rejects)
        if self.pool is None or self.pool_sampler is None:
            for position, (rows, images) in enumerate(labeled, start):
                yield self._batch(position, rows, images)
            return
        pool = stream(self.pool, self.pool_sampler, start, self.workers, self.rejects)
        for position, ((rows, images), (pool_rows, faces)) in enumerate(zip(labeled, pool, strict=True), start):
            truth = self.pool.labels[pool_rows]
            yield self._batch(position, rows, images)._replace(unlabeled=faces, pool_rows=pool_rows, truth=truth)

    def _batch(self, position: int, rows: Tensor, images: Tensor) -> Batch:
        votes = self.labeled.soft_labels
        return Batch(
            labeled=images,
            labels=self.labeled.labels[rows],
            soft_labels=None if votes is None else votes[rows],
            unlabeled=None,
            pool_rows=None,
            truth=None,
            position=position,
        )


class EvalLoader:
    """All faces of a split once over all ranks, in at least one block; nothing is padded.

    Every rank has as many blocks, of which some may be empty, so that a sharded model is asked equally often.
    """

    def __init__(self, faces: Faces, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.faces = faces
        blocks = max(1, math.ceil(len(faces) / (world * batch_size)))
        self.blocks = torch.arange(rank, len(faces), world).tensor_split(blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[EvalBatch]:
        for rows in self.blocks:
            yield EvalBatch(self.faces.images.read(rows), self.faces.labels[rows], rows)
