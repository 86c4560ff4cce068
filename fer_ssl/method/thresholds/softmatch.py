"""A weight for every pseudo-label instead of a cut."""

from typing import Literal

import torch
from torch import Tensor

from fer_ssl import dist
from fer_ssl.method.choices import Source, require_choice
from fer_ssl.method.thresholds.alignment import Alignment
from fer_ssl.method.thresholds.base import Threshold
from fer_ssl.types import Gate, LabeledView


class SoftMatchThreshold(Threshold):
    """Weigh each face by a truncated Gaussian around the running mean of the confidence.

    `alignment` names the distribution that predictions are aligned to before they are weighed; pseudo-labels are read
    from the unaligned ones. `per_class` keeps one Gaussian per class; a class with fewer than two faces in a batch
    moves towards mean 0 and variance 1, that is towards full weight, as in the authors' release. A step counts before
    it weighs. `tau` is the mean, below which weights fall. Raises ConfigError for an unknown choice. Source: SoftMatch
    (ICLR 2023).
    """

    variance: Tensor
    leaves_out = False
    follows_training = True

    def __init__(
        self,
        classes: int,
        n: float = 2.0,
        decay: float = 0.999,
        alignment: Literal["uniform", "model", "none"] = "uniform",
        per_class: bool = False,
        source: Source = "student",
    ) -> None:
        super().__init__(classes, 1 / classes)
        require_choice("threshold.alignment", alignment, ("uniform", "model", "none"))
        require_choice("threshold.source", source, ("teacher", "student"))
        self.n = n
        self.decay = decay
        self.per_class = per_class
        self.alignment = None if alignment == "none" else Alignment(classes, decay, alignment)
        self.aligns = self.alignment is not None
        self.needs_labeled = source if alignment == "model" else None
        self.register_buffer("variance", torch.ones(classes))

    @torch.no_grad()
    def forward(self, probs: Tensor, labeled: LabeledView | None = None, pool_rows: Tensor | None = None) -> Gate:
        """Return the weights of `probs` [B, C], after counting them."""
        aligned = self._aligned(probs.float(), labeled)
        self._count(dist.gather(aligned))
        confidence, labels = aligned.max(1)
        below = (confidence - self.tau[labels]).clamp(max=0)
        return Gate(torch.exp(-below.square() * self.n**2 / (2 * self.variance[labels])), self.tau.clone())

    def _aligned(self, probs: Tensor, labeled: LabeledView | None) -> Tensor:
        if self.alignment is None:
            return probs
        self.alignment.update(probs, labeled)
        aligned: Tensor = self.alignment(probs)
        return aligned

    def _count(self, probs: Tensor) -> None:
        confidence, labels = probs.max(1)
        members = torch.zeros_like(probs).scatter(1, labels.unsqueeze(1), 1.0)
        if not self.per_class:
            members = torch.ones_like(members)
        size = members.sum(0)
        mean = confidence @ members / size.clamp(min=1)
        spread = ((confidence.unsqueeze(1) - mean).square() * members).sum(0) / (size - 1).clamp(min=1)
        self.tau.lerp_(torch.where(size > 1, mean, 0.0), 1 - self.decay)
        self.variance.lerp_(torch.where(size > 1, spread, 1.0), 1 - self.decay)
