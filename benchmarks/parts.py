"""What the parts of a run cost beside what they cannot do without."""

import subprocess
import sys
from collections.abc import Iterator

import torch
from step import CLASSES, SIDE, faces, our_module, our_step
from timing import Figure, paired

from fer_ssl.data.images import ResidentImages
from fer_ssl.data.loader import EvalLoader
from fer_ssl.method.functional import info_nce
from fer_ssl.method.thresholds import (
    AdaMatchThreshold,
    DynamicThreshold,
    FixedThreshold,
    FlexMatchThreshold,
    FreeMatchThreshold,
    SoftMatchThreshold,
    Threshold,
)
from fer_ssl.scoring import score
from fer_ssl.types import Faces, LabeledView

POOLS = (1_000, 5_800_000)


def thresholds(pool_size: int) -> dict[str, Threshold]:
    """Return every threshold for a pool of `pool_size` faces."""
    return {
        "fixed": FixedThreshold(CLASSES),
        "dtm": DynamicThreshold(CLASSES),
        "flexmatch": FlexMatchThreshold(CLASSES, pool_size),
        "freematch": FreeMatchThreshold(CLASSES),
        "softmatch": SoftMatchThreshold(CLASSES),
        "adamatch": AdaMatchThreshold(CLASSES),
    }


def figures(repeats: int) -> Iterator[Figure]:
    """Yield the share of a step of 32 + 96 faces that thresholds, EMA and InfoNCE take, and evaluation's overhead."""
    step = our_step(*faces(32, 96))
    probs = torch.randn(96, CLASSES).softmax(1)
    labeled = LabeledView(torch.randn(32, CLASSES).softmax(1), torch.arange(32) % CLASSES)
    for pool_size in POOLS:
        rows = torch.randint(0, pool_size, (96,))
        for name, threshold in thresholds(pool_size).items():
            gate = _gating(threshold, probs, labeled, rows)
            yield paired(f"{name}, {pool_size:,} faces", gate, step, "a step", "<= 0.005", repeats)
    module = our_module()
    yield paired("EMA", lambda: module.teacher.update(module.model), step, "a step", "<= 0.01", repeats)
    yield paired("InfoNCE of 96 pairs", _contrast(), step, "a step", "-", repeats)
    yield _evaluation(repeats)
    yield _start(repeats)


def _gating(threshold: Threshold, probs: torch.Tensor, labeled: LabeledView, rows: torch.Tensor):
    return lambda: threshold(probs, labeled, rows)


def _contrast():
    views = torch.nn.functional.normalize(torch.randn(2, 96, 128), dim=2).requires_grad_()
    mask = torch.arange(96) % 4 > 0
    return lambda: info_nce(*views, mask, 0.07).backward()


def _evaluation(repeats: int) -> Figure:
    model = our_module().teacher.average
    images = torch.randint(0, 256, (3589, 1, SIDE, SIDE), dtype=torch.uint8)
    ids = torch.arange(len(images)).numpy().astype(str)
    split = Faces(ResidentImages(images), ids, torch.arange(len(images)) % CLASSES)

    @torch.inference_mode()
    def bare() -> None:
        for block in images.split(512):
            model(block)

    ours = lambda: score(model, EvalLoader(split, 512), CLASSES)  # noqa: E731
    return paired("evaluation of 3,589 faces", ours, bare, "bare passes", "<= 1.05", max(3, repeats // 5))


def _start(repeats: int) -> Figure:
    def run(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

    help_page = lambda: run("-m", "fer_ssl.train", "--help")  # noqa: E731
    return paired("--help", help_page, lambda: run("-c", "import hydra"), "import hydra", "-", max(3, repeats // 5))
