"""Training steps to compare: ours, the best bare loop with its maths, and the peers' cost models.

The peers' steps are written from the description of what they compute; no code of theirs is used.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import timm
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fer_ssl.build import build_module
from fer_ssl.cli import CONF
from fer_ssl.method.contrast import info_nce
from fer_ssl.module import SemiSupervised
from fer_ssl.optim import build_optimizer
from fer_ssl.precision import precision
from fer_ssl.types import Batch, LabelSpace

CLASSES = 7
SPACE = LabelSpace("bench", tuple(f"c{label}" for label in range(CLASSES)))
MOMENTUM = {"lr": 0.03, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}

Step = Callable[[], Tensor]


class Ready(NamedTuple):
    """Views that are drawn already, uint8 [B, 3, side, side], so that a step is timed without its pipeline."""

    labeled: Tensor
    labels: Tensor
    unlabeled: Tensor

    def to(self, device: str) -> "Ready":
        return Ready(*(tensor.to(device) for tensor in self))


def ready(labeled: int, unlabeled: int, side: int = 48) -> Ready:
    """Return random faces."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((count, 3, side, side) for count in (labeled, unlabeled))
    images = [torch.randint(0, 256, size, dtype=torch.uint8, generator=generator) for size in sizes]
    return Ready(images[0], torch.arange(labeled) % CLASSES, images[1])


def composed(*overrides: str, config: str = "train") -> DictConfig:
    """Return the configuration of a command line."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(config, [*overrides, "run_dir=."])


def autocast(device: str) -> Any:
    """Return the autocast that training would use on `device`."""
    accelerator = "cpu" if device == "cpu" else "gpu"
    return torch.autocast(device, torch.bfloat16, enabled=precision("auto", accelerator) == "bf16-mixed")


class GivenViews(nn.Module):
    """Hands out views that are ready."""

    def draw(self, sources: dict[str, Tensor], names: frozenset[str], *_: object) -> dict[str, Tensor]:
        return {name: sources["labeled" if name == "labeled" else "unlabeled"] for name in names}


class BareTrainer:
    """What the step asks of Lightning's trainer."""

    world_size = 1
    global_rank = 0
    global_step = 0


def our_module(backbone: str, *overrides: str, pool_size: int = 0) -> SemiSupervised:
    """Return the module of fixmatch without Lightning's loop around it."""
    parts = ("+experiment=fixmatch", "backbone=timm", f"backbone.name={backbone}", "optim=sgd")
    module = build_module(composed(*parts, *overrides), SPACE, pool_size)
    module._trainer = BareTrainer()  # type: ignore[assignment]
    return module


def our_step(data: Ready, backbone: str, device: str = "cpu", compiled: Callable[..., object] | None = None) -> Step:
    """Return one optimizer step of fixmatch as the framework computes it; `compiled` compiles the module."""
    module = our_module(backbone).to(device)
    module.views = GivenViews()
    optimizer = build_optimizer(module.model, module.optimizer, module.weight_decay)
    rows = torch.arange(len(data.unlabeled), device=device)
    batch = Batch(data.labeled, data.labels, None, data.unlabeled, rows, torch.full_like(rows, -1), position=0)
    module.train()
    if compiled is not None:
        compiled(module)

    def step() -> Tensor:
        with autocast(device):
            loss = module.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        module.teacher.update(module.model)
        return loss.detach()

    return step


def networks(backbone: str, device: str, layout: torch.memory_format) -> tuple[nn.Module, nn.Module]:
    """Return a student and the average that starts as its copy."""
    torch.manual_seed(0)
    student, average = (
        timm.create_model(backbone, num_classes=CLASSES).to(device, memory_format=layout) for _ in range(2)
    )
    average.load_state_dict(student.state_dict())
    return student, average.eval().requires_grad_(False)


def prepared(images: Tensor, layout: torch.memory_format) -> Tensor:
    """Return faces as a network reads them, scaled to [-1, 1]."""
    return images.float().div_(127.5).sub_(1).contiguous(memory_format=layout)


