"""Complementary labels of uncertain faces."""

from dataclasses import replace

import pytest
import torch

from fer_ssl.errors import ConfigError
from fer_ssl.method.functional import log_complement
from fer_ssl.method.losses import Negative
from fer_ssl.types import Gate, Output, Step

PROBS = torch.tensor([[0.5, 0.46, 0.03, 0.01], [0.96, 0.02, 0.01, 0.01], [0.3, 0.3, 0.2, 0.2]])


def step(keep: tuple[float, ...] = (0.0, 1.0, 0.0)) -> Step:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    gate = Gate(torch.tensor(keep), torch.full((4,), 0.9))
    return Step({"strong": Output(logits, logits)}, {}, torch.arange(3), None, PROBS, PROBS.argmax(1), PROBS, gate, 0)


def test_an_uncertain_face_learns_what_it_is_not() -> None:
    taken = step()
    student = taken.student["strong"].logits.softmax(1)
    expected = -((1 - student[0, 2]).log() + (1 - student[0, 3]).log()) / 2 / 3
    loss = Negative()(taken)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    gradient = taken.student["strong"].logits.grad
    assert (gradient[0, 2:] > 0).all(), "descent lowers the logits of negative classes"
    assert (gradient[0, :2] < 0).all()
    assert not gradient[1:].any(), "one face is certain, the other has no class that is surely absent"


def test_certain_faces_take_part_when_asked() -> None:
    taken = step()
    student = taken.student["strong"].logits.softmax(1)
    first = -(1 - student[0, 2:]).log().mean()
    second = -(1 - student[1, 1:]).log().mean()
    torch.testing.assert_close(Negative(uncertain_only=False)(taken), (first + second) / 3)


def test_a_student_sure_of_a_wrong_class_still_gets_a_gradient() -> None:
    logits = torch.tensor([[0.0, 0.0, 60.0, 0.0]], requires_grad=True)
    loss = -log_complement(logits)[0, 2]
    loss.backward()
    assert loss.item() == pytest.approx(60 - torch.tensor(3.0).log().item(), abs=1e-4)
    assert logits.grad[0, 2].item() == pytest.approx(1.0)


def test_nobody_uncertain_gives_zero_with_a_gradient() -> None:
    taken = step(keep=(1.0, 1.0, 1.0))
    loss = Negative()(taken)
    loss.backward()
    assert loss.item() == 0.0
    assert not taken.student["strong"].logits.grad.any()


def test_a_run_without_a_pool_is_told() -> None:
    with pytest.raises(ConfigError, match=r"set unlabeled=<pool> or remove negative from loss"):
        Negative()(replace(step(), probs=None))
