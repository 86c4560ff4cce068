"""Rare classes are taken whole, frequent ones only where they are surest."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fer_ssl import dist
from fer_ssl.method.thresholds.base import Threshold
from fer_ssl.types import Gate, LabeledView


class CReSTThreshold(Threshold):
    """Keep the most confident share of each class among the faces given at once, all of the rarest class.

    With the C classes that labeled faces show ordered by their `class_counts`, the l-th most frequent keeps the share
    (count of the l-th rarest / count of the most frequent)^alpha; a class that none shows keeps nothing. Made for the
    whole pool at once, as `fer_ssl.pseudo_label` gives it. Source: CReST (Wei et al., CVPR 2021).
    """

    shares: Tensor

    def __init__(self, classes: int, class_counts: Sequence[int], alpha: float = 1 / 3) -> None:
        super().__init__(classes, 0.0)
        counts = torch.tensor(class_counts, dtype=torch.float64)
        order = counts.argsort(stable=True)[(counts == 0).sum() :]
        shares = torch.zeros_like(counts).scatter(0, order.flip(0), (counts[order] / counts.max()) ** alpha)
        self.register_buffer("shares", shares)

    @torch.no_grad()
    def forward(self, probs: Tensor, labeled: LabeledView | None = None, pool_rows: Tensor | None = None) -> Gate:
        """Return the gate of `probs` [B, C] among those of all ranks."""
        everyone = dist.gather(probs.float())
        confidence, labels = everyone.max(1)
        members = torch.zeros_like(everyone).scatter(1, labels.unsqueeze(1), 1.0)
        wanted = (self.shares * members.sum(0)).ceil()
        best_first = confidence.argsort(descending=True, stable=True)
        place = members[best_first].cumsum(0).gather(1, labels[best_first].unsqueeze(1)).squeeze(1)
        keep = torch.empty_like(confidence).scatter(0, best_first, (place <= wanted[labels[best_first]]).float())
        lowest = torch.where(members * keep.unsqueeze(1) > 0, everyone, torch.inf).amin(0)
        self.tau.copy_(lowest.clamp(max=1.0))
        return Gate(keep.chunk(dist.world_size())[dist.rank()], self.tau.clone())
