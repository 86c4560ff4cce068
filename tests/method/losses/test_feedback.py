"""The feedback of a classifier that learns the pseudo-labels."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from fer_ssl.errors import ConfigError
from fer_ssl.method.losses import Feedback
from fer_ssl.types import Output, Step

ROWS, CLASSES, WIDTH = 12, 3, 5


def step(right: bool = True) -> Step:
    """Return a step whose embeddings tell the class; the pseudo-labels are right, or all turned."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(ROWS) % CLASSES

    def seen() -> Output:
        noise = 0.1 * torch.randn(ROWS, WIDTH, generator=generator)
        embeddings = F.normalize(torch.eye(WIDTH)[labels] + noise).requires_grad_()
        return Output(torch.randn(ROWS, CLASSES, generator=generator).requires_grad_(), embeddings)

    pseudo_labels = labels if right else (labels + 1) % CLASSES
    return Step({"labeled": seen(), "strong": seen()}, {}, labels, None, None, pseudo_labels, None, None, 0)


def fresh() -> Feedback:
    torch.manual_seed(0)
    return Feedback(CLASSES, WIDTH, rate=0.5)


def helped(term: Feedback, taken: Step) -> torch.Tensor:
    strong, labeled = (taken.student[view].embeddings.detach() for view in ("strong", "labeled"))
    return term.helped(strong, taken.pseudo_labels, labeled, taken.labels)


def test_the_help_is_the_fall_of_the_labeled_loss_by_one_step() -> None:
    term, taken = fresh(), step()
    twin = nn.Linear(WIDTH, CLASSES)
    twin.load_state_dict(term.adapting.state_dict())
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.5)
    strong, labeled = (taken.student[view].embeddings.detach() for view in ("strong", "labeled"))
    before = F.cross_entropy(twin(labeled), taken.labels).detach()
    F.cross_entropy(twin(strong), taken.pseudo_labels).backward()
    optimizer.step()
    after = F.cross_entropy(twin(labeled), taken.labels)
    torch.testing.assert_close(helped(term, taken), before - after)


def test_right_pseudo_labels_help_and_wrong_ones_harm() -> None:
    assert helped(fresh(), step()) > 0.01
    assert helped(fresh(), step(right=False)) < -0.01


@pytest.mark.parametrize("right", [True, False])
def test_the_model_confirms_what_helped_and_doubts_what_did_not(right: bool) -> None:
    term, taken = fresh(), step(right)
    loss = term(taken)
    logits = taken.student["strong"].logits
    own = F.cross_entropy(logits, logits.argmax(1))
    adapting = F.cross_entropy(term.adapting(taken.student["strong"].embeddings), taken.pseudo_labels)
    torch.testing.assert_close(loss, adapting + helped(term, taken) * own)
    loss.backward()
    confirmed = logits.grad.gather(1, logits.argmax(1, keepdim=True))
    assert ((confirmed < 0) == right).all(), "descent raises the most probable logit where the labels helped"
    assert term.adapting.weight.grad.abs().sum() > 0
    assert taken.student["strong"].embeddings.grad is None


def test_without_a_pool_the_override_is_named() -> None:
    with pytest.raises(ConfigError, match=r"set unlabeled=<pool> or loss=\[supervised\]"):
        fresh()(replace(step(), pseudo_labels=None))


def test_the_feedback_is_computed_in_float32_under_autocast() -> None:
    term, taken = fresh(), step()
    exact = term(taken)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        confirming = term(taken) - F.cross_entropy(
            term.adapting(taken.student["strong"].embeddings).float(), taken.pseudo_labels
        )
    adapting = F.cross_entropy(term.adapting(taken.student["strong"].embeddings), taken.pseudo_labels)
    torch.testing.assert_close(confirming, exact - adapting, rtol=1e-4, atol=1e-6)
