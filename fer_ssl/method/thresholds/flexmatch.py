"""Curriculum pseudo-labeling: classes that are learned slowly get lower thresholds."""

import torch
from torch import Tensor

from fer_ssl import dist
from fer_ssl.errors import ConfigError
from fer_ssl.method.thresholds.base import Threshold
from fer_ssl.types import Gate, LabeledView


class FlexMatchThreshold(Threshold):
    """Scale `tau` by how many faces of the pool each class has won so far.

    A face counts for the class it last reached the fixed `tau` with; a step gates before it counts. While `warmup`
    holds, faces that no class has won count as one more class. Raises ConfigError for more than 127 classes and for
    a batch without pool rows. Source: FlexMatch (NeurIPS 2021).
    """

    selected: Tensor  # int8 [pool_size], -1 where no class has won the face
    counts: Tensor  # int64 [C + 1], the last for the faces that no class has won
    follows_training = True

    def __init__(self, classes: int, pool_size: int, tau: float = 0.95, warmup: bool = True) -> None:
        super().__init__(classes, 0.0)
        if classes > torch.iinfo(torch.int8).max:
            raise ConfigError(
                f"FlexMatch keeps labels in one byte, too small for {classes} classes; set threshold=freematch"
            )
        self.fixed = tau
        self.warmup = warmup
        self.register_buffer("selected", torch.full((pool_size,), -1, dtype=torch.int8))
        self.register_buffer("counts", torch.tensor([0] * classes + [pool_size]))

    @torch.no_grad()
    def forward(self, probs: Tensor, labeled: LabeledView | None = None, pool_rows: Tensor | None = None) -> Gate:
        """Return the gate of `probs` [B, C], then count the faces at `pool_rows` int64 [B]."""
        if pool_rows is None:
            raise ConfigError("FlexMatch counts faces of a pool and got none; set unlabeled=<pool> or threshold=fixed")
        gate = self.gate(probs)
        confidence, labels = dist.gather(probs.float()).max(1)
        self._count(dist.gather(pool_rows), labels, confidence >= self.fixed)
        learned = self.learned
        self.tau.copy_(self.fixed * learned / (2 - learned))
        return gate

    @property
    def learned(self) -> Tensor:
        """How far each class is learned, float [C] in [0, 1]."""
        rivals = self.counts if self.warmup else self.counts[:-1]
        return self.counts[:-1] / rivals.max().clamp(min=1)

    def _count(self, rows: Tensor, labels: Tensor, confident: Tensor) -> None:
        """Move confident faces to their new class; of a face drawn twice, the last confident draw counts."""
        key, order = torch.where(confident, rows, -1).sort(stable=True)
        last = torch.ones_like(key, dtype=torch.bool)
        last[:-1] = key[1:] != key[:-1]
        moves = (last & (key >= 0)).long()
        rows, new = rows[order], labels[order]
        old = self.selected[rows].long()
        self.selected.index_add_(0, rows, (moves * (new - old)).to(torch.int8))
        self.counts.index_add_(0, old % len(self.counts), -moves).index_add_(0, new, moves)
