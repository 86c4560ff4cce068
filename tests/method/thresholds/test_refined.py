"""Pseudo-labels refined together, as in DARP."""

import io

import pytest
import torch
from torch import Tensor

from fer_ssl.errors import ConfigError
from fer_ssl.method.thresholds import FixedThreshold, Refined
from fer_ssl.method.thresholds.refined import clean, entropy, refine

CLASSES = 4
COUNTS = [40, 30, 20, 10]


def predictions(rows: int, seed: int, lean: float = 1.5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, CLASSES, generator=generator) + lean * torch.tensor([1.0, 0.5, 0.0, 0.0])
    return (1.5 * logits).softmax(1)


def solved(kept: float = 2.0, target: str = "labeled") -> tuple[Refined, Tensor]:
    part = Refined(
        FixedThreshold(CLASSES, 0.5), 6, target, memory=512, kept=kept, every=1, warmup=0.0, class_counts=COUNTS
    )
    probs = predictions(512, 0)
    for _ in range(6):
        part(probs)
    return part, probs


@pytest.mark.parametrize(("target", "shares"), [("labeled", [0.4, 0.3, 0.2, 0.1]), ("uniform", [0.25] * 4)])
def test_refined_predictions_add_up_to_the_target(target: str, shares: list[float]) -> None:
    part, probs = solved(target=target)
    refined = part.align(probs)
    torch.testing.assert_close(refined.mean(0), torch.tensor(shares), atol=5e-3, rtol=0)
    assert (probs.mean(0) - torch.tensor(shares)).abs().max() > 0.05
    torch.testing.assert_close(refined.sum(1), torch.ones(512))


def test_they_are_the_nearest_that_do() -> None:
    part, probs = solved(kept=1000.0)  # nothing is cut
    cleaned = clean(probs, part.cuts, part.scales)
    refined = part.align(probs)

    def distance(candidate: Tensor) -> Tensor:
        return ((candidate * (candidate / cleaned).log()).sum(1) / entropy(cleaned).squeeze(1)).sum()

    best = distance(refined)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        rows, columns = torch.randperm(512, generator=generator)[:2], torch.randperm(CLASSES, generator=generator)[:2]
        moved = refined.clone()
        swap = 1e-3 * moved[rows][:, columns].min()
        moved[rows[0], columns] += torch.stack([swap, -swap])  # both sums stay as they are
        moved[rows[1], columns] += torch.stack([-swap, swap])
        assert distance(moved) >= best - 1e-5


def test_certain_faces_give_way_less() -> None:
    probs = torch.tensor([[0.98, 0.01, 0.005, 0.005], [0.4, 0.3, 0.2, 0.1]])
    moved = (refine(probs, torch.tensor([1.0, 0.0, 0.0, 0.0])) - probs).abs().sum(1)
    assert moved[0] < 0.1 * moved[1]


def test_a_class_is_believed_only_where_it_is_most_probable() -> None:
    part, probs = solved(kept=1.0)
    for label, count in enumerate(COUNTS):
        believed = probs[:, label] >= part.cuts[label]
        assert believed.sum() == int(512 * count / 100)


def test_nothing_changes_before_the_warm_up_ends() -> None:
    part = Refined(FixedThreshold(CLASSES), 10, memory=64, every=2, warmup=0.3, class_counts=COUNTS)
    probs = predictions(16, 0)
    changed = []
    for _ in range(5):
        part(probs)
        changed.append(not torch.allclose(part.align(probs), probs, atol=1e-4))
    assert changed == [False, False, False, True, True]


def test_steps_may_be_of_several_batches() -> None:
    part = Refined(FixedThreshold(CLASSES), 10, memory=64, every=2, warmup=0.3, class_counts=COUNTS)
    part.step_batches = 2
    probs = predictions(16, 0)
    changed = []
    for _ in range(8):
        part(probs)
        changed.append(not torch.allclose(part.align(probs), probs, atol=1e-4))
    assert changed == [False] * 7 + [True]


@pytest.mark.parametrize("warmup", [100, 1.0, -0.1])
def test_a_warm_up_of_no_share_is_told(warmup: float) -> None:
    with pytest.raises(ConfigError, match=rf"no share of the steps is {warmup}; set alignment.warmup=0.4"):
        Refined(FixedThreshold(CLASSES), 10, warmup=warmup)


def test_it_resumes_exactly() -> None:
    def fresh() -> Refined:
        return Refined(FixedThreshold(CLASSES, 0.5), 10, memory=40, every=3, warmup=0.2, class_counts=COUNTS)

    straight, first, second = fresh(), fresh(), fresh()
    expected = [straight.align(predictions(4, 9)) for seed in range(10) if straight(predictions(16, seed))]
    for seed in range(5):
        first(predictions(16, seed))
    stored = io.BytesIO()
    torch.save(first.state_dict(), stored)
    stored.seek(0)
    second.load_state_dict(torch.load(stored, weights_only=True))
    for seed in range(5, 10):
        second(predictions(16, seed))
        assert torch.equal(second.align(predictions(4, 9)), expected[seed])
