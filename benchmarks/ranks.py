"""Images per second of two processes with a thread each, over gloo, against one process with two threads."""

import multiprocessing as mp
import os
import socket
import time
from collections.abc import Iterator
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from typing import Any

import torch
from end_to_end import Turns, dataset, timed_training
from lightning import Trainer
from measuring import Measurement, Options, Pairs, Skipped

RANKS = 2
STATISTICS = {"": [], ", each with its own batch statistics": ["trainer.sync_batchnorm=false"]}


class Shifts(Turns):
    """Time a chunk of steps while the other side waits; the side that is not `first` begins by waiting."""

    def __init__(self, barrier: Barrier, first: bool, chunk: int, repeats: int) -> None:
        super().__init__({}, chunk, repeats)
        self.barrier, self.first = barrier, first

    def on_train_start(self, *_: Any) -> None:
        if not self.first:
            self.barrier.wait()
        self._mark = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step % self.chunk:
            return
        assert self._mark is not None
        self.seconds["ours"].append((time.perf_counter() - self._mark) / self.chunk)
        self.barrier.wait()  # this side has worked
        if self.first or trainer.global_step < trainer.max_steps:
            self.barrier.wait()  # and the other
        self._mark = time.perf_counter()


def work(
    rank: int | None, port: int, barrier: Barrier, results: SimpleQueue[list[float]], chunk: int, parts: list[str],
    options: Options,
) -> None:  # fmt: skip
    """Train as a rank, or as the one process where `rank` is None; the first rank and the one process tell seconds."""
    torch.set_num_threads(RANKS if rank is None else 1)
    if rank is not None:
        os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        parts = [*parts, "trainer=ddp_cpu", f"trainer.devices={RANKS}"]
    shifts = Shifts(barrier, rank is not None, chunk, options.repeats)
    timed_training(shifts, *parts, experiment="dtm_infonce")
    if not rank:
        results.put([0.0 if rank is None else 1.0, *shifts.seconds["ours"][1:]])


def measure_ranks(options: Options) -> Iterator[Measurement]:
    """Yield the rate of two gloo ranks on two cores against one process with two threads, at equal global batch."""
    if len(os.sched_getaffinity(0)) < RANKS:
        raise Skipped(f"{RANKS} processes need {RANKS} cores.")
    for labeled, unlabeled in options.batches:
        sizes = (f"batch.labeled={labeled}", f"batch.unlabeled={unlabeled}")
        network = ("backbone=timm", f"backbone.name={options.backbone}", "optim=sgd", "trainer.accelerator=cpu")
        for statistics, own in STATISTICS.items():
            pairs = side_by_side([*network, *sizes, *own, *dataset(options)], options)
            name = f"training {labeled}+{unlabeled} on {RANKS} ranks{statistics}"
            yield pairs.rates(name, "one process", labeled + unlabeled, goal=">= 0.90")


def side_by_side(parts: list[str], options: Options) -> Pairs:
    """Return the seconds of a step of the ranks and of the one process, which take turns chunk by chunk."""
    spawn = mp.get_context("spawn")
    barrier, results = spawn.Barrier(RANKS + 1), spawn.SimpleQueue()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = (port, barrier, results, 2 if options.quick else 5, parts, options)
    processes = [spawn.Process(target=work, args=(rank, *shared)) for rank in (*range(RANKS), None)]
    for process in processes:
        process.start()
    told = sorted(results.get() for _ in range(2))
    for process in processes:
        process.join()
    return Pairs(told[1][1:], told[0][1:])
