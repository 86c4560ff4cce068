"""Rare classes are taken whole, frequent ones where they are surest."""

import torch
from torch import Tensor

from fer_ssl.method.thresholds import CReSTThreshold


def predictions(labels: Tensor, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    confidence = 0.5 + 0.5 * torch.rand(len(labels), generator=generator)
    rest = ((1 - confidence) / 2).unsqueeze(1).expand(-1, 3)
    return rest.scatter(1, labels.unsqueeze(1), confidence.unsqueeze(1))


def test_shares_mirror_the_class_counts() -> None:
    threshold = CReSTThreshold(3, [10, 1000, 100], alpha=0.5)
    torch.testing.assert_close(threshold.shares, torch.tensor([1.0, 0.1, 0.1**0.5], dtype=torch.float64))


def test_a_class_that_no_label_shows_keeps_nothing_and_the_others_their_shares() -> None:
    threshold = CReSTThreshold(4, [10, 0, 1000, 100], alpha=0.5)
    torch.testing.assert_close(threshold.shares, torch.tensor([1.0, 0.0, 0.1, 0.1**0.5], dtype=torch.float64))


def test_the_most_confident_share_of_each_class_is_kept() -> None:
    labels = torch.arange(60) % 3
    probs = predictions(labels)
    gate = CReSTThreshold(3, [10, 1000, 100], alpha=0.5)(probs)
    for label, wanted in ((0, 20), (1, 2), (2, 7)):
        confidence, keep = probs[labels == label].amax(1), gate.keep[labels == label].bool()
        assert keep.sum() == wanted
        assert torch.equal(confidence[keep].sort().values, confidence.sort().values[-wanted:])
        assert gate.tau[label] == confidence[keep].min()


def test_a_class_nobody_shows_keeps_nobody() -> None:
    gate = CReSTThreshold(3, [5, 5, 5])(predictions(torch.tensor([0, 0, 1])))
    assert gate.keep.tolist() == [1.0, 1.0, 1.0]
    assert gate.tau[2] == 1.0
