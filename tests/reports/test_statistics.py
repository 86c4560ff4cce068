"""Statistics of differences, each beside a naive or an independent reference."""

import numpy as np
import pytest
from scipy import stats

from fer_ssl.metrics.confusion import macro_f1 as reference_macro_f1
from fer_ssl.reports.statistics import Pair, Spread, macro_f1, over_faces, over_seeds, sign_flip_p, unrejected

DRAW = np.random.default_rng(3)


def naive_f1(labels: np.ndarray, predictions: np.ndarray, classes: int) -> float:
    scores = []
    for label in range(classes):
        hits = sum(1 for truth, guess in zip(labels, predictions, strict=True) if truth == guess == label)
        total = (labels == label).sum() + (predictions == label).sum()
        scores.append(2 * hits / total if total else 0.0)
    return sum(scores) / classes


def test_macro_f1_is_that_of_the_metrics() -> None:
    import torch

    labels, predictions = DRAW.integers(0, 6, (2, 200))
    confusion = torch.zeros(7, 7)
    for truth, guess in zip(labels, predictions, strict=True):
        confusion[truth, guess] += 1
    (score,) = macro_f1(labels, predictions, 7, np.ones((1, 200)))
    assert score == pytest.approx(float(reference_macro_f1(confusion)), abs=1e-6)
    assert score == pytest.approx(naive_f1(labels, predictions, 7))


def test_weights_are_faces_counted_again() -> None:
    labels, predictions = DRAW.integers(0, 4, (2, 50))
    counts = DRAW.integers(0, 4, (3, 50))
    scores = macro_f1(labels, predictions, 4, counts.astype(float))
    for row, score in zip(counts, scores, strict=True):
        assert score == pytest.approx(naive_f1(labels.repeat(row), predictions.repeat(row), 4))


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_sign_flips_are_those_of_scipy(count: int) -> None:
    differences = DRAW.normal(0.4, 1.0, count)
    expected = stats.permutation_test(
        (differences,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(differences) == pytest.approx(expected.pvalue)


def test_signs_of_many_differences_are_drawn() -> None:
    differences = DRAW.normal(0.3, 1.0, 40)
    assert sign_flip_p(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.02)


@pytest.mark.parametrize(
    ("count", "told"), [(1, (False, False)), (2, (False, True)), (5, (False, True)), (6, (True, True))]
)
def test_few_runs_have_no_interval_and_one_no_p(count: int, told: tuple[bool, bool]) -> None:
    found = over_seeds(DRAW.normal(0.4, 1.0, count))
    assert found is not None
    assert (found.low is not None, found.p is not None) == told
    assert (found.low is None) == (found.high is None)
    assert over_seeds([]) is None


def test_a_spread_is_told_in_percent() -> None:
    assert Spread([0.25, 0.35]).text() == "30.00 ± 7.07"
    assert Spread([0.25]).text("+") == "+25.00 ± -"
    assert Spread([0.25]).text(alone="") == "25.00"


def test_few_runs_cannot_be_significant() -> None:
    assert [sign_flip_p(np.ones(count)) for count in (2, 3, 5, 6)] == [0.5, 0.25, 0.0625, 0.03125]


@pytest.mark.parametrize("count", [6, 9, 14, 20])
def test_the_interval_over_runs_ends_where_the_test_begins_to_reject(count: int) -> None:
    differences = DRAW.normal(0.4, 1.0, count)
    low, high = unrejected(differences)
    for end, inwards in ((low, 1e-6), (high, -1e-6)):
        assert sign_flip_p(differences - end - inwards) > 0.05 >= sign_flip_p(differences - end + inwards)


def test_six_runs_have_the_interval_of_their_extremes() -> None:
    found = over_seeds([0.02, -0.01, 0.05, 0.03, 0.0, 0.03])
    assert found is not None
    assert found[:3] == pytest.approx((0.02, -0.01, 0.05))


@pytest.mark.parametrize("count", [6, 8])
def test_the_interval_over_runs_covers_and_agrees_with_p(count: int) -> None:
    draw, covered = np.random.default_rng(0), 0
    for differences in draw.normal(0.01, 0.01, (600, count)):
        found = over_seeds(differences)
        assert found is not None
        covered += found.low <= 0.01 <= found.high
        assert (found.low <= 0 <= found.high) == (found.p > 0.05)
    assert covered / 600 > 0.94


def noisy(labels: np.ndarray, share: float) -> np.ndarray:
    return np.where(DRAW.random(len(labels)) < share, DRAW.integers(0, 5, len(labels)), labels)


def test_the_difference_over_faces_is_that_of_a_loop() -> None:
    labels = DRAW.integers(0, 5, 300)
    pairs = [Pair(np.arange(300), labels, noisy(labels, 0.3), noisy(labels, 0.5)) for _ in range(2)]
    found = over_faces(pairs, 5)
    draws = []
    for _ in range(400):
        faces = DRAW.integers(0, 300, 300)
        gains = [naive_f1(a[faces], b[faces], 5) - naive_f1(a[faces], c[faces], 5) for _, a, b, c in pairs]
        draws.append(np.mean(gains))
    assert found.mean == pytest.approx(np.mean([naive_f1(a, b, 5) - naive_f1(a, c, 5) for _, a, b, c in pairs]))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])), abs=0.015)
    assert found.p < 0.01


def test_equal_predictions_differ_in_nothing() -> None:
    labels = DRAW.integers(0, 5, 100)
    same = noisy(labels, 0.4)
    assert over_faces([Pair(np.arange(100), labels, same, same)], 5) == (0.0, 0.0, 0.0, 1.0)


def test_who_is_better_does_not_depend_on_who_is_first() -> None:
    labels = DRAW.integers(0, 5, 200)
    ours, theirs = noisy(labels, 0.3), noisy(labels, 0.35)
    there, back = (over_faces([Pair(np.arange(200), labels, *each)], 5) for each in ((ours, theirs), (theirs, ours)))
    assert (there.mean, there.low, there.high, there.p) == pytest.approx((-back.mean, -back.high, -back.low, back.p))


def test_pairs_of_other_faces_are_drawn_each_from_its_own() -> None:
    labels = DRAW.integers(0, 5, 200)
    ours, theirs = noisy(labels, 0.3), noisy(labels, 0.4)
    ids = np.array([f"face{row}" for row in range(200)])
    folds = [Pair(ids[part], labels[part], ours[part], theirs[part]) for part in (slice(90), slice(90, 200))]
    alone = [over_faces([fold], 5) for fold in folds]
    found = over_faces(folds, 5)
    assert found.mean == pytest.approx(np.mean([each.mean for each in alone]))
    widths = [each.high - each.low for each in alone]
    assert found.high - found.low == pytest.approx(np.hypot(*widths) / 2, rel=0.15), "folds vary apart from each other"
