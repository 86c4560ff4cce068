"""The last good states of a run, each written whole or not at all."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException


class LastCheckpoint(Checkpoint):
    """Keep `last.ckpt` and the one before it, `previous.ckpt`, in `<run dir>/checkpoints`.

    They are written every `every_n_steps` optimizer steps, at the end, and when the scheduler asks the process to leave
    by SIGTERM or SIGUSR1. With `best`, `best.ckpt` is the one of the highest validation macro-F1; it is kept for
    inspection only, results are those of the last.
    """

    def __init__(self, run_dir: str, every_n_steps: int = 200, best: bool = False) -> None:
        super().__init__()
        self.folder = Path(run_dir) / "checkpoints"
        self.every_n_steps = every_n_steps
        self.best = best
        self.best_score = -1.0
        self._saved_at = -1
        self._handler: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved_at = trainer.global_step
        if threading.current_thread() is threading.main_thread():  # no other may listen to signals
            # Lightning ends a run at the next step boundary, on all ranks, when it hears SIGTERM; to SIGUSR1 it is deaf
            self._handler = signal.signal(signal.SIGUSR1, lambda *_: signal.raise_signal(signal.SIGTERM))

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step % self.every_n_steps == 0:
            self.save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        score = float(trainer.callback_metrics.get("val/macro_f1", -1.0))
        if self.best and score > self.best_score:
            self.best_score = score
            self._write(trainer, self.folder / "best.ckpt")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, SIGTERMException):
            self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGUSR1, self._handler)

    def save(self, trainer: Trainer) -> None:
        """Write `last.ckpt` unless it is of this step; the one it replaces becomes `previous.ckpt`."""
        if trainer.global_step == self._saved_at:
            return
        last = self.folder / "last.ckpt"
        self._write(trainer, last, keep=self.folder / "previous.ckpt")
        self._saved_at = trainer.global_step

    def _write(self, trainer: Trainer, path: Path, keep: Path | None = None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        trainer.save_checkpoint(partial, weights_only=False)  # False: with optimizer and loop state
        if trainer.is_global_zero:
            _flush(partial)
            if keep is not None and path.exists():
                path.replace(keep)
            partial.replace(path)
            _flush(self.folder)

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score = state_dict["best_score"]


def _flush(path: Path) -> None:
    """Have what was written to a file or folder on the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
