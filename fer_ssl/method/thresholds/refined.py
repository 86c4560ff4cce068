"""Pseudo-labels refined together until their classes are distributed as they should be."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fer_ssl.errors import ConfigError
from fer_ssl.method.choices import Source
from fer_ssl.method.losses.queue import Queue
from fer_ssl.method.thresholds.aligned import Aligned
from fer_ssl.method.thresholds.alignment import Fold, Target
from fer_ssl.method.thresholds.base import Threshold
from fer_ssl.types import LabeledView

SOLVER_STEPS = 10


class Refined(Aligned):
    """Refine predictions so that those of the last `memory` faces of the pool add up to a target distribution.

    As DARP (Kim et al., NeurIPS 2020): the refined predictions are those nearest to the given ones, uncertain faces
    giving way more easily, of which each class gets the target's share; and a class is only believed where it is among
    its `kept` times that many most probable faces. `target` and `pool` are those of `Alignment`. The solution is found
    every `every` steps, once the share `warmup` of them is done. Differs in that the last faces stand for the whole
    pool, and in that the faces of a batch are refined by multipliers found before it. `max_steps` is passed by the
    program. Raises ConfigError as `Aligned` does, and for a share that is none.
    """

    multipliers: Tensor
    cuts: Tensor
    scales: Tensor
    steps: Tensor

    def __init__(
        self,
        threshold: Threshold,
        max_steps: int,
        target: Target = "labeled",
        decay: float = 0.99,
        memory: int = 2048,
        kept: float = 2.0,
        every: int = 10,
        warmup: float = 0.4,
        source: Source = "teacher",
        pool: Fold = "train",
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__(threshold, target, decay, source=source, pool=pool, class_counts=class_counts)
        if not 0 <= warmup < 1:
            raise ConfigError(f"no share of the steps is {warmup}; set alignment.warmup=0.4")
        classes = len(self.tau)
        self.seen = Queue(memory, classes, groups=0)
        self.follows_training = True
        self.kept, self.every, self.starts = kept, every, warmup * max_steps
        self.register_buffer("multipliers", torch.zeros(classes))
        self.register_buffer("cuts", torch.zeros(classes))
        self.register_buffer("scales", torch.ones(classes))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._steps = 0
        self.register_load_state_dict_post_hook(_resume)  # type: ignore[no-untyped-call]

    def count(self, probs: Tensor, labeled: LabeledView | None) -> None:
        """Count a batch of predictions, and solve when it is time."""
        super().count(probs, labeled)
        self.seen.push(probs, None, torch.ones(len(probs), dtype=torch.bool, device=probs.device))
        self._steps += 1
        self.steps.add_(1)
        if self._steps > self.starts * self.step_batches and self._steps % (self.every * self.step_batches) == 0:
            self.solve()

    def changed(self, probs: Tensor) -> Tensor:
        """Return `probs` [B, C] refined."""
        return refine(clean(probs.float(), self.cuts, self.scales), self.multipliers)

    def solve(self) -> None:
        """Find cuts, scales and multipliers for the faces in memory."""
        rows = self.seen.keys * self.seen.present.unsqueeze(1)
        wanted = self.alignment.target * self.seen.present.sum()
        places = (self.kept * wanted).long().clamp(1, len(rows)) - 1
        ordered = rows.sort(0, descending=True).values
        self.cuts.copy_(ordered.gather(0, places.unsqueeze(0)).squeeze(0))
        believed = rows * (rows >= self.cuts)
        self.scales.copy_((wanted + 1e-6) / (believed.sum(0) + 1e-6))
        cleaned = clean(rows, self.cuts, self.scales)
        present = self.seen.present.float().unsqueeze(1)
        for _ in range(SOLVER_STEPS):
            refined = refine(cleaned, self.multipliers) * present
            total = refined.sum(0)
            slope = (refined * entropy(cleaned)).sum(0) / total.clamp(min=1e-6)
            step = ((total + 1e-6).log() - (wanted + 1e-6).log()) / slope.clamp(min=1e-3)
            self.multipliers.add_(step.clamp(-1, 1)).clamp_(-30, 30)


def clean(probs: Tensor, cuts: Tensor, scales: Tensor) -> Tensor:
    """Return `probs` [B, C] without what is below the cut [C] of its class, scaled by class and normalised."""
    scaled = probs * (probs >= cuts) * scales + 1e-6
    return scaled / scaled.sum(1, keepdim=True)


def entropy(probs: Tensor) -> Tensor:
    """Return how easily each row of `probs` [B, C] gives way, [B, 1]: its entropy in nats."""
    return -torch.xlogy(probs, probs).sum(1, keepdim=True)


def refine(probs: Tensor, multipliers: Tensor) -> Tensor:
    """Return p * exp(-multiplier * entropy), normalised: the optimum of DARP's problem for given multipliers [C]."""
    return (probs.clamp(min=1e-12).log() - multipliers * entropy(probs)).softmax(1)


# the count is read on the host in every step; the buffer exists to be saved and is read once, here
def _resume(threshold: nn.Module, _: Any) -> None:
    assert isinstance(threshold, Refined)
    threshold._steps = int(threshold.steps)
