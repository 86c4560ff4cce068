"""What an uncertain face surely does not show."""

import torch
from torch import Tensor

from fer_ssl.method.functional import log_complement
from fer_ssl.method.losses.base import Term, Weight, require
from fer_ssl.types import Step

REMEDY = "set unlabeled=<pool> or remove negative from loss"


class Negative(Term):
    """Push down, on the strong view, the classes to which the teacher gives a probability below `below`.

    `uncertain_only` takes the faces that the threshold left out, else all. The mean of a face is over its negative
    classes, that of the term over all unlabeled faces. Raises ConfigError in a run without a pool. Source: negative
    learning of UPS (Rizve et al., ICLR 2021), without its second criterion, the spread of predictions under dropout.
    """

    student_views = frozenset({"strong"})

    def __init__(self, weight: Weight = 1.0, below: float = 0.05, uncertain_only: bool = True) -> None:
        super().__init__(weight)
        self.below = below
        self.uncertain_only = uncertain_only

    def forward(self, step: Step) -> Tensor:
        """Return the mean over faces of the mean over negative classes of -log(1 - p)."""
        negative = (require(step.probs, self, "predictions on unlabeled faces", REMEDY) < self.below).float()
        losses = -(log_complement(step.student["strong"].logits.float()) * negative).sum(1)
        return (losses / negative.sum(1).clamp(min=1) * self._taking_part(step, losses)).mean()

    def _taking_part(self, step: Step, rows: Tensor) -> Tensor:
        if not self.uncertain_only:
            return torch.ones_like(rows)
        return (require(step.gate, self, "a threshold's gate", REMEDY).keep == 0).float()
