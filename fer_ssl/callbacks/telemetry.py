"""What the loggers and the progress bar get to see."""

import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from fer_ssl.callbacks.flops import FlopMeter, device_name
from fer_ssl.loggers import HistoryLogger
from fer_ssl.types import Batch

SHOWN = {"train/loss": "loss", "pseudo/keep_rate": "keep", "pseudo/tau_mean": "tau"}


class Telemetry(Callback):
    """Flush the module's tally every `trainer.log_every_n_steps` optimizer steps to loggers and progress bar.

    `images`, `steps`, `seconds` and `waited` (seconds, for data) count training since this process started, validation
    left out; `total_seconds` also what the run took before it was resumed. On an accelerator one step's operations are
    counted too.
    """

    def __init__(self) -> None:
        self.images, self.steps = 0, 0
        self.seconds, self.waited = 0.0, 0.0
        self.seconds_before = 0.0
        self.flops = FlopMeter()
        self._mark: float | None = None
        self._flushed_at = -1

    @property
    def images_per_second(self) -> float | None:
        """How fast this process trained, None where it trained no step, as one that only finishes a run."""
        return self.images / self.seconds if self.steps else None

    @property
    def data_wait(self) -> float:
        """Share of the time that training waited for its next batch."""
        return self.waited / self.seconds if self.seconds else 0.0

    @property
    def total_seconds(self) -> float:
        running = 0.0 if self._mark is None else time.perf_counter() - self._mark
        return self.seconds_before + self.seconds + running

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.total_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds_before = state_dict["seconds"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._flushed_at = trainer.global_step
        for logger in trainer.loggers:
            if isinstance(logger, HistoryLogger):
                logger.go_on_from(trainer.global_step)
        self._resume_clock()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._resume_clock()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pause_clock()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        row = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        _to_loggers(trainer, row)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pause_clock()

    def _resume_clock(self) -> None:
        if self._mark is None:
            self._mark = time.perf_counter()

    def _pause_clock(self) -> None:
        if self._mark is not None:
            self.seconds += time.perf_counter() - self._mark
            self._mark = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if pl_module.device.type == "cuda":
            self.flops.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self.flops.stop()
        self.steps += 1
        unlabeled = 0 if batch.unlabeled is None else len(batch.unlabeled)
        self.images += trainer.world_size * (len(batch.labeled) + unlabeled)
        step = trainer.global_step
        if step % log_interval(trainer) == 0 and step != self._flushed_at:
            self._flushed_at = step
            self._flush(trainer, pl_module)

    def _flush(self, trainer: Trainer, module: Any) -> None:
        module.tally.check_finite()
        row = module.tally.flush()
        self._pause_clock()
        self._resume_clock()
        self.waited = trainer.train_dataloader.waited  # type: ignore[union-attr]
        row |= {"lr": trainer.optimizers[0].param_groups[0]["lr"]}
        row |= {"images_per_second": self.images_per_second, "data_wait": self.data_wait}
        row |= self.flops.row(self.steps / self.seconds, device_name(module.device))
        module.log_dict({short: row[name] for name, short in SHOWN.items() if name in row}, prog_bar=True, logger=False)
        _to_loggers(trainer, row)


def _to_loggers(trainer: Trainer, row: dict[str, float]) -> None:
    for logger in trainer.loggers:
        logger.log_metrics(row | {"epoch": trainer.current_epoch}, step=trainer.global_step)


def log_interval(trainer: Trainer) -> int:
    """Return `trainer.log_every_n_steps`, which Lightning sets on the trainer without declaring it."""
    interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return interval
