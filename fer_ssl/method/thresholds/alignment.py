"""Running estimates of the class distributions that alignment compares."""

from typing import Literal

import torch
from torch import Tensor, nn

from fer_ssl import dist
from fer_ssl.method.functional import align


class Alignment(nn.Module):
    """Pull predictions on unlabeled faces towards a `target` distribution.

    `uniform` is fixed; `model` is the running mean of the predictions on labeled faces. The estimate for unlabeled
    faces starts at the first batch. Source: ReMixMatch (ICLR 2020), with running means as in SoftMatch and AdaMatch.
    """

    estimate: Tensor
    target: Tensor
    started: Tensor

    def __init__(self, classes: int, decay: float, target: Literal["uniform", "model"]) -> None:
        super().__init__()
        self.decay = decay
        self.follows_labeled = target == "model"
        self.register_buffer("estimate", torch.full((classes,), 1 / classes))
        self.register_buffer("target", torch.full((classes,), 1 / classes))
        self.register_buffer("started", torch.zeros(()))

    def update(self, probs: Tensor, labeled: Tensor | None) -> None:
        """Count the predictions `probs` [B, C] on unlabeled faces and, when followed, `labeled` [L, C] of all ranks."""
        self.estimate.lerp_(dist.gather(probs).mean(0), 1 - self.decay * self.started)
        self.started.fill_(1.0)
        if labeled is not None:
            self.target.lerp_(dist.gather(labeled).mean(0), 1 - self.decay)

    def forward(self, probs: Tensor) -> Tensor:
        """Return `probs` [B, C] aligned."""
        return align(probs, self.target, self.estimate)
