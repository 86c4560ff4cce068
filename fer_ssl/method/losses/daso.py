"""Pseudo-labels blended from the classifier's opinion and from nearness to the classes' prototypes."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl import dist
from fer_ssl.method.functional import consistency_loss, one_hot
from fer_ssl.method.losses.base import Term, Weight, require
from fer_ssl.types import Step


class DASO(Term):
    """Teach blended pseudo-labels on the strong view, and its nearness to the prototypes of the classes.

    As DASO (Oh et al., CVPR 2022): a prototype is the teacher's mean embedding of a class's labeled faces; nearness is
    a softmax of cosines at `temperature`; the more often a class is pseudo-labeled, the more its faces are labeled by
    nearness: v_c = m_c^(1/spread) / the largest of these. Blended labels count from `tau` on. `nearness` weighs the
    second loss. In the share `warmup` of the steps only the classifier's opinion counts. Differs in that prototypes and
    frequencies m_c are running means that forget by `decay`, not a queue and a count per period, and that the teacher
    pseudo-labels. `classes`, `width` and `max_steps` are passed by the program. Raises ConfigError without a pool.
    """

    student_views = frozenset({"strong"})
    teacher_views = frozenset({"labeled", "weak"})
    uses_embeddings = True
    prototypes: Tensor
    frequency: Tensor

    def __init__(
        self,
        classes: int,
        width: int,
        max_steps: int,
        weight: Weight = 1.0,
        tau: float = 0.95,
        temperature: float = 0.05,
        spread: float = 1.5,
        nearness: float = 1.0,
        warmup: float = 0.02,
        decay: float = 0.99,
    ) -> None:
        super().__init__(weight)
        self.tau, self.temperature, self.spread, self.nearness = tau, temperature, spread, nearness
        self.decay, self.starts = decay, warmup * max_steps
        self.register_buffer("prototypes", torch.zeros(classes, width))
        self.register_buffer("frequency", torch.full((classes,), 1 / classes))

    def forward(self, step: Step) -> Tensor:
        """Return the mean over unlabeled faces of both losses."""
        probs = require(step.probs, self, "predictions on unlabeled faces", "set unlabeled=<pool> or loss=[supervised]")
        self._remember(step.teacher["labeled"].embeddings, step.labels)
        semantic = self._nearness(step.teacher["weak"].embeddings).softmax(1)
        confidence, pseudo_labels = self.blend(probs.float(), semantic, step.global_step).max(1)
        self._count(pseudo_labels)
        strong = step.student["strong"]
        taught = consistency_loss(strong.logits, pseudo_labels, (confidence >= self.tau).float())
        aligned = F.cross_entropy(self._nearness(strong.embeddings), semantic)
        return taught + self.nearness * float(step.global_step >= self.starts) * aligned

    def blend(self, linear: Tensor, semantic: Tensor, global_step: int) -> Tensor:
        """Return the pseudo-labels [U, C] of both kinds together."""
        if global_step < self.starts:
            return linear
        common = self.frequency ** (1 / self.spread)
        share = (common / common.max())[linear.argmax(1)].unsqueeze(1)
        return (1 - share) * linear + share * semantic

    def _nearness(self, embeddings: Tensor) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            return embeddings.float() @ F.normalize(self.prototypes).T / self.temperature

    @torch.no_grad()
    def _remember(self, embeddings: Tensor, labels: Tensor) -> None:
        embeddings, labels = dist.gather(embeddings.float()), dist.gather(labels)
        members = one_hot(labels, len(self.prototypes))
        counts = members.sum(0).unsqueeze(1)
        with torch.autocast(embeddings.device.type, enabled=False):
            means = members.T @ embeddings / counts.clamp(min=1)
        begun = (self.prototypes != 0).any(1, keepdim=True)
        self.prototypes.lerp_(means, (counts > 0) * (1 - self.decay * begun))

    @torch.no_grad()
    def _count(self, pseudo_labels: Tensor) -> None:
        self.frequency.lerp_(one_hot(dist.gather(pseudo_labels), len(self.frequency)).mean(0), 1 - self.decay)
