"""Any threshold, on aligned predictions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fer_ssl.errors import ConfigError
from fer_ssl.method.choices import Observed, Source, require_average, require_choice
from fer_ssl.method.thresholds.alignment import Against, Alignment, Fold, Start, Target
from fer_ssl.method.thresholds.base import Threshold
from fer_ssl.types import Gate, LabeledView


def unaligned(threshold: Threshold) -> Threshold:
    """Return `threshold` as it is."""
    return threshold


class Aligned(Threshold):
    """Align predictions before `threshold` sees them and before pseudo-labels are read from them.

    The arguments are those of `Alignment`; `source` is the model whose predictions on labeled faces it looks at, where
    it does. A step counts before it aligns. Raises ConfigError for an unknown choice, for a threshold that aligns by
    itself, and for one that looks at another model.
    """

    def __init__(
        self,
        threshold: Threshold,
        target: Target = "uniform",
        decay: float = 0.99,
        strength: float = 1.0,
        temperature: float = 1.0,
        against: Against = "pool",
        start: Start = "first",
        source: Source = "teacher",
        pool: Fold = "train",
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__(len(threshold.tau), 0.0)
        require_choice("alignment.source", source, ("teacher", "student"))
        if threshold.aligns:
            raise ConfigError(
                f"{type(threshold).__name__} aligns predictions by itself; set alignment=none, or "
                "threshold.alignment=none where the threshold has it"
            )
        self.threshold = threshold
        self.alignment = Alignment(
            len(self.tau), decay, target, strength, temperature, against, start, pool, class_counts
        )
        self.observes = _one_fold(threshold, self.alignment, source)
        self.leaves_out = threshold.leaves_out
        self.follows_training = threshold.follows_training or self.alignment.follows_training
        self.needs_labeled = _one_model(threshold, source) if self.alignment.needs_labeled else threshold.needs_labeled
        self.tau.copy_(threshold.tau)

    @torch.no_grad()
    def forward(self, probs: Tensor, labeled: LabeledView | None = None, pool_rows: Tensor | None = None) -> Gate:
        """Return the gate that `threshold` makes of the aligned `probs` [B, C], after counting them."""
        self.count(probs.float(), labeled)
        gate: Gate = self.threshold(self.changed(probs), labeled, pool_rows)
        self.tau.copy_(gate.tau)
        return gate._replace(prior=self.alignment.estimate.clone() if self.alignment.against == "pool" else None)

    def count(self, probs: Tensor, labeled: LabeledView | None) -> None:
        """Count a batch of predictions."""
        self.alignment.update(probs, labeled)

    def changed(self, probs: Tensor) -> Tensor:
        """Return `probs` [B, C] as the threshold sees them."""
        aligned: Tensor = self.alignment(probs)
        return aligned

    @torch.no_grad()
    def align(self, probs: Tensor) -> Tensor:
        """Return `probs` [B, C] aligned."""
        return self.threshold.align(self.changed(probs))

    @torch.no_grad()
    def compared(self, probs: Tensor) -> Tensor:
        """Return what `threshold` compares of the aligned `probs` [B, C], [B]."""
        return self.threshold.compared(self.changed(probs))

    def observe(self, labeled: LabeledView) -> None:
        """Let alignment and threshold look at a held-out fold."""
        self.alignment.observe(labeled)
        self.threshold.observe(labeled)

    def end_epoch(self) -> None:
        """Close an epoch of the threshold."""
        self.threshold.end_epoch()


def _one_fold(threshold: Threshold, alignment: Alignment, source: Source) -> Observed | None:
    require_average("alignment", alignment.observes or "train", source)
    if threshold.observes and alignment.observes and threshold.observes != alignment.observes:
        raise ConfigError(
            f"alignment.pool={alignment.observes}, but threshold.pool={threshold.observes}; set both to one"
        )
    return threshold.observes or alignment.observes


def _one_model(threshold: Threshold, source: Source) -> Source:
    if threshold.needs_labeled not in (None, source):
        raise ConfigError(
            f"alignment.source={source}, but the threshold looks at the {threshold.needs_labeled}'s predictions on "
            f"labeled faces; set alignment.source={threshold.needs_labeled}"
        )
    return source
