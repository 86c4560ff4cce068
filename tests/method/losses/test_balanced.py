"""ABC: a balanced classifier beside a plain one."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl.errors import ConfigError
from fer_ssl.method.losses import Balanced, Plain
from fer_ssl.types import Gate, Output, Step

COUNTS, LABELS = [100, 20, 10], torch.tensor([0, 0, 1, 2])


def output(seed: int, grad: bool = True) -> Output:
    features = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed)).requires_grad_(grad)
    return Output(features * 3, F.normalize(features))


def step(global_step: int = 0) -> Step:
    probs = output(9, grad=False).logits.softmax(1)
    gate = Gate(torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.full((3,), 0.5))
    student = {"labeled": output(0), "strong": output(1), "strong2": output(3)}
    teacher = {"weak": output(2, grad=False)}
    return Step(student, teacher, LABELS, None, probs, probs.argmax(1), probs, gate, global_step)


@pytest.mark.parametrize("global_step", [0, 5, 10])
def test_faces_count_by_the_rarity_of_their_class_gradually_so_if_unlabeled(global_step: int) -> None:
    taken, rarity = step(global_step), torch.tensor([0.1, 0.5, 1.0])
    labeled, *strong = (taken.student[view].logits.log_softmax(1) for view in ("labeled", "strong", "strong2"))
    expected = torch.zeros(())
    for row in range(4):
        expected = expected - rarity[LABELS[row]] * labeled[row, LABELS[row]] / 4
        weight = 1 - global_step / 10 * (1 - rarity[taken.pseudo_labels[row]])
        for view in strong:
            expected = expected - taken.gate.keep[row] * weight * (taken.targets[row] * view[row]).sum() / 4
    torch.testing.assert_close(Balanced(COUNTS, max_steps=10)(taken), expected)


def test_a_class_that_no_label_shows_leaves_the_others_their_weights() -> None:
    torch.testing.assert_close(Balanced([100, 0, 10], max_steps=10).rarity, torch.tensor([0.1, 0.0, 1.0]))


def test_weights_are_the_means_of_random_masks() -> None:
    taken = step(10)
    term = Balanced(COUNTS, max_steps=10)
    generator = torch.Generator().manual_seed(0)
    masks = torch.bernoulli(term.rarity[LABELS].expand(20000, 4), generator=generator)
    losses = F.cross_entropy(taken.student["labeled"].logits, LABELS, reduction="none")
    sampled = (masks * losses).mean(1).mean()
    exact = term(replace(taken, gate=taken.gate._replace(keep=torch.zeros(4))))
    torch.testing.assert_close(exact, sampled, rtol=0.02, atol=0)


def test_the_plain_classifier_is_fixmatch_on_embeddings() -> None:
    torch.manual_seed(0)
    term, taken = Plain(3, 3, tau=0.6, scale=4.0), step()

    def logits(embeddings: Tensor) -> Tensor:
        return 4 * embeddings @ term.classifier.weight.T + term.classifier.bias

    probs = logits(taken.teacher["weak"].embeddings).softmax(1)
    keep = probs.amax(1) >= 0.6
    assert 0 < keep.sum() < 4
    labeled = F.cross_entropy(logits(taken.student["labeled"].embeddings), LABELS)
    strong = [
        F.cross_entropy(logits(taken.student[view].embeddings), probs.argmax(1), reduction="none")
        for view in ("strong", "strong2")
    ]
    loss = term(taken)
    torch.testing.assert_close(loss, labeled + (torch.stack(strong) * keep).mean())
    loss.backward()
    assert term.classifier.weight.grad.abs().sum() > 0


def test_without_a_pool_the_override_is_named() -> None:
    with pytest.raises(ConfigError, match=r"set unlabeled=<pool> or loss=\[supervised\]"):
        Balanced(COUNTS, max_steps=10)(replace(step(), targets=None))


def test_embeddings_times_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"loss\.plain\.scale=0 tell no class from another; set loss\.plain\.scale"):
        Plain(3, 3, scale=0)
