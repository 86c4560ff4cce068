"""DASO: pseudo-labels blended with nearness to prototypes."""

import io
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl.errors import ConfigError
from fer_ssl.method.functional import consistency_loss
from fer_ssl.method.losses import Nearness
from fer_ssl.method.prototypes import Prototypes
from fer_ssl.types import Output, Step

ROWS, CLASSES, WIDTH = 6, 3, 5


def output(seed: int, grad: bool = True) -> Output:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(ROWS, CLASSES, generator=generator).mul(3).requires_grad_(grad)
    embeddings = F.normalize(torch.randn(ROWS, WIDTH, generator=generator)).requires_grad_(grad)
    return Output(logits, embeddings)


def step(seed: int, global_step: int = 0) -> Step:
    teacher = {"labeled": output(seed, grad=False), "weak": output(seed + 100, grad=False)}
    labels = torch.arange(ROWS) % CLASSES
    probs = teacher["weak"].logits.softmax(1)
    return Step({"strong": output(seed + 200)}, teacher, labels, None, probs, None, None, None, global_step)


def test_a_whole_number_is_a_decay_as_well() -> None:
    memories = [Prototypes(CLASSES, WIDTH, max_steps=10, warmup=0, decay=decay) for decay in (0, 0.0)]
    now = step(1)
    for memory in memories:
        memory(now.probs, now.teacher["weak"], now.teacher["labeled"], now.labels, 0)
    assert torch.equal(memories[0].prototypes, memories[1].prototypes)
    assert memories[0].prototypes.any()


def test_a_warm_up_of_all_steps_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no share of the steps is 1; set memory\.warmup="):
        Prototypes(CLASSES, WIDTH, max_steps=10, warmup=1)


class Naive:
    """DASO step by step, from its definition."""

    def __init__(self) -> None:
        self.prototypes: dict[int, Tensor] = {}
        self.frequency = torch.full((CLASSES,), 1 / CLASSES)

    def loss(self, taken: Step) -> Tensor:
        for label in range(CLASSES):
            mean = taken.teacher["labeled"].embeddings[taken.labels == label].mean(0)
            old = self.prototypes.get(label)
            self.prototypes[label] = mean if old is None else 0.9 * old + 0.1 * mean
        prototypes = torch.stack([F.normalize(self.prototypes[label], dim=0) for label in range(CLASSES)])
        powered = self.frequency ** (1 / 1.5)
        losses, counted = [], torch.zeros(CLASSES)
        for row in range(ROWS):
            semantic = (prototypes @ taken.teacher["weak"].embeddings[row] / 0.05).softmax(0)
            linear = taken.probs[row]
            share = powered[linear.argmax()] / powered.max()
            blended = (1 - share) * linear + share * semantic
            counted[blended.argmax()] += 1 / ROWS
            strong = taken.student["strong"]
            taught = -strong.logits[row].log_softmax(0)[blended.argmax()] * (blended.max() >= 0.7)
            near = (prototypes @ strong.embeddings[row] / 0.05).log_softmax(0)
            losses.append(taught - 0.5 * (semantic * near).sum())
        self.frequency = 0.9 * self.frequency + 0.1 * counted
        return torch.stack(losses).mean()


def fresh(warmup: float = 0.0) -> Prototypes:
    return Prototypes(CLASSES, WIDTH, max_steps=100, warmup=warmup, decay=0.9)


def loss_of(memory: Prototypes, taken: Step) -> Tensor:
    """Return the loss of DASO: kept pseudo-labels and nearness to prototypes."""
    teacher = taken.teacher
    blended, recalled = memory(taken.probs, teacher["weak"], teacher["labeled"], taken.labels, taken.global_step)
    confidence, pseudo_labels = blended.max(1)
    taught = consistency_loss(taken.student["strong"].logits, pseudo_labels, (confidence >= 0.7).float())
    return taught + Nearness(weight=0.5).weighted(replace(taken, recalled=recalled))


def test_losses_and_gradients_are_those_of_the_definition() -> None:
    memory, naive = fresh(), Naive()
    for seed in range(5):
        taken = step(seed)
        strong = taken.student["strong"]
        loss, expected = loss_of(memory, taken), naive.loss(taken)
        torch.testing.assert_close(loss, expected)
        for ours, theirs in zip(
            torch.autograd.grad(loss, [strong.logits, strong.embeddings]),
            torch.autograd.grad(expected, [strong.logits, strong.embeddings]),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_before_the_warm_up_ends_the_classifier_alone_labels() -> None:
    taken = step(0)
    probs = taken.probs
    losses = F.cross_entropy(taken.student["strong"].logits, probs.argmax(1), reduction="none")
    torch.testing.assert_close(loss_of(fresh(warmup=0.5), taken), (losses * (probs.amax(1) >= 0.7)).mean())
    later = replace(taken, global_step=50)
    assert not torch.equal(loss_of(fresh(warmup=0.5), later), loss_of(fresh(warmup=0.5), taken))


def test_it_resumes_exactly() -> None:
    straight, first, second = fresh(), fresh(), fresh()
    expected = [loss_of(straight, step(seed)) for seed in range(6)]
    for seed in range(3):
        loss_of(first, step(seed))
    stored = io.BytesIO()
    torch.save(first.state_dict(), stored)
    stored.seek(0)
    second.load_state_dict(torch.load(stored, weights_only=True))
    assert all(torch.equal(loss_of(second, step(seed)), expected[seed]) for seed in range(3, 6))


def test_it_tells_what_it_would_say_and_remembers_nothing() -> None:
    memory, taken = fresh(), step(0)
    loss_of(memory, taken)
    before = {name: value.clone() for name, value in memory.state_dict().items()}
    recalled, _ = memory.recall(taken.probs, taken.teacher["weak"], 1)
    assert all(torch.equal(value, before[name]) for name, value in memory.state_dict().items())
    assert not torch.allclose(recalled, taken.probs)


def test_without_a_memory_the_override_is_named() -> None:
    with pytest.raises(ConfigError, match=r"Nearness needs a memory of classes.* set memory=prototypes"):
        Nearness()(step(0))
