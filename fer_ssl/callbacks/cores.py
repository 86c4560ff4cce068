"""Processes that train on the cores of one machine keep out of each other's way."""

import os

from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.accelerators import CPUAccelerator


class OwnCores(Callback):
    """Give each of several processes on cores its share of them while it trains.

    A process that waits for another is woken on the core of whoever woke it, where that one computes: without a core of
    its own it waits again. Schedulers such as Slurm share cores out themselves.
    """

    def __init__(self) -> None:
        self.before: set[int] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        environment = getattr(trainer.strategy, "cluster_environment", None)
        started_by_us = isinstance(environment, LightningEnvironment | TorchElasticEnvironment)
        if started_by_us and isinstance(trainer.accelerator, CPUAccelerator) and hasattr(os, "sched_setaffinity"):
            cores = os.sched_getaffinity(0)
            own = share(sorted(cores), trainer.local_rank, trainer.num_devices)
            if own and self.before is None:
                self.before = cores
                os.sched_setaffinity(0, own)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.before is not None:
            os.sched_setaffinity(0, self.before)
            self.before = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "fit")


def share(cores: list[int], rank: int, world: int) -> list[int]:
    """Return the cores of process `rank` out of `world`; none where there is not one for each."""
    each = len(cores) // world
    return cores[rank * each :][:each]
