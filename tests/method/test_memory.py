"""Memory, graph contrast and instance similarity against loops over faces."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl.errors import ConfigError
from fer_ssl.method.losses import GraphContrast, InstanceSimilarity
from fer_ssl.method.memory import Forgetful, Memory
from fer_ssl.types import Output, Step

ROWS, LABELED, CLASSES, WIDTH = 6, 4, 5, 8


def output(rows: int, seed: int) -> Output:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, WIDTH, generator=generator).requires_grad_()
    return Output(features[:, :CLASSES] * 2, F.normalize(features))


def batch(number: int) -> tuple[Tensor, Output, Output, Tensor]:
    weak, labeled = output(ROWS, number), output(LABELED, 100 + number)
    weak, labeled = (Output(*(part.detach() for part in each)) for each in (weak, labeled))
    return weak.logits.softmax(1), weak, labeled, torch.arange(LABELED) + number % 2


@pytest.mark.parametrize("unlabeled", [True, False])
def test_predictions_are_smoothed_by_their_neighbours_once_the_memory_is_full(unlabeled: bool) -> None:
    size = 12
    memory = Memory(CLASSES, WIDTH, size=size, temperature=0.2, own=0.8, unlabeled=unlabeled, alignment=0)
    held: list[tuple[Tensor, Tensor]] = []
    smoothed_once = False
    for number in range(6):
        probs, weak, labeled, labels = batch(number)
        smoothed, recalled = memory(probs, weak, labeled, labels, number)
        assert bool(recalled.full) == (len(held) == size)
        expected = probs.clone()
        if len(held) == size:
            smoothed_once = True
            for row in range(ROWS):
                weights = torch.stack([torch.exp(weak.embeddings[row] @ key / 0.2) for key, _ in held])
                weights = weights / weights.sum()
                mean = sum(weight * known for weight, (_, known) in zip(weights, held, strict=True))
                expected[row] = 0.8 * probs[row] + 0.2 * mean
        torch.testing.assert_close(smoothed, expected)
        if unlabeled:
            held += list(zip(weak.embeddings, probs, strict=True))
        held += list(zip(labeled.embeddings, torch.eye(CLASSES)[labels], strict=True))
        held = held[-size:]
    assert smoothed_once


def test_predictions_are_aligned_before_they_are_remembered() -> None:
    memory = Memory(CLASSES, WIDTH, size=ROWS + LABELED, alignment=1)
    probs, weak, labeled, labels = batch(0)
    smoothed, _ = memory(probs, weak, labeled, labels, 0)
    expected = probs / (probs.mean(0) + 1e-6)
    torch.testing.assert_close(smoothed, expected / expected.sum(1, keepdim=True))
    _, recalled = memory(*batch(1), 1)
    torch.testing.assert_close(recalled.probs, torch.cat([smoothed, torch.eye(CLASSES)[labels]]))


def test_a_memory_resumes() -> None:
    memory, other = (Memory(CLASSES, WIDTH, size=8) for _ in range(2))
    memory(*batch(0), 0)
    other.load_state_dict(memory.state_dict())
    assert all(torch.equal(*pair) for pair in zip(memory(*batch(1), 1)[1], other(*batch(1), 1)[1], strict=True))


def test_nothing_is_remembered_without_one() -> None:
    probs, *rest = batch(0)
    assert Forgetful()(probs, *rest, 0) == (probs, None)
    with pytest.raises(ConfigError, match=r"memory\.size=0 remembers nothing; set memory=none"):
        Memory(CLASSES, WIDTH, size=0)


@pytest.fixture
def step() -> Step:
    probs = (output(ROWS, 7).logits.detach() * 3).softmax(1)
    student = {"strong": output(ROWS, 1), "strong2": output(ROWS, 2)}
    return Step(student, {}, torch.arange(2), None, probs, probs.argmax(1), probs, None, 0)


def test_similarities_of_two_views_follow_the_graph_of_pseudo_labels(step: Step) -> None:
    step = replace(step, probs=torch.eye(CLASSES)[[0, 0, 1, 2, 2, 2]] * 0.92 + 0.016)
    first, second = (step.student[view].embeddings for view in ("strong", "strong2"))
    losses = []
    for row in range(ROWS):
        similar = torch.stack([torch.exp(first[row] @ second[other] / 0.2) for other in range(ROWS)])
        edges = [1.0 if other == row else float(step.probs[row] @ step.probs[other]) for other in range(ROWS)]
        edges = [edge if edge >= 0.8 else 0.0 for edge in edges]
        assert sum(edge > 0 for edge in edges) == [2, 2, 1, 3, 3, 3][row]
        shares = (similar / similar.sum()).log()
        losses.append(-sum(edge / sum(edges) * share for edge, share in zip(edges, shares, strict=True)))
    torch.testing.assert_close(GraphContrast()(step), torch.stack(losses).mean())


def test_the_strong_view_is_as_similar_to_labeled_faces_as_the_weak_one(step: Step) -> None:
    memory = Memory(CLASSES, WIDTH, size=2 * LABELED, temperature=0.1, unlabeled=False)
    term = InstanceSimilarity(temperature=0.1)
    for number in range(3):
        probs, weak, labeled, labels = batch(number)
        held = [row.split([WIDTH, CLASSES]) for row in memory.queue.keys.clone()]
        smoothed, recalled = memory(probs, weak, labeled, labels, number)
        loss = term(replace(step, probs=smoothed, recalled=recalled))
        if number < 2:
            assert loss.item() == 0.0
            assert loss.requires_grad
    losses = []
    for row in range(ROWS):
        strong = step.student["strong"].embeddings[row]
        target = torch.stack([torch.exp(weak.embeddings[row] @ key / 0.1) for key, _ in held])
        target = target * torch.stack([recalled.aligned[row] @ known for _, known in held])
        shares = torch.stack([strong @ key / 0.1 for key, _ in held]).log_softmax(0)
        losses.append(-(target / target.sum() * shares).sum())
    torch.testing.assert_close(loss, torch.stack(losses).mean())


def test_instance_similarity_needs_a_memory(step: Step) -> None:
    with pytest.raises(ConfigError, match=r"needs a memory of faces, .* set memory=labeled"):
        InstanceSimilarity()(step)
