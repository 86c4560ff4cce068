import torch
from golden_arrays import golden
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fer_ssl.method.losses import InfoNCE, PseudoLabel, Supervised
from fer_ssl.method.target import HardTarget
from fer_ssl.method.teacher import Teacher
from fer_ssl.method.thresholds import DynamicThreshold
from fer_ssl.types import Output, Step

TAU = (0.706, 0.706, 0.382, 0.706, 0.62, 0.719, 0.706)
MODEL_DECAY = 1 - 1e-5  # the release shrinks the whole model by this after each step


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 12, 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(12)
        self.c2 = nn.Conv2d(12, 16, 3, 2, 1)
        self.fc = nn.Linear(16, 7)

    def forward(self, images: Tensor) -> Output:
        maps = self.c2(self.bn(self.c(images)).relu())
        embeddings = F.normalize(maps.mean((2, 3)))
        return Output(self.fc(embeddings), embeddings)


def load(model: nn.Module, arrays: dict[str, Tensor], prefix: str) -> None:
    model.load_state_dict({key: arrays[f"{prefix}.{key}"] for key in model.state_dict()})


def assert_floats_equal(model: nn.Module, arrays: dict[str, Tensor], prefix: str) -> None:
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, arrays[f"{prefix}.{key}"], atol=1e-5, rtol=1e-4, msg=key)


def shrink(model: nn.Module) -> None:
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.mul_(MODEL_DECAY)


def forward(student: Toy, threshold: DynamicThreshold, images: list[Tensor], labels: Tensor) -> Step:
    weak, weak2, labeled, strong = (student(view) for view in images)
    probs = (weak.logits.softmax(1) + weak2.logits.softmax(1)).detach() / 2
    pseudo_labels, targets = HardTarget()(probs)
    return Step(
        student={"labeled": labeled, "strong": strong, "weak": weak, "weak2": weak2},
        teacher={},
        labels=labels,
        soft_labels=None,
        probs=probs,
        pseudo_labels=pseudo_labels,
        targets=targets,
        gate=threshold(probs, None),
        global_step=0,
    )


def test_four_steps_equal_ancestor() -> None:
    arrays, student = golden("adacm_train4"), Toy().train()
    load(student, arrays, "start_model")
    teacher = Teacher(student, warmup=False)
    load(teacher.average, arrays, "start_ema")
    threshold = DynamicThreshold(7, pool="heldout")
    threshold.tau.copy_(torch.tensor(TAU))
    terms = {"Lx": Supervised(0.5), "Lu": PseudoLabel(1.0), "Ls": InfoNCE(0.1, views=("weak", "weak2"))}
    optimizer = torch.optim.SGD(student.parameters(), lr=0.03, momentum=0.9, nesterov=True)
    for t in range(4):
        step = forward(student, threshold, [arrays[view][t] for view in ("u", "u2", "x", "strong")], arrays["y"][t])
        assert torch.equal(step.gate.keep, arrays["masks"][t])
        losses = {name: term(step) for name, term in terms.items()}
        total = torch.stack([term.weight * losses[name] for name, term in terms.items()]).sum()
        for name, value in {**losses, "loss": total}.items():
            torch.testing.assert_close(value.double(), arrays[name][t], atol=1e-5, rtol=1e-4, msg=f"{name} at {t}")
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        teacher.update(student)
        shrink(student)
    assert_floats_equal(student, arrays, "end_model")
    assert_floats_equal(teacher.average, arrays, "end_ema")
