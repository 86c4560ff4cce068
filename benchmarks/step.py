"""Our training step against bare PyTorch loops with the same maths, on ready tensors."""

from collections.abc import Callable, Iterator

import timm
import torch
from hydra import compose, initialize_config_dir
from timing import Figure, paired
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fer_ssl.build import build_module, precision
from fer_ssl.cli import CONF
from fer_ssl.module import SemiSupervised
from fer_ssl.types import Batch, LabelSpace

CLASSES, SIDE, BACKBONE = 7, 48, "resnet10t"
BATCHES = ((16, 48), (32, 96))
BF16 = precision("auto", "cpu") == "bf16-mixed"
Step = Callable[[], None]


class GivenViews(nn.Module):
    """Hands out views that are ready, so that the step is timed without augmentation."""

    kinds = nn.ModuleDict()

    def draw(self, sources: dict[str, Tensor], names: frozenset[str], *_: object) -> dict[str, Tensor]:
        return {name: sources["labeled" if name == "labeled" else "unlabeled"] for name in names}


class Trainer:
    """What the step asks of Lightning's trainer."""

    world_size = 1
    global_rank = 0
    global_step = 0


def our_module() -> SemiSupervised:
    """Return fixmatch on resnet10t, views given."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["+experiment=fixmatch", "backbone=timm", f"backbone.name={BACKBONE}", "run_dir=."])
    module = build_module(cfg, LabelSpace("bench", tuple(f"c{i}" for i in range(CLASSES))))
    module.views = GivenViews()
    module._trainer = Trainer()
    return module.train()


def our_step(labeled: Tensor, labels: Tensor, unlabeled: Tensor) -> Step:
    """Return one optimizer step of fixmatch as the framework runs it."""
    module = our_module()
    optimizer = sgd(module.model)
    rows, truth = torch.arange(len(unlabeled)), torch.full((len(unlabeled),), -1)

    def step() -> None:
        batch = Batch(labeled, labels, None, unlabeled, rows, truth, position=0)
        with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
            loss = module.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        module.teacher.update(module.model)

    return step


def bare_step(labeled: Tensor, labels: Tensor, unlabeled: Tensor) -> Step:
    """Return the same step by hand: channels_last, bf16 where fast, teacher without gradient, foreach EMA."""
    student, teacher = network(), network()
    teacher.load_state_dict(student.state_dict())
    teacher.eval().requires_grad_(False)
    optimizer = sgd(student)
    averages = [*teacher.parameters(), *(b for b in teacher.buffers() if b.is_floating_point())]
    sources = [*student.parameters(), *(b for b in student.buffers() if b.is_floating_point())]
    x, u = prepare(labeled), prepare(unlabeled)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
            with torch.no_grad():
                confidence, pseudo_labels = teacher(u).float().softmax(1).max(1)
            logits = student(torch.cat([x, u])).float()
            loss = fixmatch(logits, labels, pseudo_labels, confidence)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_([p.detach() for p in averages], [p.detach() for p in sources], 0.01)

    return step


def one_pass_step(labeled: Tensor, labels: Tensor, unlabeled: Tensor) -> Step:
    """Return the step as USB writes it: one fp32 pass over labeled, weak and strong, and a parameter-wise EMA."""
    student, teacher = network(torch.contiguous_format), network(torch.contiguous_format)
    optimizer = sgd(student)
    x, u = (prepare(images).contiguous() for images in (labeled, unlabeled))

    def step() -> None:
        logits = student(torch.cat([x, u, u]))
        supervised, weak, strong = logits.split([len(x), len(u), len(u)])
        confidence, pseudo_labels = weak.detach().softmax(1).max(1)
        loss = fixmatch(torch.cat([supervised, strong]), labels, pseudo_labels, confidence)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for average, source in zip(teacher.parameters(), student.parameters(), strict=True):
                average.copy_(0.01 * source + 0.99 * average)

    return step


def fixmatch(logits: Tensor, labels: Tensor, pseudo_labels: Tensor, confidence: Tensor) -> Tensor:
    """Return the loss of `logits` [L + U, C], labeled rows first."""
    supervised = F.cross_entropy(logits[: len(labels)], labels)
    unsupervised = F.cross_entropy(logits[len(labels) :], pseudo_labels, reduction="none")
    return supervised + (unsupervised * (confidence >= 0.95)).mean()


def network(memory_format: torch.memory_format = torch.channels_last) -> nn.Module:
    """Return the bare network, always with the same weights."""
    torch.manual_seed(0)
    return timm.create_model(BACKBONE, num_classes=CLASSES).to(memory_format=memory_format)


def sgd(model: nn.Module) -> torch.optim.SGD:
    """Return the optimizer of all steps."""
    return torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=5e-4)


def prepare(images: Tensor) -> Tensor:
    """Return uint8 images [B, 3, S, S] in [-1, 1], channels_last."""
    return images.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


def faces(labeled: int, unlabeled: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return random labeled faces, their labels, and unlabeled faces."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(0, 256, (labeled + unlabeled, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    return drawn[:labeled], torch.arange(labeled) % CLASSES, drawn[labeled:]


def figures(repeats: int) -> Iterator[Figure]:
    """Yield the step beside the best bare loop and beside a loop as USB writes it."""
    for sizes in BATCHES:
        batch, name = faces(*sizes), f"step {sizes[0]}+{sizes[1]}"
        ours = our_step(*batch)
        yield paired(name, ours, bare_step(*batch), "bare loop", "<= 1.03", repeats)
        yield paired(name, ours, one_pass_step(*batch), "one-pass fp32 loop", "<= 0.43", repeats)
