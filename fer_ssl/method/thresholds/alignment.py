"""Running estimates of the class distributions that alignment compares."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from fer_ssl import dist
from fer_ssl.errors import ConfigError
from fer_ssl.method.choices import Observed, require_choice
from fer_ssl.method.functional import align, frequencies
from fer_ssl.method.thresholds.prior import PoolPrior
from fer_ssl.types import LabeledView

Target = Literal["uniform", "labeled", "estimated", "model"]
Against = Literal["pool", "labeled"]
Start = Literal["first", "uniform"]
Fold = Literal["train", "heldout"]


class Alignment(nn.Module):
    """Pull predictions on unlabeled faces towards a `target` distribution: p * (target / estimate)^strength.

    The target is `uniform`; `labeled`, the frequencies of the `class_counts` [C]; `estimated`, the pool's own prior by
    `PoolPrior`, which learns from labeled faces of `pool`; or `model`, the running mean of the predictions on labeled
    batches. A `temperature` below 1 evens it out (CReST, CVPR 2021). The estimate is the running mean of the
    predictions on the pool, or on labeled batches, as `against` says; it starts at the `first` batch or `uniform`.
    Raises ConfigError for an unknown choice. Source: ReMixMatch (ICLR 2020), with running means as in SoftMatch and
    AdaMatch.
    """

    estimate: Tensor
    target: Tensor
    started: Tensor

    def __init__(
        self,
        classes: int,
        decay: float,
        target: Target,
        strength: float = 1.0,
        temperature: float = 1.0,
        against: Against = "pool",
        start: Start = "first",
        pool: Fold = "train",
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        require_choice("alignment.target", target, ("uniform", "labeled", "estimated", "model"))
        require_choice("alignment.against", against, ("pool", "labeled"))
        require_choice("alignment.start", start, ("first", "uniform"))
        require_choice("alignment.pool", pool, ("train", "heldout"))
        self.decay, self.strength, self.temperature = decay, strength, temperature
        self.follows_labeled, self.against = target == "model", against
        self.pool_prior = PoolPrior(classes, decay) if target == "estimated" else None
        self.observes: Observed | None = "heldout" if self.pool_prior is not None and pool == "heldout" else None
        self.follows_training = target in ("estimated", "model") or start == "uniform"
        self.learns_confusion = self.pool_prior is not None and pool == "train"
        self.needs_labeled = self.follows_labeled or self.learns_confusion or against == "labeled"
        counts = class_counts if target == "labeled" and class_counts else [1] * classes
        self.register_buffer("estimate", torch.full((classes,), 1 / classes))
        self.register_buffer("target", frequencies(counts))
        self.register_buffer("started", torch.full((), float(start == "uniform")))

    def update(self, probs: Tensor, labeled: LabeledView | None) -> None:
        """Count the predictions `probs` [B, C] on unlabeled faces and, where needed, those on labeled ones.

        Raises ConfigError where those are needed and missing.
        """
        unlabeled = dist.gather(probs.float()).mean(0)
        taught = self._count_labeled(labeled) if self.needs_labeled else unlabeled
        self.estimate.lerp_(taught if self.against == "labeled" else unlabeled, 1 - self.decay * self.started)
        self.started.fill_(1.0)
        if self.follows_labeled:
            self.target.lerp_(taught, 1 - self.decay)
        if self.pool_prior is not None:
            self.target.copy_(self.pool_prior.update(unlabeled))

    def observe(self, labeled: LabeledView) -> None:
        """Learn the classifier's confusion anew from predictions on a held-out fold, where `pool` is that."""
        if self.observes and self.pool_prior is not None:
            self.pool_prior.observe(labeled, decay=0.0)

    def _count_labeled(self, labeled: LabeledView | None) -> Tensor:
        if labeled is None:
            raise ConfigError("this alignment needs predictions on labeled faces; set its target to uniform")
        if self.learns_confusion and self.pool_prior is not None:
            self.pool_prior.observe(labeled, self.decay)
        return dist.gather(labeled.probs.float()).mean(0)

    def forward(self, probs: Tensor) -> Tensor:
        """Return `probs` [B, C] aligned."""
        target = self.target if self.temperature == 1 else self.target.pow(self.temperature)
        return align(probs.float(), target, self.estimate, strength=self.strength)
