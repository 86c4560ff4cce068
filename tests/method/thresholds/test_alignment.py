"""Predictions pulled towards a stated prior, before any threshold."""

import io

import pytest
import torch
from torch import Tensor

from fer_ssl.errors import ConfigError
from fer_ssl.method.thresholds import (
    AdaMatchThreshold,
    Aligned,
    ConfidenceWeight,
    DynamicThreshold,
    FixedThreshold,
    SoftMatchThreshold,
    unaligned,
)
from fer_ssl.method.thresholds.prior import PoolPrior
from fer_ssl.types import LabeledView

CLASSES = 4


def predictions(rows: int, seed: int, lean: tuple[float, ...] = (1.5, 0, 0, 0)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, CLASSES, generator=generator) + torch.tensor(lean)).softmax(1)


def view(seed: int) -> LabeledView:
    probs = predictions(16, seed, (0, 0, 0, 0))
    return LabeledView(probs, torch.arange(16) % CLASSES)


def normalised(scaled: Tensor) -> Tensor:
    return scaled / scaled.sum(1, keepdim=True)


def test_pseudo_labels_and_gate_come_from_the_aligned_predictions() -> None:
    aligned = Aligned(FixedThreshold(CLASSES, tau=0.5))
    probs = predictions(64, 0)
    gate = aligned(probs)
    expected = normalised(probs / probs.mean(0))
    torch.testing.assert_close(aligned.align(probs), expected, atol=1e-4, rtol=1e-3)
    assert torch.equal(gate.keep, (aligned.align(probs).amax(1) >= 0.5).float())
    torch.testing.assert_close(gate.prior, probs.mean(0))
    assert not torch.equal(aligned.align(probs).argmax(1), probs.argmax(1))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_labeled_target_is_the_class_frequencies(temperature: float) -> None:
    counts = [40, 20, 30, 10]
    aligned = Aligned(FixedThreshold(CLASSES), target="labeled", class_counts=counts, temperature=temperature)
    probs = predictions(64, 1)
    aligned(probs)
    target = (torch.tensor(counts) / 100) ** temperature
    torch.testing.assert_close(aligned.align(probs), normalised(probs * target / probs.mean(0)), atol=1e-4, rtol=1e-3)


