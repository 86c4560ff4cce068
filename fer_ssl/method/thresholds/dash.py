"""A bound on the loss of a pseudo-label, falling with training."""

import math

import torch
from torch import Tensor

from fer_ssl import dist
from fer_ssl.method.choices import Source, require_choice
from fer_ssl.method.functional import dash_threshold, one_hot, sharpen
from fer_ssl.method.thresholds.base import Threshold, require_labeled
from fer_ssl.types import Gate, LabeledView


class DashThreshold(Threshold):
    """Keep faces whose prediction costs at most rho against the label made of it.

    In the first `warmup_epochs` nothing is kept and rho_0 follows the loss of the labeled batches, forgetting by
    `decay`. From then on rho falls every `update_every` epochs, as `dash_threshold` says. The label, which
    `align` returns, is sharpened by `temperature` until rho reaches `rho_min`, then one-hot. `tau` is exp(-rho), the
    confidence that a one-hot label needs. Raises ConfigError for an unknown choice. Source: Dash (ICML 2021).
    """

    rho_0: Tensor
    epoch: Tensor
    follows_training = True

    def __init__(
        self,
        classes: int,
        scale: float = 1.0001,
        gamma: float = 1.27,
        rho_min: float = 0.05,
        temperature: float = 0.5,
        warmup_epochs: int = 1,
        update_every: int = 1,
        decay: float = 0.9,
        source: Source = "student",
    ) -> None:
        super().__init__(classes, 1.0)
        require_choice("threshold.source", source, ("teacher", "student"))
        self.scale, self.gamma, self.rho_min, self.temperature = scale, gamma, rho_min, temperature
        self.warmup_epochs, self.update_every, self.decay = warmup_epochs, update_every, decay
        self.needs_labeled = source
        self.register_buffer("rho_0", torch.tensor(math.log(classes)))  # the loss of a guess
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    @property
    def rho(self) -> Tensor:
        """The largest loss that is kept, a scalar."""
        falls = (self.epoch - self.warmup_epochs).clamp(min=0) // self.update_every
        return dash_threshold(self.rho_0, falls, self.scale, self.gamma, self.rho_min)

    @torch.no_grad()
    def forward(self, probs: Tensor, labeled: LabeledView | None = None, pool_rows: Tensor | None = None) -> Gate:
        """Return the gate of `probs` [B, C], after measuring the loss of `labeled` while warming up."""
        warming = (self.epoch < self.warmup_epochs).float()
        self._measure(require_labeled(labeled, self), warming)
        losses = -(self.align(probs) * _log(probs)).sum(1)
        self.tau.copy_(torch.maximum(torch.exp(-self.rho), warming))
        return Gate((losses <= self.rho).float() * (1 - warming), self.tau.clone())

    @torch.no_grad()
    def align(self, probs: Tensor) -> Tensor:
        """Return the labels [B, C] made of `probs` [B, C]."""
        hard = one_hot(probs.argmax(1), probs.shape[1])
        return torch.where(self.rho > self.rho_min, sharpen(probs.float(), self.temperature), hard)

    def compared(self, probs: Tensor) -> Tensor:
        """Return the confidence [B] of the prediction itself: the label made of it is surer."""
        return probs.float().amax(1)

    def end_epoch(self) -> None:
        """Count one more epoch."""
        self.epoch.add_(1)

    def _measure(self, labeled: LabeledView, warming: Tensor) -> None:
        loss = -_log(dist.gather(labeled.probs)).gather(1, dist.gather(labeled.labels).unsqueeze(1)).mean()
        self.rho_0.lerp_(loss, (1 - self.decay) * warming)


def _log(probs: Tensor) -> Tensor:
    return probs.float().clamp(min=torch.finfo(torch.float32).tiny).log()
