"""One threshold for all classes and all times."""

import torch
from torch import Tensor

from fer_ssl.method.thresholds.base import Threshold
from fer_ssl.types import Gate, LabeledView


class FixedThreshold(Threshold):
    """Keep what reaches `tau`. Source: FixMatch (NeurIPS 2020)."""

    def __init__(self, classes: int, tau: float = 0.95) -> None:
        super().__init__(classes, tau)
        self.leaves_out = tau > 0

    @torch.no_grad()
    def forward(self, probs: Tensor, labeled: LabeledView | None = None, pool_rows: Tensor | None = None) -> Gate:
        """Return the gate of `probs` [B, C]."""
        return self.gate(probs)
