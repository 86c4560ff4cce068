"""The moment from which a run counts."""

from collections.abc import Callable

from lightning import Callback, LightningModule, Trainer


class Beginning(Callback):
    """Call `begin` once on the first rank, when nothing is left that could refuse the run.

    That is before its first step, or at the end of one that resumes with no step left to take.
    """

    def __init__(self, begin: Callable[[], None]) -> None:
        self.begin = begin
        self.begun = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._once(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._once(trainer)

    def _once(self, trainer: Trainer) -> None:
        if trainer.is_global_zero and not self.begun:
            self.begin()
        self.begun = True
