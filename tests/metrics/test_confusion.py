"""Scores of a confusion matrix against scikit-learn's values and their definitions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fer_ssl import metrics

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "metrics_f1.npz")
CASES = ["all", "absent_both", "absent_true", "absent_pred", "single", "tiny"]
SCORES = {
    "macro_f1_8": metrics.macro_f1,
    "f1_per_class": metrics.per_class_f1,
    "precision_per_class": metrics.per_class_precision,
    "recall_per_class": metrics.per_class_recall,
    "accuracy": metrics.accuracy,
    "balanced_accuracy_present": metrics.balanced_accuracy,
}
COUNTS = (
    st.integers(2, 6)
    .flatmap(lambda c: st.lists(st.lists(st.integers(0, 9), min_size=c, max_size=c), min_size=c, max_size=c))
    .map(torch.tensor)
)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_scikit_learn(case: str, score: str, dtype: torch.dtype) -> None:
    confusion = torch.from_numpy(GOLDEN[f"{case}.confusion"]).to(dtype)
    np.testing.assert_allclose(SCORES[score](confusion), GOLDEN[f"{case}.{score}"], rtol=0, atol=1e-12)


def test_absent_class_counts_as_zero() -> None:
    present = torch.tensor([[3, 1], [0, 4]])
    padded = torch.zeros(3, 3, dtype=torch.int64)
    padded[:2, :2] = present
    assert metrics.macro_f1(padded) == pytest.approx(metrics.macro_f1(present).item() * 2 / 3)
    assert metrics.balanced_accuracy(padded) == metrics.balanced_accuracy(present)


@settings(max_examples=30, deadline=None)
@given(COUNTS)
def test_scores_are_finite_fractions(confusion: Tensor) -> None:
    for score in SCORES.values():
        values = score(confusion)
        assert ((values >= 0) & (values <= 1)).all()


@settings(max_examples=30, deadline=None)
@given(COUNTS, st.integers(0, 99))
def test_order_of_classes_does_not_matter(confusion: Tensor, seed: int) -> None:
    order = torch.randperm(len(confusion), generator=torch.Generator().manual_seed(seed))
    shuffled = confusion[order][:, order]
    assert metrics.macro_f1(shuffled) == pytest.approx(metrics.macro_f1(confusion).item())
    torch.testing.assert_close(metrics.per_class_f1(shuffled), metrics.per_class_f1(confusion)[order])


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    confusion = torch.tensor([[5, 2, 1], [0, 3, 3], [4, 1, 6]])
    precision, recall = metrics.per_class_precision(confusion), metrics.per_class_recall(confusion)
    torch.testing.assert_close(metrics.per_class_f1(confusion), 2 * precision * recall / (precision + recall))
    assert metrics.per_class_recall(confusion)[0] == 5 / 8
    assert metrics.per_class_precision(confusion)[0] == 5 / 9
