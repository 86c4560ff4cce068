"""The scores of a split, gathered batch by batch and over processes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import multiclass_confusion_matrix

from fer_ssl.errors import DataError
from fer_ssl.metrics import confusion as scores_of
from fer_ssl.types import UNKNOWN


@dataclass  # not frozen: torchmetrics rebuilds what `compute` returns
class Scores:
    """What a split scored: counts `confusion` int64 [C, C] (rows are the truth), `ece` in 0..1."""

    confusion: Tensor
    ece: float

    @property
    def macro_f1(self) -> float:
        """Mean F1 over all classes, absent ones as 0."""
        return scores_of.macro_f1(self.confusion).item()

    @property
    def accuracy(self) -> float:
        """Share of faces classified right."""
        return scores_of.accuracy(self.confusion).item()

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the classes present in the truth."""
        return scores_of.balanced_accuracy(self.confusion).item()

    @property
    def count(self) -> int:
        """Number of faces with a known label."""
        return int(self.confusion.sum())

    def to_dict(self, classes: Sequence[str]) -> dict[str, object]:
        """Return what metrics.json holds: fractions in 0..1, those per class under the names in `classes`."""

        def named(values: Tensor) -> dict[str, float]:
            return dict(zip(classes, values.tolist(), strict=True))

        return {
            "macro_f1": self.macro_f1,
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "ece": self.ece,
            "per_class_f1": named(scores_of.per_class_f1(self.confusion)),
            "per_class_precision": named(scores_of.per_class_precision(self.confusion)),
            "per_class_recall": named(scores_of.per_class_recall(self.confusion)),
            "confusion": self.confusion.tolist(),
            "count": self.count,
        }


class ExpressionMetrics(Metric):
    """Confusion matrix and expected calibration error; sums over batches and, if `over_ranks`, processes.

    The calibration error is that of Guo et al. 2017 (arXiv 1706.04599) over `bins` equal bins of confidence.
    """

    full_state_update = False
    higher_is_better = True
    confusion: Tensor
    bin_gap: Tensor

    def __init__(self, num_classes: int, bins: int = 15, over_ranks: bool = True) -> None:
        super().__init__(sync_on_compute=over_ranks)
        self.num_classes, self.bins = num_classes, bins
        self.add_state("confusion", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("bin_gap", torch.zeros(bins, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, probs: Tensor, labels: Tensor) -> None:
        """Count a batch: `probs` float [B, C], `labels` int64 [B]; rows labeled UNKNOWN are left out."""
        known = labels != UNKNOWN
        probs, labels = probs[known].float(), labels[known]
        if not len(labels):
            return
        self.confusion += multiclass_confusion_matrix(probs, labels, self.num_classes)
        confidence, predictions = probs.max(1)
        rows = (confidence * self.bins).ceil().long().sub(1).clamp(0, self.bins - 1)
        self.bin_gap.index_add_(0, rows, confidence.double() - (predictions == labels).double())

    def compute(self) -> Scores:
        """Return the scores of all faces counted so far; raise DataError when none had a known label."""
        count = self.confusion.sum()
        if not count:
            raise DataError("no face with a known label was scored, choose a labeled split with data=<name>")
        return Scores(confusion=self.confusion.cpu(), ece=(self.bin_gap.abs().sum() / count).item())
