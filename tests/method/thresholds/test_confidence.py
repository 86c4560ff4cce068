"""Weights by confidence, after alignment."""

import pytest
import torch

from fer_ssl.errors import ConfigError
from fer_ssl.method.thresholds import ConfidenceWeight
from fer_ssl.types import LabeledView


def probabilities(rows: int, classes: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed)).mul(2).softmax(1)


def test_without_alignment_weights_are_confidences() -> None:
    probs = probabilities(9, 4, seed=0)
    threshold = ConfidenceWeight(4, alignment="none")
    gate = threshold(probs)
    assert torch.equal(gate.keep, probs.amax(1))
    assert torch.equal(threshold.align(probs), probs)
    assert not gate.tau.any()


def test_uniform_alignment_equals_the_naive_running_mean() -> None:
    threshold = ConfidenceWeight(3, decay=0.5)
    batches = [probabilities(6, 3, seed) for seed in range(3)]
    mean = batches[0].mean(0)
    for step, probs in enumerate(batches):
        mean = mean if step == 0 else 0.5 * mean + 0.5 * probs.mean(0)
        scaled = probs / mean
        expected = scaled / scaled.sum(1, keepdim=True)
        assert torch.allclose(threshold(probs).keep, expected.amax(1), atol=1e-5)
        assert torch.allclose(threshold.align(probs), expected, atol=1e-5)


def test_a_neutral_pool_is_pulled_to_balance() -> None:
    biased = torch.tensor([[0.8, 0.1, 0.1]]).repeat(8, 1) + 0.05 * probabilities(8, 3, seed=1)
    threshold = ConfidenceWeight(3)
    threshold(biased / biased.sum(1, keepdim=True))
    assert threshold.align(biased).mean(0).max() < 0.45


def test_alignment_to_the_model_wants_labeled_faces() -> None:
    threshold = ConfidenceWeight(3, alignment="model", decay=0.0)
    assert threshold.needs_labeled == "teacher"
    with pytest.raises(ConfigError, match="needs predictions on labeled faces"):
        threshold(probabilities(4, 3, seed=0))
    labeled = LabeledView(torch.tensor([[0.6, 0.3, 0.1]]), torch.tensor([0]))
    probs = probabilities(400, 3, seed=2)
    threshold(probs, labeled)
    scaled = probs * labeled.probs[0] / probs.mean(0)
    assert torch.allclose(threshold.align(probs), scaled / scaled.sum(1, keepdim=True), atol=1e-5)


def test_an_unknown_choice_names_the_override() -> None:
    with pytest.raises(ConfigError, match=r"threshold\.alignment"):
        ConfidenceWeight(3, alignment="prior")


@pytest.mark.parametrize(("alignment", "follows"), [("none", False), ("uniform", False), ("model", True)])
def test_only_alignment_to_the_labeled_predictions_follows_training(alignment: str, follows: bool) -> None:
    assert ConfidenceWeight(3, alignment=alignment).follows_training is follows
