"""Time our training step against a bare PyTorch loop with the same maths on ready tensors, paired in one run.

python benchmarks/step.py [--batches 16+48 32+96] [--repeats 25] [--markdown docs/benchmarks.md]
"""

import argparse
import datetime
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fer_ssl.build import build_module, precision
from fer_ssl.cli import CONF
from fer_ssl.results import environment
from fer_ssl.types import Batch, LabelSpace

CLASSES = 7
PRECISION = precision("auto", "cpu")
BF16 = PRECISION == "bf16-mixed"


class GivenViews(nn.Module):
    """Hands out views that are ready, so that the step is timed without augmentation."""

    def draw(self, sources: dict[str, Tensor], names: frozenset[str], *_: object) -> dict[str, Tensor]:
        return {name: sources["labeled" if name == "labeled" else "unlabeled"] for name in names}


class Trainer:
    """What the step asks of Lightning's trainer."""

    world_size = 1
    global_rank = 0
    global_step = 0


def our_step(labeled: Tensor, labels: Tensor, unlabeled: Tensor, name: str) -> Callable[[], None]:
    """Return one optimizer step of fixmatch as the framework runs it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["+experiment=fixmatch", "backbone=timm", f"backbone.name={name}", "run_dir=."])
    module = build_module(cfg, LabelSpace("bench", tuple(f"c{i}" for i in range(CLASSES))))
    module.views = GivenViews()
    module._trainer = Trainer()
    optimizer = torch.optim.SGD(module.model.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=5e-4)
    rows = torch.arange(len(unlabeled))
    truth = torch.full((len(unlabeled),), -1)

    def step() -> None:
        batch = Batch(labeled, labels, None, unlabeled, rows, truth, position=0)
        with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
            loss = module.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        module.teacher.update(module.model)

    module.train()
    return step


def bare_step(labeled: Tensor, labels: Tensor, unlabeled: Tensor, name: str) -> Callable[[], None]:
    """Return the same step by hand: channels_last, bf16 autocast, teacher without gradient, foreach EMA."""
    torch.manual_seed(0)
    student = timm.create_model(name, num_classes=CLASSES).to(memory_format=torch.channels_last)
    teacher = timm.create_model(name, num_classes=CLASSES).to(memory_format=torch.channels_last)
    teacher.load_state_dict(student.state_dict())
    teacher.eval().requires_grad_(False)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=5e-4)
    averages = [*teacher.parameters(), *(b for b in teacher.buffers() if b.is_floating_point())]
    sources = [*student.parameters(), *(b for b in student.buffers() if b.is_floating_point())]

    def prepare(images: Tensor) -> Tensor:
        images = images.float().div_(127.5).sub_(1).expand(-1, 3, -1, -1)
        return images.contiguous(memory_format=torch.channels_last)

    x, u = prepare(labeled), prepare(unlabeled)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
            with torch.no_grad():
                confidence, pseudo_labels = teacher(u).float().softmax(1).max(1)
            logits = student(torch.cat([x, u])).float()
            supervised = F.cross_entropy(logits[: len(x)], labels)
            unsupervised = F.cross_entropy(logits[len(x) :], pseudo_labels, reduction="none")
            loss = supervised + (unsupervised * (confidence >= 0.95)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_([p.detach() for p in averages], [p.detach() for p in sources], 0.01)

    return step


def paired(first: Callable[[], None], second: Callable[[], None], repeats: int, warmup: int = 5) -> tuple[float, ...]:
    """Return the median seconds of both and of their ratio, timed in turns."""
    seconds: list[tuple[float, float]] = []
    for repeat in range(warmup + repeats):
        times = [_seconds(run) for run in ((first, second) if repeat % 2 else (second, first))]
        seconds.append((times[0], times[1]) if repeat % 2 else (times[1], times[0]))
    kept = seconds[warmup:]
    return (
        statistics.median(a for a, _ in kept),
        statistics.median(b for _, b in kept),
        statistics.median(a / b for a, b in kept),
    )


def _seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(labeled: int, unlabeled: int, args: argparse.Namespace) -> tuple[float, float, float]:
    """Return seconds of our step and of the bare one, and the ratio, for a batch of random faces."""
    generator = torch.Generator().manual_seed(0)
    faces = [
        torch.randint(0, 256, (count, 3, args.image_size, args.image_size), dtype=torch.uint8, generator=generator)
        for count in (labeled, unlabeled)
    ]
    data = (faces[0], torch.arange(labeled) % CLASSES, faces[1], args.backbone)
    ours, bare, ratio = paired(our_step(*data), bare_step(*data), args.repeats)
    print(f"{labeled}+{unlabeled}: our step {ours:.4f} s, bare loop {bare:.4f} s, ratio {ratio:.3f}", flush=True)
    return ours, bare, ratio


def markdown(rows: dict[str, tuple[float, float, float]], args: argparse.Namespace) -> str:
    """Return the page of figures."""
    machine = (
        f"{torch.get_num_threads()} threads of {torch.cpu.get_capabilities()['cpu_name']}, torch {torch.__version__}"
    )
    table = [f"| {batch} | {ours:.4f} | {bare:.4f} | {ratio:.3f} |" for batch, (ours, bare, ratio) in rows.items()]
    return "\n".join(
        [
            "# Benchmarks",
            "",
            f"Written {datetime.date.today()} at commit {environment()['commit']} by `python benchmarks/step.py`: "
            f"{args.backbone}, {args.image_size} px, {PRECISION}, views ready, {machine}; medians of {args.repeats} "
            "pairs timed in turns. The bare loop has channels_last, a teacher pass without gradient and a fused EMA.",
            "",
            "| batch | our step (s) | bare loop (s) | ratio |",
            "| --- | --- | --- | --- |",
            *table,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", nargs="+", default=["16+48", "32+96"], help="labeled+unlabeled faces")
    parser.add_argument("--image-size", type=int, default=48)
    parser.add_argument("--backbone", default="resnet10t")
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    rows = {batch: measure(*map(int, batch.split("+")), args) for batch in args.batches}
    if args.markdown:
        args.markdown.write_text(markdown(rows, args))


if __name__ == "__main__":
    main()
