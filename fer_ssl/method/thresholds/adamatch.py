"""A threshold relative to the confidence on labeled faces."""

import torch
from torch import Tensor

from fer_ssl import dist
from fer_ssl.method.choices import Source, require_choice
from fer_ssl.method.thresholds.alignment import Alignment
from fer_ssl.method.thresholds.base import Threshold, require_labeled
from fer_ssl.types import Gate, LabeledView


class AdaMatchThreshold(Threshold):
    """Keep aligned predictions that reach `tau` times the mean confidence on the labeled batch.

    Pseudo-labels are read from `align(probs)`, towards the running mean of the predictions on labeled faces. A step
    counts before it gates. Raises ConfigError for an unknown choice. Source: AdaMatch (ICLR 2022).
    """

    aligns = True
    follows_training = True

    def __init__(self, classes: int, tau: float = 0.95, decay: float = 0.999, source: Source = "student") -> None:
        super().__init__(classes, tau)
        require_choice("threshold.source", source, ("teacher", "student"))
        self.relative = tau
        self.needs_labeled = source
        self.alignment = Alignment(classes, decay, "model")

    @torch.no_grad()
    def forward(self, probs: Tensor, labeled: LabeledView | None = None, pool_rows: Tensor | None = None) -> Gate:
        """Return the gate of `probs` [B, C], after counting them and `labeled`."""
        labeled = require_labeled(labeled, self)
        self.alignment.update(probs, labeled)
        self.tau.copy_(self.relative * dist.gather(labeled.probs.float()).amax(1).mean())
        return self.gate(self.align(probs))

    @torch.no_grad()
    def align(self, probs: Tensor) -> Tensor:
        """Return `probs` [B, C] aligned to the labeled predictions."""
        aligned: Tensor = self.alignment(probs)
        return aligned
