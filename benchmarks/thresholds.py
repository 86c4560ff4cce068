"""What a threshold and the contrast add to a step."""

from collections.abc import Callable, Iterator

import torch
from loops import CLASSES, bare_step, our_module, ready
from measuring import Measurement, Options, in_turns
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl.cli import CONF
from fer_ssl.method.contrast import info_nce
from fer_ssl.method.thresholds import Threshold
from fer_ssl.types import LabeledView

POOLS = (1_000, 5_800_000)
EMBEDDING = 128


def gating(threshold: Threshold, labeled: int, unlabeled: int, pool: int) -> Callable[[], object]:
    """Return what a step asks of `threshold`: a gate of one batch of predictions, and their alignment."""
    generator = torch.Generator().manual_seed(0)
    probs, labeled_probs = (
        torch.randn(count, CLASSES, generator=generator).mul(3).softmax(1) for count in (unlabeled, labeled)
    )
    seen = LabeledView(labeled_probs, torch.arange(labeled) % CLASSES)
    rows = torch.randint(pool, (unlabeled,), generator=generator)
    return lambda: (threshold(probs, seen, rows), threshold.align(probs))


def measure_thresholds(options: Options) -> Iterator[Measurement]:
    """Yield every threshold at a small and a large pool against the bare step."""
    labeled, unlabeled = options.batches[0]
    step = bare_step(ready(labeled, unlabeled), options.backbone)
    for name in sorted(path.stem for path in (CONF / "threshold").glob("*.yaml")):
        for pool in POOLS:
            threshold = our_module("test_resnet", f"threshold={name}", pool_size=pool).threshold
            gate = gating(threshold, labeled, unlabeled, pool)
            pairs = in_turns(gate, step, options.repeats, warmup=2, calls=(20, 1))
            yield pairs.seconds(f"threshold={name}, {pool:,} ids", f"bare step {labeled}+{unlabeled}", "<= 0.005")


def plain_nt_xent(view_a: Tensor, view_b: Tensor, temperature: float) -> Tensor:
    """Return NT-Xent over all faces in the fewest operations."""
    both = torch.cat([view_a, view_b])
    similarity = (both @ both.T / temperature).fill_diagonal_(-torch.inf)
    return F.cross_entropy(similarity, torch.arange(len(both)).roll(len(view_a)))


def measure_info_nce(options: Options) -> Iterator[Measurement]:
    """Yield our masked contrast, forward and backward, against the plain one and against a step."""
    labeled, unlabeled = options.batches[-1]
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(unlabeled, EMBEDDING, generator=generator).requires_grad_() for _ in range(2))
    mask, groups = torch.rand(unlabeled, generator=generator) < 0.7, torch.arange(unlabeled) % CLASSES

    def ours() -> None:
        info_nce([F.normalize(a, dim=1), F.normalize(b, dim=1)], mask, 0.07, groups).backward()

    def plain() -> None:
        plain_nt_xent(F.normalize(a, dim=1), F.normalize(b, dim=1), 0.07).backward()

    name = f"InfoNCE, {unlabeled} faces"
    yield in_turns(ours, plain, options.repeats, calls=(10, 10)).seconds(name, "NT-Xent without mask and groups")
    step = bare_step(ready(labeled, unlabeled), options.backbone)
    yield in_turns(ours, step, options.repeats, calls=(10, 1)).seconds(name, f"bare step {labeled}+{unlabeled}")
