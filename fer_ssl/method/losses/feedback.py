"""Pseudo-labels that helped somebody else learn the labels are confirmed, others are not."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fer_ssl import dist
from fer_ssl.method.functional import one_hot
from fer_ssl.method.losses.base import Term, Weight, require
from fer_ssl.types import Step


class Feedback(Term):
    """Let a classifier learn the pseudo-labels and tell the model how much that helped it on the labeled faces.

    As the circuit feedback of Meta-Face2Exp (Zeng et al., CVPR 2022): with h the fall of the adapting classifier's
    labeled loss by one step of gradient descent on the pseudo-labels, the model gets h times the cross-entropy of its
    strong views against their own most probable class. Differs in that what adapts is a linear classifier on the
    model's embeddings, which it does not change, not a second network; that h is the fall by a plain step of size
    `rate`, while the optimizer moves it; and that the model is reported, not the one that adapts. `classes` and `width`
    are passed by the program. Raises ConfigError without a pool.
    """

    student_views = frozenset({"labeled", "strong"})

    def __init__(self, classes: int, width: int, weight: Weight = 1.0, rate: float = 1.0) -> None:
        super().__init__(weight)
        self.adapting = nn.Linear(width, classes)
        self.rate = rate

    def forward(self, step: Step) -> Tensor:
        """Return the adapting classifier's loss on the pseudo-labels plus the feedback to the model."""
        remedy = "set unlabeled=<pool> or loss=[supervised]"
        pseudo_labels = require(step.pseudo_labels, self, "pseudo-labels", remedy)
        strong = step.student["strong"]
        unlabeled, labeled = strong.embeddings.detach(), step.student["labeled"].embeddings.detach()
        adapting = F.cross_entropy(self.adapting(unlabeled).float(), pseudo_labels)
        own = strong.logits.float()
        confirming = F.cross_entropy(own, own.argmax(1).detach())
        with torch.autocast(own.device.type, enabled=False):  # a difference of two losses that are nearly equal
            helped = self.helped(unlabeled, pseudo_labels, labeled, step.labels)
        return adapting + helped * confirming

    @torch.no_grad()
    def helped(self, unlabeled: Tensor, pseudo_labels: Tensor, labeled: Tensor, labels: Tensor) -> Tensor:
        """Return by how much one step on the pseudo-labels of all ranks lowers the labeled loss of all ranks."""
        weight, bias = self.adapting.weight.float(), self.adapting.bias.float()
        error = F.linear(unlabeled.float(), weight, bias).softmax(1) - one_hot(pseudo_labels, len(bias))
        step = self.rate / (len(error) * dist.world_size())
        moved = weight - step * dist.all_reduce_sum(error.T @ unlabeled.float())
        shifted = bias - step * dist.all_reduce_sum(error.sum(0))
        before, after = (
            F.cross_entropy(F.linear(labeled.float(), *classifier), labels)
            for classifier in ((weight, bias), (moved, shifted))
        )
        return dist.all_reduce_sum(before - after) / dist.world_size()
