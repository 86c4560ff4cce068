"""No class without kept faces."""

import io
from functools import partial

import pytest
import torch
from torch import Tensor

from fer_ssl.method.thresholds import DashThreshold, DynamicThreshold, FixedThreshold, Unstarved
from fer_ssl.types import LabeledView

CLASSES = 3


def faces(seed: int, rows: int = 300) -> Tensor:
    """Return predictions: class 0 is confident, class 1 less so, class 2 hardly."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % CLASSES
    confidence = torch.tensor([0.9, 0.6, 0.4])[labels] + 0.09 * torch.rand(rows, generator=generator)
    rest = ((1 - confidence) / 2).unsqueeze(1).expand(-1, CLASSES)
    return rest.scatter(1, labels.unsqueeze(1), confidence.unsqueeze(1))


def kept(probs: Tensor, keep: Tensor) -> Tensor:
    labels = probs.argmax(1)
    return torch.stack([keep[labels == label].mean() for label in range(CLASSES)])


def test_each_class_keeps_at_least_its_share() -> None:
    threshold = Unstarved(CLASSES, partial(FixedThreshold, tau=0.95), share=0.2)
    probs = faces(0)
    gate = threshold(probs)
    share = kept(probs, gate.keep)
    plain = kept(probs, FixedThreshold(CLASSES, 0.95)(probs).keep)
    assert plain[1:].tolist() == [0.0, 0.0]
    assert share[0] == plain[0] > 0.2
    assert (share >= 0.2).all()
    assert (share[1:] < 0.3).all()
    assert gate.tau[0] == pytest.approx(0.95)
    assert (gate.tau[1:] < 0.7).all()


@pytest.mark.parametrize("rho_min", [0.05, 5.0])  # its labels are sharpened, or one-hot
def test_the_share_is_of_the_predictions_and_not_of_labels_made_surer(rho_min: float) -> None:
    threshold = Unstarved(CLASSES, partial(DashThreshold, rho_min=rho_min), share=0.2)
    labeled = LabeledView(faces(1), torch.arange(300) % CLASSES)
    probs = faces(0)
    share = kept(probs, threshold(probs, labeled).keep)  # warming up, Dash itself keeps nothing
    assert (share >= 0.2).all()
    assert (share < 0.3).all()
    assert (threshold.tau <= probs.amax(0)).all()


def test_what_the_threshold_inside_leaves_out_is_kept_for_its_share_alone() -> None:
    threshold, alone = Unstarved(CLASSES, DashThreshold, share=0.2), DashThreshold(CLASSES)
    labeled, probs = LabeledView(faces(1), torch.arange(300) % CLASSES), faces(0)
    for part in (threshold, alone):
        for _ in range(3):  # soft labels still, of which exp(-rho) is no confidence
            part(probs, labeled)
            part.end_epoch()
    assert alone.rho > alone.rho_min
    best = threshold.lowest()[probs.argmax(1)] <= probs.amax(1)
    expected = torch.maximum(alone(probs, labeled).keep, best.float())
    assert torch.equal(threshold(probs, labeled).keep, expected)
    assert alone(probs, labeled).keep.sum() < expected.sum() < 300


def test_the_share_is_that_of_the_sorted_confidences() -> None:
    threshold = Unstarved(CLASSES, partial(FixedThreshold, tau=1.0), share=0.1, decay=1.0)
    seen = [faces(seed) for seed in range(4)]
    for probs in seen:
        threshold(probs)
    confidence, labels = torch.cat(seen).max(1)
    for label in range(CLASSES):
        best = confidence[labels == label].sort(descending=True).values
        place = best[len(best) // 10 - 1]
        assert threshold.lowest()[label] == pytest.approx(place.item(), abs=1 / 200)


def test_a_class_never_seen_keeps_the_threshold_inside() -> None:
    gate = Unstarved(CLASSES, partial(FixedThreshold, tau=0.95))(torch.tensor([[0.5, 0.3, 0.2]]))
    assert gate.tau[1:].tolist() == pytest.approx([0.95, 0.95])
    assert gate.keep.item() == 1.0


def test_the_threshold_inside_closes_its_epochs() -> None:
    threshold = Unstarved(CLASSES, partial(DynamicThreshold, pool="heldout"))
    assert threshold.observes == "heldout"
    assert threshold.needs_labeled is None
    threshold.end_epoch()
    assert int(threshold.inner.epoch) == 1


def test_it_resumes_exactly() -> None:
    straight, first, second = (Unstarved(CLASSES, partial(FixedThreshold, tau=0.95), decay=0.8) for _ in range(3))
    expected = [straight(faces(seed)).tau for seed in range(6)]
    for seed in range(3):
        first(faces(seed))
    stored = io.BytesIO()
    torch.save(first.state_dict(), stored)
    stored.seek(0)
    second.load_state_dict(torch.load(stored, weights_only=True))
    assert all(torch.equal(second(faces(seed)).tau, expected[seed]) for seed in range(3, 6))
