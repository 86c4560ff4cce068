"""What the student is taught on an unlabeled face, made of the teacher's probabilities."""

import torch
from torch import Tensor, nn

from fer_ssl.method.functional import one_hot, sharpen


class HardTarget(nn.Module):
    """The most probable class, its one-hot optionally smoothed."""

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = smoothing

    @torch.no_grad()
    def forward(self, probs: Tensor) -> tuple[Tensor, Tensor]:
        """Return pseudo-labels int64 [U] and targets float [U, C] of `probs` [U, C]."""
        pseudo_labels = probs.argmax(1)
        return pseudo_labels, one_hot(pseudo_labels, probs.shape[1], self.smoothing)


class SoftTarget(nn.Module):
    """The probabilities themselves, sharpened when the temperature is below 1."""

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    @torch.no_grad()
    def forward(self, probs: Tensor) -> tuple[Tensor, Tensor]:
        """Return pseudo-labels int64 [U] and targets float [U, C] of `probs` [U, C]."""
        return probs.argmax(1), sharpen(probs.float(), self.temperature)
