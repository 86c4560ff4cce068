"""The confidence itself as weight: nothing is cut off."""

from typing import Literal

import torch
from torch import Tensor

from fer_ssl.method.choices import Source, require_choice
from fer_ssl.method.thresholds.alignment import Alignment
from fer_ssl.method.thresholds.base import Threshold
from fer_ssl.types import Gate, LabeledView


class ConfidenceWeight(Threshold):
    """Weigh each face by the confidence of its aligned prediction.

    Pseudo-labels are read from `align(probs)`, towards the distribution that `alignment` names; for `model`, the
    running mean of the predictions of `source` on labeled faces. A step counts before it weighs. `tau` is 0: every
    face counts. Raises ConfigError for an unknown choice.
    """

    leaves_out = False

    def __init__(
        self,
        classes: int,
        alignment: Literal["uniform", "model", "none"] = "uniform",
        decay: float = 0.99,
        source: Source = "teacher",
    ) -> None:
        super().__init__(classes, 0.0)
        require_choice("threshold.alignment", alignment, ("uniform", "model", "none"))
        require_choice("threshold.source", source, ("teacher", "student"))
        self.alignment = None if alignment == "none" else Alignment(classes, decay, alignment)
        self.aligns = self.alignment is not None
        self.follows_training = self.alignment is not None and self.alignment.follows_training
        self.needs_labeled = source if alignment == "model" else None

    @torch.no_grad()
    def forward(self, probs: Tensor, labeled: LabeledView | None = None, pool_rows: Tensor | None = None) -> Gate:
        """Return the weights of `probs` [B, C], after counting them."""
        if self.alignment is not None:
            self.alignment.update(probs, labeled)
        return Gate(self.align(probs).amax(1), self.tau.clone())

    @torch.no_grad()
    def align(self, probs: Tensor) -> Tensor:
        """Return `probs` [B, C] aligned."""
        aligned: Tensor = probs.float() if self.alignment is None else self.alignment(probs.float())
        return aligned
