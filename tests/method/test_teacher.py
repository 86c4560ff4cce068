import io

import pytest
import torch
from torch import Tensor, nn

from fer_ssl.errors import ConfigError
from fer_ssl.method.teacher import Teacher
from fer_ssl.types import Output


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(4)
        self.fc = nn.Linear(4, 7)

    def forward(self, images: Tensor) -> Output:
        return Output(self.fc(self.bn(images)), images)


@pytest.fixture
def student() -> Net:
    torch.manual_seed(0)
    return Net()


def test_teacher_averages_with_warm_up(student: Net) -> None:
    teacher = Teacher(student, decay=0.5)
    start = student.fc.weight.detach().clone()
    with torch.no_grad():
        student.fc.weight.add_(1.0)
    teacher.update(student)
    torch.testing.assert_close(teacher.average.fc.weight, start + 0.9)
    assert teacher.current_decay == pytest.approx(2 / 11)
    for _ in range(20):
        teacher.update(student)
    assert teacher.current_decay == 0.5
    assert int(teacher.updates) == 21


def test_teacher_resumes_its_warm_up(student: Net) -> None:
    teacher, other = Teacher(student), Teacher(student)
    for _ in range(7):
        teacher.update(student)
    stored = io.BytesIO()
    torch.save(teacher.state_dict(), stored)
    stored.seek(0)
    other.load_state_dict(torch.load(stored, weights_only=True))
    assert other.current_decay == teacher.current_decay == pytest.approx(8 / 17)


def test_average_stays_frozen_and_in_eval_mode(student: Net) -> None:
    teacher = Teacher(student).train()
    assert not teacher.average.training
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not teacher(student, torch.randn(6, 4)).logits.requires_grad


def test_teacher_does_not_hold_the_student(student: Net) -> None:
    teacher = Teacher(student)
    assert all(key == "updates" or key.startswith("average.") for key in teacher.state_dict())
    assert {id(p) for p in teacher.parameters()}.isdisjoint(id(p) for p in student.parameters())


@pytest.mark.parametrize(("mode", "moves"), [("train", True), ("eval", False)])
def test_student_pseudo_labels_in_the_mode_asked(student: Net, mode: str, moves: bool) -> None:
    student.train()
    before = student.bn.running_mean.clone()
    output = Teacher(student, source="student", mode=mode)(student, torch.randn(6, 4) + 3)
    assert not output.logits.requires_grad
    assert torch.equal(student.bn.running_mean, before) != moves
    assert student.training


def test_average_pseudo_labels_with_its_own_weights(student: Net) -> None:
    teacher, images = Teacher(student), torch.randn(6, 4)
    expected = student.eval()(images).logits.detach()
    with torch.no_grad():
        student.fc.weight.zero_()
    assert torch.equal(teacher(student, images).logits, expected)


def test_average_in_train_mode_is_refused(student: Net) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.mode=eval"):
        Teacher(student, mode="train")
    with pytest.raises(ConfigError, match=r"teacher\.source"):
        Teacher(student, source="self")