def fixmatch_loss(labeled: Tensor, labels: Tensor, strong: Tensor, weak: Tensor) -> Tensor:
    """Return FixMatch's loss of three views' logits."""
    confidence, pseudo_labels = weak.detach().float().softmax(1).max(1)
    unsupervised = F.cross_entropy(strong.float(), pseudo_labels, reduction="none")
    return F.cross_entropy(labeled.float(), labels) + (unsupervised * (confidence >= 0.95)).mean()


def bare_step(data: Ready, backbone: str, device: str = "cpu", compiled: Callable[..., object] | None = None) -> Step:
    """Return the reference: channels_last, autocast, no gradient for the weak view, foreach EMA, fused optimizer."""
    student, average = networks(backbone, device, torch.channels_last)
    optimizer = torch.optim.SGD(student.parameters(), **MOMENTUM, fused=True)
    kept, new = (
        [*net.parameters(), *(b for b in net.buffers() if b.is_floating_point())] for net in (average, student)
    )
    x, u = (prepared(images, torch.channels_last) for images in (data.labeled, data.unlabeled))
    if compiled is not None:
        compiled(student)
        compiled(average)

    def step() -> Tensor:
        with autocast(device):
            with torch.no_grad():
                weak = average(u)
            logits = student(torch.cat([x, u]))
            loss = fixmatch_loss(logits[: len(x)], data.labels, logits[len(x) :], weak)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_([p.detach() for p in kept], [p.detach() for p in new], 0.01)
        return loss.detach()

    return step


def parameter_by_parameter(average: nn.Module, student: nn.Module, decay: float) -> None:
    """Update an average as the peers do: one parameter after the other, buffers copied."""
    with torch.no_grad():
        for kept, new in zip(average.parameters(), student.parameters(), strict=True):
            kept.copy_(decay * kept + (1 - decay) * new)
        for kept, new in zip(average.buffers(), student.buffers(), strict=True):
            kept.copy_(new)


def usb_step(data: Ready, backbone: str) -> Step:
    """Return FixMatch's step in USB's cost model: one fp32 pass with gradient over labeled, weak and strong faces."""
    student, average = networks(backbone, "cpu", torch.contiguous_format)
    optimizer = torch.optim.SGD(student.parameters(), **MOMENTUM)
    x, u = (prepared(images, torch.contiguous_format) for images in (data.labeled, data.unlabeled))

    def step() -> Tensor:
        labeled, weak, strong = student(torch.cat([x, u, u])).split([len(x), len(u), len(u)])
        loss = fixmatch_loss(labeled, data.labels, strong, weak)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        parameter_by_parameter(average, student, 0.999)
        return loss.detach()

    return step


def adacm_step(data: Ready, backbone: str) -> Step:
    """Return Ada-CM's step in its cost model: four fp32 passes with gradient, contrast between two weak views."""
    student, average = networks(backbone, "cpu", torch.contiguous_format)
    optimizer = torch.optim.Adam(student.parameters(), lr=5e-4)
    x, u = (prepared(images, torch.contiguous_format) for images in (data.labeled, data.unlabeled))

    def step() -> Tensor:
        first, second = (student.forward_features(u) for _ in range(2))
        labeled, strong = student(x), student(u)
        weak = sum(student.forward_head(features).softmax(1) for features in (first, second)) / 2
        confidence, pseudo_labels = weak.detach().max(1)
        keep = confidence >= 0.8
        a, b = (F.normalize(student.forward_head(f, pre_logits=True), dim=1) for f in (first, second))
        unsupervised = (F.cross_entropy(strong, pseudo_labels, reduction="none") * keep).mean()
        loss = 0.5 * F.cross_entropy(labeled, data.labels) + unsupervised + 0.1 * info_nce([a, b], ~keep, 0.07)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        parameter_by_parameter(average, student, 0.999)
        return loss.detach()

    return step
