"""Scores of expression classifiers, in fractions 0..1."""

from fer_ssl.metrics.confusion import (
    accuracy,
    balanced_accuracy,
    macro_f1,
    per_class_f1,
    per_class_precision,
    per_class_recall,
)
from fer_ssl.metrics.expression import ExpressionMetrics, Scores

__all__ = [
    "ExpressionMetrics",
    "Scores",
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "per_class_f1",
    "per_class_precision",
    "per_class_recall",
]
