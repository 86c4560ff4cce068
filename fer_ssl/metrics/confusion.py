"""Scores as pure functions of a confusion matrix: counts [C, C], rows are the truth, columns the prediction."""

from torch import Tensor


def per_class_f1(confusion: Tensor) -> Tensor:
    """Return F1 per class, float64 [C]; a class absent from truth and prediction has 0."""
    return _ratio(2 * confusion.diagonal(), confusion.sum(0) + confusion.sum(1))


def per_class_precision(confusion: Tensor) -> Tensor:
    """Return precision per class, float64 [C]; 0 for a class never predicted."""
    return _ratio(confusion.diagonal(), confusion.sum(0))


def per_class_recall(confusion: Tensor) -> Tensor:
    """Return recall per class, float64 [C]; 0 for a class absent from the truth."""
    return _ratio(confusion.diagonal(), confusion.sum(1))


def macro_f1(confusion: Tensor) -> Tensor:
    """Return the unweighted mean of F1 over all C classes, absent ones included as 0; float64 scalar."""
    return per_class_f1(confusion).mean()


def accuracy(confusion: Tensor) -> Tensor:
    """Return the share of faces on the diagonal, float64 scalar."""
    return _ratio(confusion.trace(), confusion.sum())


def balanced_accuracy(confusion: Tensor) -> Tensor:
    """Return the mean recall over the classes present in the truth, float64 scalar."""
    present = confusion.sum(1) > 0
    return _ratio((per_class_recall(confusion) * present).sum(), present.sum())


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide in float64; 0 where there is nothing to count."""
    numerator, denominator = numerator.double(), denominator.double()
    return numerator.where(denominator > 0, 0.0) / denominator.where(denominator > 0, 1.0)