def test_debiasing_subtracts_a_share_of_the_log_prior_from_the_logits() -> None:
    debias = Aligned(FixedThreshold(CLASSES), strength=0.4, decay=0.9, start="uniform")
    q = torch.full((CLASSES,), 1 / CLASSES)
    for seed in range(5):
        logits = 2 * torch.randn(32, CLASSES, generator=torch.Generator().manual_seed(seed))
        gate = debias(logits.softmax(1))
        q = 0.9 * q + 0.1 * logits.softmax(1).mean(0)
        expected = (logits - 0.4 * q.log()).softmax(1)
        torch.testing.assert_close(debias.align(logits.softmax(1)), expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(gate.prior, q)


def confused(prior: Tensor, rates: Tensor, rows: int, seed: int) -> LabeledView:
    """Return hard predictions of a classifier that errs by `rates` on faces drawn from `prior`."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(prior, rows, replacement=True, generator=generator)
    predicted = torch.multinomial(rates[labels], 1, generator=generator).squeeze(1)
    return LabeledView(torch.eye(CLASSES)[predicted], labels)


def test_the_pools_prior_is_found_behind_the_classifiers_errors() -> None:
    rates = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.3, 0.6, 0.1, 0.0], [0.2, 0.0, 0.7, 0.1], [0.1, 0.2, 0.2, 0.5]])
    truth = torch.tensor([0.1, 0.1, 0.2, 0.6])
    estimate = PoolPrior(CLASSES, decay=0.99)
    for seed in range(400):
        estimate.observe(confused(torch.full((CLASSES,), 0.25), rates, 32, seed), decay=0.99)
        estimate.update(confused(truth, rates, 64, 1000 + seed).probs.mean(0))
    assert (estimate.mean - truth).abs().max() > 0.2, "the predictions alone are far off"
    torch.testing.assert_close(estimate.prior, truth, atol=0.06, rtol=0)


def test_without_labeled_faces_predictions_are_taken_to_be_right() -> None:
    estimate = PoolPrior(CLASSES, decay=0.9)
    for seed in range(50):
        estimate.update(predictions(32, seed).mean(0))
    torch.testing.assert_close(estimate.prior, estimate.mean)


def test_a_posterior_under_the_pools_prior_follows_bayes() -> None:
    bayes = Aligned(FixedThreshold(CLASSES), target="estimated", against="labeled", decay=0.0)
    probs = predictions(64, 3)
    bayes(probs, view(4))
    trained_on, pool = view(4).probs.mean(0), bayes.alignment.pool_prior.prior
    torch.testing.assert_close(bayes.align(probs), normalised(probs * pool / trained_on), atol=1e-4, rtol=1e-3)


def test_a_heldout_fold_tells_the_confusion_anew() -> None:
    aligned = Aligned(FixedThreshold(CLASSES), target="estimated", pool="heldout")
    assert aligned.observes == "heldout"
    assert aligned.needs_labeled is None
    aligned(predictions(8, 0))
    for seed in (1, 2):
        aligned.observe(view(seed))
    rates = torch.stack([view(2).probs[view(2).labels == label].mean(0) for label in range(CLASSES)])
    torch.testing.assert_close(aligned.alignment.pool_prior.rates(), rates)


def test_the_threshold_inside_learns_and_is_read() -> None:
    aligned = Aligned(DynamicThreshold(CLASSES, floor=0.1, init=0.6))
    assert aligned.needs_labeled == "teacher"
    before = aligned(predictions(8, 0), view(0)).tau
    aligned.end_epoch()
    after = aligned(predictions(8, 1), view(1)).tau
    assert torch.equal(before, torch.full((CLASSES,), 0.6))
    assert torch.equal(after, aligned.threshold.tau)
    assert torch.equal(after, aligned.tau)
    assert not torch.equal(before, after)


@pytest.mark.parametrize("target", ["uniform", "labeled", "estimated", "model"])
def test_alignment_resumes_exactly(target: str) -> None:
    def fresh() -> Aligned:
        return Aligned(FixedThreshold(CLASSES, 0.5), target=target, decay=0.8, class_counts=[4, 3, 2, 1])

    def through(part: Aligned, seeds: range) -> list[Tensor]:
        return [torch.cat([part(predictions(16, s), view(s)).keep, part.align(predictions(4, s))[0]]) for s in seeds]

    straight, first, second = fresh(), fresh(), fresh()
    expected = through(straight, range(8))
    through(first, range(4))
    stored = io.BytesIO()
    torch.save(first.state_dict(), stored)
    stored.seek(0)
    second.load_state_dict(torch.load(stored, weights_only=True))
    assert all(torch.equal(*pair) for pair in zip(through(second, range(4, 8)), expected[4:], strict=True))


def test_two_alignments_exclude_each_other() -> None:
    for threshold in (AdaMatchThreshold(CLASSES), SoftMatchThreshold(CLASSES), ConfidenceWeight(CLASSES)):
        with pytest.raises(ConfigError, match=r"aligns predictions by itself; set alignment=none"):
            Aligned(threshold)
        assert unaligned(threshold) is threshold
    Aligned(SoftMatchThreshold(CLASSES, alignment="none"))


def test_threshold_and_alignment_look_at_one_model() -> None:
    threshold = DynamicThreshold(CLASSES, source="student")
    with pytest.raises(ConfigError, match=r"set alignment\.source=student"):
        Aligned(threshold, target="model")
    assert Aligned(threshold, target="model", source="student").needs_labeled == "student"
    assert Aligned(threshold, target="uniform").needs_labeled == "student"


@pytest.mark.parametrize("key", ["target", "against", "start", "pool", "source"])
def test_an_unknown_choice_names_the_override(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"set alignment\.{key} to one of"):
        Aligned(FixedThreshold(CLASSES), **{key: "prior"})


def test_labeled_predictions_are_asked_for() -> None:
    with pytest.raises(ConfigError, match="needs predictions on labeled faces"):
        Aligned(FixedThreshold(CLASSES), target="estimated")(predictions(4, 0))


def test_an_estimate_on_labeled_faces_is_no_prior_of_the_pool() -> None:
    gates = [
        Aligned(FixedThreshold(CLASSES), against=against)(predictions(8, 0), view(1)) for against in ("pool", "labeled")
    ]
    assert gates[0].prior is not None
    assert gates[1].prior is None


def test_threshold_and_alignment_observe_one_fold() -> None:
    threshold = DynamicThreshold(CLASSES, pool="labeled")
    with pytest.raises(ConfigError, match=r"alignment\.pool=heldout, but threshold\.pool=labeled; set both to one"):
        Aligned(threshold, target="estimated", pool="heldout")
    with pytest.raises(ConfigError, match=r"alignment\.pool=heldout asks the averaged model, not the student"):
        Aligned(FixedThreshold(CLASSES), target="estimated", pool="heldout", source="student")
