"""Self-adaptive thresholds from the unlabeled predictions alone."""

import torch
from torch import Tensor

from fer_ssl import dist
from fer_ssl.method.thresholds.base import Threshold
from fer_ssl.types import Gate, LabeledView


class FreeMatchThreshold(Threshold):
    """Follow the mean confidence on unlabeled faces, scaled per class by the predicted prior.

    `quantile` follows that quantile of the confidence instead of its mean; `clip` bounds the common threshold. A step
    counts before it gates. Source: FreeMatch (ICLR 2023).
    """

    confidence: Tensor
    prior: Tensor
    follows_training = True

    def __init__(
        self, classes: int, decay: float = 0.999, quantile: float | None = None, clip: float | None = None
    ) -> None:
        super().__init__(classes, 1 / classes)
        self.decay = decay
        self.quantile = quantile
        self.clip = clip
        self.register_buffer("confidence", torch.tensor(1 / classes))
        self.register_buffer("prior", torch.full((classes,), 1 / classes))

    @torch.no_grad()
    def forward(self, probs: Tensor, labeled: LabeledView | None = None, pool_rows: Tensor | None = None) -> Gate:
        """Return the gate of `probs` [B, C], after counting them."""
        everyone = dist.gather(probs.float())
        confidence = everyone.amax(1)
        level = confidence.mean() if self.quantile is None else confidence.quantile(self.quantile)
        self.confidence.lerp_(level, 1 - self.decay).clamp_(max=self.clip or 1.0)
        self.prior.lerp_(everyone.mean(0), 1 - self.decay)
        self.tau.copy_(self.confidence * self.prior / self.prior.max())
        return self.gate(probs)
