"""One GPU: ResNet-18 at 112 px, bf16, 64 + 448 faces, compiled; skipped without a CUDA device."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from end_to_end import Turns, timed_training
from lightning import Trainer
from loops import Ready, bare_step, ready
from measuring import Measurement, Options, Pairs, Skipped, seconds_of
from torch.utils.flop_counter import FlopCounterMode

from fer_ssl.callbacks.telemetry import Telemetry
from fer_ssl.data.images import ResidentImages
from fer_ssl.types import UNKNOWN, Faces
from fer_ssl.views import StrongView, WeakView

LABELED, UNLABELED, SIDE, POOL = 64, 448, 112, 50_000


def random_pool(count: int, side: int) -> Faces:
    """Return faces of random pixels."""
    pixels = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)
    return Faces(ResidentImages(pixels), np.arange(count).astype(str), torch.full((count,), UNKNOWN))


def tera_flops(data: Ready, backbone: str) -> float:
    """Return the 1e12 operations of one bare step, forward and backward, as torch counts matrix products."""
    step = bare_step(data, backbone, "cuda")
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e12


class Waiting(Turns):
    """Also keep what telemetry says of the share of time that training waited for data."""

    waited = float("nan")

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        telemetry = next(each for each in trainer.callbacks if isinstance(each, Telemetry))  # type: ignore[attr-defined]
        self.waited = telemetry.data_wait


def measure_gpu(options: Options) -> Iterator[Measurement]:
    """Yield training against the same compiled step on ready tensors, its TFLOP/s, data wait, and views per second."""
    if not torch.cuda.is_available():
        raise Skipped("there is no CUDA device here, so nothing of this part was measured.")
    backbone = "test_resnet" if options.quick else "resnet18"
    data = ready(LABELED, UNLABELED, SIDE).to("cuda")
    bare = bare_step(data, backbone, "cuda", compiled=lambda network: network.compile())
    turns = Waiting({"bare": bare}, chunk=20, repeats=options.repeats)
    parts = ("backbone=timm", f"backbone.name={backbone}", "optim=sgd", "compile=default", "trainer.accelerator=gpu")
    sizes = (f"image_size={SIDE}", f"batch.labeled={LABELED}", f"batch.unlabeled={UNLABELED}", "data.channels=3")
    pool = random_pool(1000 if options.quick else POOL, SIDE)
    timed_training(turns, *parts, *sizes, "data.source.pool=448", "data.source.test=21", pool=pool)
    pairs, name = turns.pairs("bare"), f"training {LABELED}+{UNLABELED}, {SIDE} px"
    against = "compiled step on ready tensors"
    yield pairs.rates(name, against, LABELED + UNLABELED, goal=">= 0.85")
    yield pairs.rates(name, against, tera_flops(data, backbone), unit="TFLOP/s")
    yield Measurement(f"data wait, {name}", "whole time", "share", turns.waited, 1.0, turns.waited, 0.0, 1, "<= 0.02")
    yield from _views(data.unlabeled, options)


def _views(images: torch.Tensor, options: Options) -> Iterator[Measurement]:
    generator = torch.Generator().manual_seed(0)
    for name, view in (("strong", StrongView()), ("weak", WeakView())):
        view(images, generator)
        seconds = [seconds_of(lambda: view(images, generator), 20) for _ in range(options.repeats)]  # noqa: B023
        goal = [len(images) / 200_000] * len(seconds)
        yield Pairs(seconds, goal).rates(f"{name} views, {SIDE} px", "200,000 a second", len(images), goal=">= 1")
