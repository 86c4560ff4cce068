"""The dynamic threshold module: a threshold per class that rises with training."""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fer_ssl import dist
from fer_ssl.errors import ConfigError
from fer_ssl.method.choices import Observed, Source, require_average, require_choice
from fer_ssl.method.functional import dtm_threshold
from fer_ssl.method.thresholds.base import Threshold, require_labeled
from fer_ssl.types import Gate, LabeledView

Fold = Literal["train"] | Observed


class DynamicThreshold(Threshold):
    """Follow the mean confidence of correctly classified labeled faces, class by class.

    `pool` names the labeled faces that count: the training batches given to `forward`, predicted by `source`, or all of
    a fold given to `observe`, `heldout` or `labeled`, predicted by the averaged model. `aggregate` takes the mean since
    the last update, or over sums that decay by `ema_decay` per observation. `update_every` is `epoch` or a number of
    steps. Raises ConfigError for an unknown choice, and for a fold that another model is to predict. Source:
    `dtm_threshold`.
    """

    confidence_sum: Tensor
    correct_count: Tensor
    epoch: Tensor
    step: Tensor

    def __init__(
        self,
        classes: int,
        beta: float = 0.97,
        gamma: float = math.e,
        floor: float = 0.8,
        init: float = 0.8,
        pool: Fold = "train",
        source: Source = "teacher",
        aggregate: Literal["epoch", "ema"] = "epoch",
        ema_decay: float = 0.99,
        update_every: int | Literal["epoch"] = "epoch",
    ) -> None:
        super().__init__(classes, init)
        require_choice("threshold.pool", pool, ("train", "heldout", "labeled"))
        require_choice("threshold.source", source, ("teacher", "student"))
        require_choice("threshold.aggregate", aggregate, ("epoch", "ema"))
        require_average("threshold", pool, source)
        _require_period(update_every, pool)
        self.beta, self.gamma, self.floor = beta, gamma, floor
        self.pool, self.source = pool, source
        self.aggregate, self.ema_decay = aggregate, ema_decay
        self.update_every = update_every
        self.needs_labeled = source if pool == "train" else None
        self.observes = None if pool == "train" else pool
        self.follows_training = update_every != "epoch"
        self.register_buffer("confidence_sum", torch.zeros(classes, dtype=torch.float64))
        self.register_buffer("correct_count", torch.zeros(classes, dtype=torch.float64))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self._step = 0
        self.register_load_state_dict_post_hook(_resume)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def forward(self, probs: Tensor, labeled: LabeledView | None = None, pool_rows: Tensor | None = None) -> Gate:
        """Return the gate of `probs` [B, C], after observing `labeled` when the pool is `train`."""
        if self.pool == "train":
            self.observe(require_labeled(labeled, self))
        self._step += 1
        self.step.add_(1)
        if self.update_every != "epoch" and self._step % (self.update_every * self.step_batches) == 0:
            self.update()
        return self.gate(probs)

    @torch.no_grad()
    def observe(self, labeled: LabeledView) -> None:
        """Count the correct predictions among `labeled` on every rank; a label of UNKNOWN counts as padding."""
        confidence, predicted = labeled.probs.double().max(1)
        correct = (predicted == labeled.labels).double()
        seen = torch.zeros(2, len(self.tau), dtype=torch.float64, device=confidence.device)
        seen.index_add_(1, predicted, torch.stack([confidence * correct, correct]))
        kept = self.ema_decay if self.aggregate == "ema" else 1.0
        confidence_sum, correct_count = dist.all_reduce_sum(seen)
        self.confidence_sum.mul_(kept).add_(confidence_sum)
        self.correct_count.mul_(kept).add_(correct_count)

    @torch.no_grad()
    def update(self) -> None:
        """Set `tau` from what was observed and count one more epoch of the equation."""
        self.epoch.add_(1)
        self.tau.copy_(self.equation())
        if self.aggregate == "epoch":
            self.confidence_sum.zero_()
            self.correct_count.zero_()

    def equation(self) -> Tensor:
        """Return the thresholds [C] that follow from what was observed."""
        return dtm_threshold(self.confidence_sum, self.correct_count, self.epoch, self.beta, self.gamma, self.floor)

    def end_epoch(self) -> None:
        """Update when the epoch is the period."""
        if self.update_every == "epoch":
            self.update()


class RelativeDynamicThreshold(DynamicThreshold):
    """Follow the mean confidence with a `floor` that is a share of it, so that hard classes get lower thresholds.

    mean confidence * max(floor, beta / (1 + gamma^-epoch)); a class without a correct face keeps its threshold.
    """

    def equation(self) -> Tensor:
        """Return the thresholds [C] that follow from what was observed."""
        count = self.correct_count
        mean = torch.where(count > 0, self.confidence_sum / count, 0.0)
        factor = dtm_threshold(torch.ones_like(count), torch.ones_like(count), self.epoch, self.beta, self.gamma, 0.0)
        return torch.where(count > 0, mean * factor.clamp(min=self.floor), self.tau.double())


def _require_period(update_every: int | str, pool: str) -> None:
    if update_every == "epoch":
        return
    if not isinstance(update_every, int) or update_every < 1:
        raise ConfigError(
            f"threshold.update_every={update_every} is no period; set it to epoch or to a number of steps"
        )
    if pool != "train":
        raise ConfigError(
            f"threshold.pool={pool} is observed once per epoch; set threshold.update_every=epoch, or "
            "threshold.pool=train"
        )


# the count is read on the host in every step; the buffer exists to be saved and is read once, here
def _resume(threshold: nn.Module, _: Any) -> None:
    assert isinstance(threshold, DynamicThreshold)
    threshold._step = int(threshold.step)
