"""Thresholds that leave no class without faces."""

from collections.abc import Callable

import torch
from torch import Tensor

from fer_ssl import dist
from fer_ssl.method.thresholds.base import Threshold
from fer_ssl.types import Gate, LabeledView


class Unstarved(Threshold):
    """Lower the thresholds of `inner` so that each class keeps at least its most confident `share`.

    Which confidence that is comes from a histogram per pseudo-label over the faces seen, in `bins` steps, that forgets
    by `decay` per batch. A step counts before it gates.
    """

    histogram: Tensor  # [C, bins]

    def __init__(
        self,
        classes: int,
        inner: Callable[..., Threshold],
        share: float = 0.05,
        decay: float = 0.99,
        bins: int = 200,
    ) -> None:
        super().__init__(classes, 0.0)
        self.inner = inner(classes=classes)
        self.share, self.decay, self.bins = share, decay, bins
        self.needs_labeled, self.observes = self.inner.needs_labeled, self.inner.observes
        self.leaves_out, self.follows_training = self.inner.leaves_out, self.inner.follows_training
        self.aligns = self.inner.aligns
        self.register_buffer("histogram", torch.zeros(classes, bins))
        self.tau.copy_(self.inner.tau)

    @torch.no_grad()
    def forward(self, probs: Tensor, labeled: LabeledView | None = None, pool_rows: Tensor | None = None) -> Gate:
        """Return the gate of `probs` [B, C], after counting them: what `inner` keeps and the best of each class."""
        gate: Gate = self.inner(probs, labeled, pool_rows)
        confidence, labels = self.inner.compared(probs).float(), self.inner.align(probs).argmax(1)
        self._count(dist.gather(confidence), dist.gather(labels))
        lowest = self.lowest()
        self.tau.copy_(torch.minimum(gate.tau, lowest))
        reaching = (confidence >= lowest[labels]).float()
        return gate._replace(keep=torch.maximum(gate.keep, reaching), tau=self.tau.clone())

    def lowest(self) -> Tensor:
        """Return the confidence [C] that the `share` of each class reaches; infinite for a class never seen."""
        reaching = self.histogram.flip(1).cumsum(1).flip(1)
        total = reaching[:, :1]
        highest_bin = (reaching >= self.share * total).sum(1) - 1
        return torch.where(total.squeeze(1) > 0, highest_bin / self.bins, torch.inf)

    def align(self, probs: Tensor) -> Tensor:
        """Return the probabilities [B, C] that `inner` reads pseudo-labels from."""
        return self.inner.align(probs)

    def compared(self, probs: Tensor) -> Tensor:
        """Return what `inner` compares of `probs` [B, C], [B]."""
        return self.inner.compared(probs)

    def observe(self, labeled: LabeledView) -> None:
        """Let `inner` look at a held-out fold."""
        self.inner.observe(labeled)

    def end_epoch(self) -> None:
        """Close an epoch of `inner`."""
        self.inner.end_epoch()

    def _count(self, confidence: Tensor, labels: Tensor) -> None:
        places = (confidence * self.bins).long().clamp(max=self.bins - 1)
        self.histogram.mul_(self.decay)
        self.histogram.view(-1).index_add_(0, labels * self.bins + places, torch.ones_like(confidence))
