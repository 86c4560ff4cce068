"""The class distributions of the last few batches, which alignment compares."""

from typing import Literal

import torch
from torch import Tensor, nn

from fer_ssl import dist
from fer_ssl.method.functional import align


class RecentAlignment(nn.Module):
    """Pull predictions on unlabeled faces towards a `target` distribution, both over the last `length` batches.

    `uniform` is fixed; `model` is the mean prediction on labeled faces. Batches not yet seen count as zeros on both
    sides. Source: distribution alignment of ReMixMatch (ICLR 2020), as CoMatch and SimMatch use it.
    """

    estimates: Tensor  # [length, C], the mean prediction of each batch
    targets: Tensor
    pointer: Tensor

    def __init__(self, classes: int, length: int, target: Literal["uniform", "model"] = "uniform") -> None:
        super().__init__()
        self.follows_labeled = target == "model"
        start = 0.0 if self.follows_labeled else 1 / classes
        self.register_buffer("estimates", torch.zeros(length, classes))
        self.register_buffer("targets", torch.full((length, classes), start))
        self.register_buffer("pointer", torch.zeros(1, dtype=torch.int64))

    @torch.no_grad()
    def update(self, probs: Tensor, labeled: Tensor | None = None) -> None:
        """Count predictions on unlabeled faces [B, C] and, when followed, on labeled ones [L, C], of all ranks."""
        self.estimates.index_copy_(0, self.pointer, dist.gather(probs.float()).mean(0, keepdim=True))
        if labeled is not None and self.follows_labeled:
            self.targets.index_copy_(0, self.pointer, dist.gather(labeled.float()).mean(0, keepdim=True))
        self.pointer.add_(1).remainder_(len(self.estimates))

    def forward(self, probs: Tensor) -> Tensor:
        """Return `probs` [B, C] aligned."""
        return align(probs.float(), self.targets.mean(0), self.estimates.mean(0))
