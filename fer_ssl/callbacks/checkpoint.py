"""The last good states of a run, each written whole or not at all."""

from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from fer_ssl import dist
from fer_ssl.callbacks.signals import Leaving
from fer_ssl.errors import ConfigError
from fer_ssl.files import on_disk, partial_of, whole


class DirectIO(TorchCheckpointIO):
    """Write a checkpoint where it is told to; Lightning's own leaves a copy in the temporary folder when killed."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with Path(path).open("wb") as file:
            torch.save(checkpoint, file)


class LastCheckpoint(Checkpoint):
    """Keep the last `keep` states in `<run dir>/checkpoints`: `last.ckpt`, `last-1.ckpt` before it, and so on.

    They are written every `every_n_steps` optimizer steps, at the end, and when SIGTERM, SIGUSR1 or Ctrl-C ask the run
    to leave, which it does at the end of the step, on all ranks at the same one. With `best`, `best.ckpt` is the state
    of the highest validation macro-F1; it is kept for inspection only, results are those of the last.
    """

    def __init__(self, run_dir: str, every_n_steps: int = 200, keep: int = 2, best: bool = False) -> None:
        if keep < 1 or every_n_steps < 1:
            raise ConfigError(
                f"callback.checkpoint.every_n_steps={every_n_steps} with keep={keep} leaves nothing to resume from; "
                "set both to 1 or more"
            )
        super().__init__()
        self.folder = Path(run_dir) / "checkpoints"
        self.every_n_steps = every_n_steps
        self.keep = keep
        self.best = best
        self.best_score = -1.0
        self.leaving = Leaving()
        self._saved_at = self._stood_at = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.best and not (trainer.limit_val_batches and trainer.datamodule.val_dataloader()):  # type: ignore[attr-defined]
            raise ConfigError(
                "callback.checkpoint.best=true keeps the best by validation, and this run has none; set "
                "data.val_fraction=0.1, or callback.checkpoint.best=false"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved_at = self._stood_at = trainer.global_step
        self.leaving.listen()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if not _validates_next(trainer):  # a state before a validation would resume without it
            self._end_step(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        score = float(trainer.callback_metrics.get("val/macro_f1", -1.0))
        if self.best and score > self.best_score:
            self.best_score = score
            self._write(trainer, self.folder / "best.ckpt")
        self._end_step(trainer, pl_module)

    def _end_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stepped = trainer.global_step != self._stood_at  # gradients that still accumulate are in no checkpoint
        self._stood_at = trainer.global_step
        leaves = dist.any_rank(self.leaving.asked_by is not None, pl_module.device)
        if stepped and (leaves or trainer.global_step % self.every_n_steps == 0):
            self.save(trainer)
        if stepped and leaves:
            raise SIGTERMException

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep a state in which no step was left to take, as what the run reports is of it."""
        began_from, last = Path(trainer.ckpt_path or ""), self.folder / "last.ckpt"
        if self._stood_at < 0 and began_from.resolve() != last.resolve():
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write `last.ckpt` unless it is of this step; those before it grow older by one."""
        if trainer.global_step != self._saved_at:
            self._write(trainer, self.folder / "last.ckpt")
            self._saved_at = trainer.global_step

    def _write(self, trainer: Trainer, path: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole(path) if trainer.is_global_zero else nullcontext(partial_of(path)) as place:
            trainer.save_checkpoint(place, weights_only=False)  # False: with optimizer and loop state
            if trainer.is_global_zero:
                on_disk(place)
                if path.name == "last.ckpt":
                    self._age()
        on_disk(self.folder)

    def _age(self) -> None:
        places = [self.folder / "last.ckpt", *(self.folder / f"last-{age}.ckpt" for age in range(1, self.keep))]
        for newer, older in reversed(list(pairwise(places))):
            if newer.exists():
                newer.replace(older)

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score = state_dict["best_score"]


def _validates_next(trainer: Trainer) -> bool:
    loop = trainer.fit_loop
    due = loop._data_fetcher is not None and loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
    return due and bool(trainer.datamodule.val_dataloader())  # type: ignore[attr-defined]
