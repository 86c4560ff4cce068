import io
import math

import pytest
import torch
from golden_arrays import golden
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fer_ssl.errors import ConfigError
from fer_ssl.method.thresholds import DynamicThreshold, RelativeDynamicThreshold
from fer_ssl.types import LabeledView


def view(seed: int, rows: int = 24, classes: int = 7) -> LabeledView:
    generator = torch.Generator().manual_seed(seed)
    probs = (4 * torch.randn(rows, classes, generator=generator)).softmax(1)
    return LabeledView(probs, torch.where(torch.arange(rows) % 3 == 0, 0, probs.argmax(1)))


def run(threshold: DynamicThreshold, seeds: range) -> list[Tensor]:
    taus = []
    for seed in seeds:
        taus.append(threshold(view(seed + 999).probs, view(seed)).tau)
        if seed % 3 == 2:
            threshold.end_epoch()
    return taus


@pytest.mark.parametrize("classes", [7, 8])
def test_thresholds_equal_ancestor_epoch_by_epoch(classes: int) -> None:
    arrays = golden(f"adacm_threshold_c{classes}")
    threshold = DynamicThreshold(classes)
    assert torch.equal(threshold.tau, torch.full((classes,), 0.8))
    for logits, labels, expected in zip(arrays["logits"], arrays["targets"], arrays["thresholds"], strict=True):
        for part in torch.arange(len(labels)).split(37):
            threshold(logits[part].softmax(1), LabeledView(logits[part].softmax(1), labels[part]))
        threshold.end_epoch()
        torch.testing.assert_close(threshold.tau.double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("classes", [7, 8])
def test_mask_equals_ancestor_ties_included(classes: int) -> None:
    arrays = golden(f"adacm_mask_c{classes}")
    threshold = DynamicThreshold(classes, pool="heldout")
    threshold.tau.copy_(arrays["threshold"])
    rest = (1 - arrays["max_probs"]) / classes
    probs = (
        rest.unsqueeze(1).repeat(1, classes).scatter(1, arrays["max_idx"].unsqueeze(1), arrays["max_probs"][:, None])
    )
    sure = probs.argmax(1) == arrays["max_idx"]
    assert sure.float().mean() > 0.9
    assert torch.equal(threshold(probs, None).keep[sure], arrays["mask"][sure])


def test_tau_changes_only_between_epochs() -> None:
    threshold = DynamicThreshold(7)
    first = run(threshold, range(3))
    assert all(torch.equal(tau, torch.full((7,), 0.8)) for tau in first)
    second = run(threshold, range(3, 6))
    assert torch.equal(second[0], second[2])
    assert int(threshold.epoch) == 2
    assert threshold.correct_count.sum() == 0


def test_steps_can_be_the_period() -> None:
    threshold = DynamicThreshold(7, update_every=2)
    epochs = []
    for seed in range(5):
        threshold(view(9).probs, view(seed))
        epochs.append(int(threshold.epoch))
    threshold.end_epoch()
    assert epochs == [0, 1, 1, 2, 2]
    assert int(threshold.epoch) == 2


def test_a_period_in_steps_counts_steps_of_several_batches() -> None:
    threshold = DynamicThreshold(7, update_every=2)
    threshold.step_batches = 3
    epochs = []
    for seed in range(12):
        threshold(view(9).probs, view(seed))
        epochs.append(int(threshold.epoch))
    assert epochs == [0] * 5 + [1] * 6 + [2]


def test_a_relative_floor_is_a_share_of_the_class_mean() -> None:
    threshold = RelativeDynamicThreshold(3, floor=0.9, init=0.7)
    probs = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.5, 0.4], [0.3, 0.6, 0.1], [0.9, 0.05, 0.05]])
    labels = torch.tensor([0, 1, 1, 2])
    for epoch, factor in ((1, 0.9), (2, 0.9), (3, 0.97 / (1 + math.exp(-3)))):
        threshold.observe(LabeledView(probs, labels))
        threshold.end_epoch()
        expected = [0.8 * factor, 0.55 * factor, 0.7]  # nobody of class 2 is classified correctly
        assert threshold.tau.tolist() == pytest.approx(expected, abs=1e-6), epoch


def test_running_sums_forget_by_ema_decay() -> None:
    threshold = DynamicThreshold(2, aggregate="ema", ema_decay=0.5, floor=0.0, beta=1.0)
    for confidence in (1.0, 0.6):
        threshold.observe(LabeledView(torch.tensor([[confidence, 1 - confidence]]), torch.tensor([0])))
    threshold.update()
    mean = (0.5 * 1.0 + 0.6) / (0.5 + 1)
    assert threshold.tau[0].item() == pytest.approx(mean / (1 + math.exp(-1)))
    assert threshold.correct_count[0] == 1.5


def test_heldout_pool_counts_only_what_is_observed() -> None:
    threshold = DynamicThreshold(7, pool="heldout")
    assert threshold.needs_labeled is None
    threshold(view(0).probs, view(1))
    assert threshold.correct_count.sum() == 0
    held_out = view(2)
    threshold.observe(held_out)
    correct = held_out.probs.argmax(1) == held_out.labels
    assert threshold.correct_count.sum() == correct.sum()


def test_unknown_labels_do_not_count() -> None:
    threshold, whole = DynamicThreshold(7), view(0)
    padded = LabeledView(whole.probs.repeat(2, 1), torch.cat([whole.labels, torch.full_like(whole.labels, -1)]))
    threshold.observe(padded)
    other = DynamicThreshold(7)
    other.observe(whole)
    assert torch.equal(threshold.confidence_sum, other.confidence_sum)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(7)), st.integers(0, 1000))
def test_permuted_classes_permute_thresholds(order: list[int], seed: int) -> None:
    plain, permuted = DynamicThreshold(7, floor=0.1), DynamicThreshold(7, floor=0.1)
    places = torch.tensor(order).argsort()
    for threshold, inputs in (
        (plain, view(seed)),
        (permuted, LabeledView(view(seed).probs[:, order], places[view(seed).labels])),
    ):
        threshold.observe(inputs)
        threshold.update()
    torch.testing.assert_close(permuted.tau, plain.tau[order])


@pytest.mark.parametrize("period", ["epoch", 2])
def test_resumed_run_continues_exactly(period: int | str) -> None:
    straight, first, second = (DynamicThreshold(7, floor=0.1, update_every=period) for _ in range(3))
    expected = run(straight, range(10))
    run(first, range(5))
    stored = io.BytesIO()
    torch.save(first.state_dict(), stored)
    stored.seek(0)
    second.load_state_dict(torch.load(stored, weights_only=True))
    for got, want in zip(run(second, range(5, 10)), expected[5:], strict=True):
        assert torch.equal(got, want)


def test_impossible_choices_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"threshold\.pool"):
        DynamicThreshold(7, pool="test")
    with pytest.raises(ConfigError, match=r"update_every=epoch"):
        DynamicThreshold(7, pool="heldout", update_every=5)
    with pytest.raises(ConfigError, match=r"threshold\.pool=labeled asks the averaged model, not the student"):
        DynamicThreshold(7, pool="labeled", source="student")
    with pytest.raises(ConfigError, match=r"update_every=0"):
        DynamicThreshold(7, update_every=0)
    with pytest.raises(ConfigError, match="labeled"):
        DynamicThreshold(7)(view(0).probs, None)
