"""What earlier batches say of faces that look alike."""

import torch
from torch import Tensor, nn

from fer_ssl.errors import ConfigError
from fer_ssl.method.functional import one_hot
from fer_ssl.method.losses.queue import Queue
from fer_ssl.method.thresholds.recent import RecentAlignment
from fer_ssl.types import Output, Recalled


class Forgetful(nn.Module):
    """No memory: predictions stay as they are."""

    views = frozenset[str]()
    holds: str | None = None

    def forward(
        self, probs: Tensor, seen: Output, labeled: Output | None, labels: Tensor, global_step: int
    ) -> tuple[Tensor, Recalled | None]:
        """Return `probs` [U, C] and None."""
        return probs, None

    def recall(self, probs: Tensor, seen: Output, global_step: int) -> tuple[Tensor, Recalled | None]:
        """Return `probs` [U, C] and None."""
        return probs, None


class Memory(nn.Module):
    """Smooth predictions by those of their neighbours among the last `size` faces that the teacher embedded.

    Neighbours are weighed by the softmax of their cosine similarity over `temperature`, their mean counts 1 - `own`.
    The memory holds labeled faces with their labels and, with `unlabeled`, faces of the pool with their unsmoothed
    predictions; it smooths once it is full. Predictions are first aligned to a uniform distribution over the last
    `alignment` batches; 0 leaves them. `classes` and `width`, of an embedding, are passed by the program. Raises
    ConfigError for a memory of no face. Sources: CoMatch (ICCV 2021), SimMatch (CVPR 2022).
    """

    views = frozenset({"labeled"})
    holds = "faces"

    def __init__(
        self,
        classes: int,
        width: int,
        size: int = 2560,
        temperature: float = 0.2,
        own: float = 0.9,
        unlabeled: bool = True,
        alignment: int = 32,
    ) -> None:
        super().__init__()
        if size < 1:
            raise ConfigError(f"memory.size={size} remembers nothing; set memory=none or memory.size=2560")
        self.classes, self.width = classes, width
        self.temperature, self.own, self.unlabeled = temperature, own, unlabeled
        self.queue = Queue(size, width + classes, groups=0)
        self.alignment = RecentAlignment(classes, alignment) if alignment else None

    @torch.no_grad()
    def forward(
        self, probs: Tensor, seen: Output, labeled: Output | None, labels: Tensor, global_step: int
    ) -> tuple[Tensor, Recalled]:
        """Return `probs` [U, C] smoothed, and what was recalled, before the batch itself is remembered.

        `seen` and `labeled` are the teacher's outputs on the unlabeled faces and on those with `labels` int64 [L].
        """
        assert labeled is not None
        if self.alignment is not None:
            self.alignment.update(probs)
        smoothed, recalled = self.recall(probs, seen, global_step)
        if self.unlabeled:
            self._remember(seen.embeddings, recalled.aligned)
        self._remember(labeled.embeddings, one_hot(labels, self.classes))
        return smoothed, recalled

    def recall(self, probs: Tensor, seen: Output, global_step: int) -> tuple[Tensor, Recalled]:
        """Return what forward would of what is remembered, and remember nothing."""
        held = self.queue.negatives()
        keys, known = held.keys.split([self.width, self.classes], 1)
        with torch.autocast(keys.device.type, enabled=False):
            weights = (seen.embeddings.float() @ keys.T / self.temperature).softmax(1)
            aligned = probs if self.alignment is None else self.alignment(probs)
            neighbours = self.own * aligned + (1 - self.own) * weights @ known
        full = held.present.all()
        return torch.where(full, neighbours, aligned), Recalled(keys, known, weights, aligned, full)

    def _remember(self, embeddings: Tensor, probs: Tensor) -> None:
        present = torch.ones(len(probs), dtype=torch.bool, device=probs.device)
        self.queue.push(torch.cat([embeddings.float(), probs], 1), None, present)
