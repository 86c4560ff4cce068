"""Pseudo-labels blended from the classifier's opinion and from nearness to the classes' prototypes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fer_ssl import dist
from fer_ssl.errors import ConfigError
from fer_ssl.method.functional import one_hot
from fer_ssl.types import Output, Recalled


class Prototypes(nn.Module):
    """Blend predictions with the nearness of faces to the prototypes of the classes.

    As DASO (Oh et al., CVPR 2022): a prototype is the teacher's mean embedding of a class's labeled faces; nearness is
    a softmax of cosines at `temperature`; the more often a class is pseudo-labeled, the more its faces are labeled by
    nearness: v_c = m_c^(1/spread) / the largest of these. In the share `warmup` of the steps only the classifier's
    opinion counts. Differs in that prototypes and frequencies m_c are running means that forget by `decay`, not a queue
    and a count per period, and that the teacher pseudo-labels. `classes`, `width`, of an embedding, and `max_steps` are
    passed by the program. Raises ConfigError for a warm-up that leaves no step.
    """

    views = frozenset({"labeled"})
    holds = "classes"
    prototypes: Tensor
    frequency: Tensor

    def __init__(
        self,
        classes: int,
        width: int,
        max_steps: int,
        temperature: float = 0.05,
        spread: float = 1.5,
        warmup: float = 0.02,
        decay: float = 0.99,
    ) -> None:
        super().__init__()
        if not 0 <= warmup < 1:
            raise ConfigError(f"no share of the steps is {warmup}; set memory.warmup=0.02")
        self.temperature, self.spread, self.starts = temperature, spread, warmup * max_steps
        self.decay = float(decay)  # of integers, lerp takes no weight
        self.register_buffer("prototypes", torch.zeros(classes, width))
        self.register_buffer("frequency", torch.full((classes,), 1 / classes))

    @torch.no_grad()
    def forward(
        self, probs: Tensor, seen: Output, labeled: Output | None, labels: Tensor, global_step: int
    ) -> tuple[Tensor, Recalled]:
        """Return `probs` [U, C] blended, and what they were compared with; the labeled faces are remembered before."""
        assert labeled is not None
        self._remember(labeled.embeddings, labels)
        blended, recalled = self.recall(probs, seen, global_step)
        self.frequency.lerp_(one_hot(dist.gather(blended.argmax(1)), len(self.frequency)).mean(0), 1 - self.decay)
        return blended, recalled

    def recall(self, probs: Tensor, seen: Output, global_step: int) -> tuple[Tensor, Recalled]:
        """Return what forward would of what is remembered, and remember nothing."""
        keys = F.normalize(self.prototypes)
        with torch.autocast(keys.device.type, enabled=False):
            nearness = (seen.embeddings.float() @ keys.T / self.temperature).softmax(1)
        begun = torch.full((), global_step >= self.starts, device=probs.device)
        common = self.frequency ** (1 / self.spread)
        share = (common / common.max())[probs.argmax(1)].unsqueeze(1) * begun
        classes = torch.eye(len(keys), device=keys.device)
        return (1 - share) * probs + share * nearness, Recalled(keys, classes, nearness, probs, begun)

    def _remember(self, embeddings: Tensor, labels: Tensor) -> None:
        embeddings, labels = dist.gather(embeddings.float()), dist.gather(labels)
        members = one_hot(labels, len(self.prototypes))
        counts = members.sum(0).unsqueeze(1)
        with torch.autocast(embeddings.device.type, enabled=False):
            means = members.T @ embeddings / counts.clamp(min=1)
        begun = (self.prototypes != 0).any(1, keepdim=True)
        self.prototypes.lerp_(means, (counts > 0) * (1 - self.decay * begun))
