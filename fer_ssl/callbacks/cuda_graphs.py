"""Where one step ends and the next begins, for CUDA graphs that reuse their memory."""

from typing import Any

import torch
from lightning.pytorch.callbacks import Callback


class StepMarks(Callback):
    """Tell compiled networks before each batch that no output of an earlier one is needed any more."""

    def on_train_batch_start(self, *_: Any) -> None:
        torch.compiler.cudagraph_mark_step_begin()

    def on_validation_batch_start(self, *_: Any) -> None:
        torch.compiler.cudagraph_mark_step_begin()
