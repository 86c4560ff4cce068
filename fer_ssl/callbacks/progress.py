"""Progress for a terminal that cannot redraw, such as a log file."""

import sys
import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar

from fer_ssl.callbacks.telemetry import log_interval


class LineProgress(ProgressBar):
    """Print one line at each log interval: step, speed, time left, losses, keep-rate, mean tau."""

    def disable(self) -> None:
        """Stay silent on ranks other than the first, as Lightning asks."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start, self._first_step = time.perf_counter(), trainer.global_step
        self._printed_at = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        step = trainer.global_step
        if step % log_interval(trainer) or step == self._printed_at or not trainer.is_global_zero:
            return
        self._printed_at = step
        speed = (step - self._first_step) / (time.perf_counter() - self._start)
        left = _clock((trainer.max_steps - step) / speed)
        shown = "  ".join(f"{name} {float(value):.3f}" for name, value in trainer.progress_bar_metrics.items())
        print(f"step {step}/{trainer.max_steps}  {speed:.2f} it/s  {left} left  {shown}", flush=True)


def _clock(seconds: float) -> str:
    """Return hours, minutes and seconds; a long run has more hours than a day."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"


def progress_bar() -> ProgressBar:
    """Return a rich bar on a terminal and plain lines elsewhere."""
    return RichProgressBar() if sys.stdout.isatty() else LineProgress()
