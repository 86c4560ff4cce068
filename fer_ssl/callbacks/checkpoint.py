"""The last good state of a run, written whole or not at all."""

from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint


class LastCheckpoint(Checkpoint):
    """Keep `<run dir>/checkpoints/last.ckpt`, every `every_n_steps` optimizer steps and at the end."""

    def __init__(self, run_dir: str, every_n_steps: int = 200) -> None:
        super().__init__()
        self.path = Path(run_dir) / "checkpoints" / "last.ckpt"
        self.every_n_steps = every_n_steps
        self._saved_at = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved_at = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step % self.every_n_steps == 0:
            self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write the checkpoint beside the old one, then take its place."""
        if trainer.global_step == self._saved_at:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        trainer.save_checkpoint(partial, weights_only=False)  # False: with optimizer and loop state
        if trainer.is_global_zero:
            partial.replace(self.path)
        self._saved_at = trainer.global_step
