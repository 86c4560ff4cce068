"""Two classifiers on one backbone: a balanced one, which is reported, and a plain one, which shapes the features."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fer_ssl.errors import ConfigError
from fer_ssl.method.functional import consistency_loss
from fer_ssl.method.losses.base import Term, Weight, require
from fer_ssl.types import Step

STRONG = ("strong", "strong2")
REMEDY = "set unlabeled=<pool> or loss=[supervised]"


class Balanced(Term):
    """Teach the model's classifier labels and kept targets, each face counted by n_min / n_c of its class c.

    For unlabeled faces c is the pseudo-label, and the weight falls from 1 to n_min / n_c in the course of `max_steps`,
    to 0 for a class that no labeled face shows. Both strong views count in full. As the auxiliary balanced classifier
    of ABC (Lee et al., NeurIPS 2021), whose random masks have these weights as their means; it is the model's own
    classifier here, and `Plain` is the auxiliary one. `class_counts` [C] and `max_steps` are passed by the program.
    Raises ConfigError in a run without a pool.
    """

    student_views = frozenset({"labeled", *STRONG})
    rarity: Tensor

    def __init__(self, class_counts: Sequence[int], max_steps: int, weight: Weight = 1.0) -> None:
        super().__init__(weight)
        counts = torch.tensor(class_counts, dtype=torch.float32)
        self.max_steps = max_steps
        self.register_buffer("rarity", torch.where(counts > 0, counts[counts > 0].min() / counts, 0.0))

    def forward(self, step: Step) -> Tensor:
        """Return the sum of the means over the labeled batch and over each strong view of the unlabeled one."""
        targets = require(step.targets, self, "targets of unlabeled faces", REMEDY)
        pseudo_labels = require(step.pseudo_labels, self, "pseudo-labels", REMEDY)
        gate = require(step.gate, self, "a threshold's gate", REMEDY)
        labeled = consistency_loss(step.student["labeled"].logits, step.labels, self.rarity[step.labels])
        gradual = 1 - step.global_step / self.max_steps * (1 - self.rarity[pseudo_labels])
        strong = [consistency_loss(step.student[view].logits, targets, gate.keep * gradual) for view in STRONG]
        return labeled + torch.stack(strong).sum()


class Plain(Term):
    """Train the features by FixMatch with a linear classifier of their own, which is not reported.

    It sees the embeddings, so set head.projection=null; of unit norm, they are multiplied by `scale`. The teacher's
    weak view is pseudo-labeled from `tau` on by the present classifier on averaged features, and taught on the mean of
    both strong ones. `classes` and `width` are passed by the program. Raises ConfigError unless scale > 0.
    """

    student_views = frozenset({"labeled", *STRONG})
    teacher_views = frozenset({"weak"})
    uses_logits = False
    uses_embeddings = True
    uses_pseudo_labels = False

    def __init__(self, classes: int, width: int, weight: Weight = 1.0, tau: float = 0.95, scale: float = 16.0) -> None:
        super().__init__(weight)
        if scale <= 0:
            raise ConfigError(
                f"embeddings times loss.plain.scale={scale} tell no class from another; set loss.plain.scale above 0"
            )
        self.classifier = nn.Linear(width, classes)
        self.tau, self.scale = tau, scale

    def forward(self, step: Step) -> Tensor:
        """Return the sum of the supervised and the pseudo-label loss."""
        with torch.no_grad():
            confidence, pseudo_labels = self._logits(step.teacher["weak"].embeddings).softmax(1).max(1)
        labeled = F.cross_entropy(self._logits(step.student["labeled"].embeddings), step.labels)
        keep = (confidence >= self.tau).float()
        strong = [self._logits(step.student[view].embeddings) for view in STRONG]
        return labeled + torch.stack([consistency_loss(logits, pseudo_labels, keep) for logits in strong]).mean()

    def _logits(self, embeddings: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.scale * embeddings)
        return logits.float()
