"""Any threshold, on aligned predictions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fer_ssl.errors import ConfigError
from fer_ssl.method.choices import Source, require_choice
from fer_ssl.method.thresholds.alignment import Against, Alignment, Fold, Start, Target
from fer_ssl.method.thresholds.base import Threshold
from fer_ssl.types import Gate, LabeledView


def unaligned(threshold: Threshold) -> Threshold:
    """Return `threshold` as it is."""
    return threshold


class Wrapped(Threshold):
    """A threshold that sees other probabilities than the teacher's; subclasses say which.

    Raises ConfigError for a threshold that aligns by itself.
    """

    def __init__(self, threshold: Threshold) -> None:
        super().__init__(len(threshold.tau), 0.0)
        if threshold.aligns:
            raise ConfigError(
                f"{type(threshold).__name__} aligns predictions by itself; set alignment=none, or "
                "threshold.alignment=none where the threshold has it"
            )
        self.threshold = threshold
        self.needs_labeled = threshold.needs_labeled
        self.needs_heldout = threshold.needs_heldout
        self.tau.copy_(threshold.tau)

    def count(self, probs: Tensor, labeled: LabeledView | None) -> Tensor:
        """Count a batch of predictions and return the running mean [C] that they are measured against."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, probs: Tensor, labeled: LabeledView | None = None, pool_rows: Tensor | None = None) -> Gate:
        """Return the gate that `threshold` makes of the changed `probs` [B, C], after counting them."""
        prior = self.count(probs.float(), labeled)
        gate: Gate = self.threshold(self.align(probs), labeled, pool_rows)
        self.tau.copy_(gate.tau)
        return gate._replace(prior=prior)

    def observe(self, labeled: LabeledView) -> None:
        """Let the threshold look at a held-out fold."""
        self.threshold.observe(labeled)

    def end_epoch(self) -> None:
        """Close an epoch of the threshold."""
        self.threshold.end_epoch()

    def look_at(self, source: Source) -> None:
        """Ask for the predictions of `source` on labeled faces; raise ConfigError where the threshold wants others."""
        if self.needs_labeled not in (None, source):
            raise ConfigError(
                f"alignment.source={source}, but the threshold looks at the {self.needs_labeled}'s predictions on "
                f"labeled faces; set alignment.source={self.needs_labeled}"
            )
        self.needs_labeled = source


class Aligned(Wrapped):
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
        super().__init__(threshold)
        require_choice("alignment.source", source, ("teacher", "student"))
        self.alignment = Alignment(
            len(self.tau), decay, target, strength, temperature, against, start, pool, class_counts
        )
        self.needs_heldout = self.needs_heldout or self.alignment.needs_heldout
        if self.alignment.needs_labeled:
            self.look_at(source)

    def count(self, probs: Tensor, labeled: LabeledView | None) -> Tensor:
        """Count a batch and return the running mean prediction [C]."""
        self.alignment.update(probs, labeled)
        return self.alignment.estimate.clone()

    @torch.no_grad()
    def align(self, probs: Tensor) -> Tensor:
        """Return `probs` [B, C] aligned, and changed by the threshold if it does that."""
        return self.threshold.align(self.alignment(probs))

    def observe(self, labeled: LabeledView) -> None:
        """Let alignment and threshold look at a held-out fold."""
        self.alignment.observe(labeled)
        super().observe(labeled)
