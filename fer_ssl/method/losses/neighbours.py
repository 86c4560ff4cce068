"""Contrast that knows which faces are alike: by their pseudo-labels, or by a memory of labeled faces or classes."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl import dist
from fer_ssl.method.losses.base import Term, Weight, require
from fer_ssl.types import Step


class GraphContrast(Term):
    """Let the similarities between two strong views follow those between pseudo-labels.

    Faces whose probabilities have an inner product below `cut` are not connected; each is with itself. Faces of all
    ranks are compared. Raises ConfigError in a run without a pool. Source: CoMatch (ICCV 2021).
    """

    student_views = frozenset({"strong", "strong2"})
    uses_logits = False
    uses_embeddings = True

    def __init__(self, weight: Weight = 1.0, temperature: float = 0.2, cut: float = 0.8) -> None:
        super().__init__(weight)
        self.temperature, self.cut = temperature, cut

    def forward(self, step: Step) -> Tensor:
        """Return the mean cross-entropy over the rows of the two graphs, in float32."""
        remedy = "set unlabeled=<pool> or remove graph from loss"
        graph = self._graph(dist.gather(require(step.probs, self, "predictions on unlabeled faces", remedy)))
        views = (dist.gather_with_grad(step.student[view].embeddings.float()) for view in ("strong", "strong2"))
        first, second = views
        with torch.autocast(first.device.type, enabled=False):
            similarity = first @ second.T / self.temperature
        return -(graph * similarity.log_softmax(1)).sum(1).mean()

    def _graph(self, probs: Tensor) -> Tensor:
        with torch.autocast(probs.device.type, enabled=False):
            agreement = (probs @ probs.T).fill_diagonal_(1)
        connected = torch.where(agreement >= self.cut, agreement, 0.0)
        return connected / connected.sum(1, keepdim=True)


class InstanceSimilarity(Term):
    """Let the strong view be as similar to remembered labeled faces as the weak view is.

    The weak view's similarities are weighed by the probability of each face's label. The term is 0 until the memory is
    full. Raises ConfigError without a memory. Source: SimMatch (CVPR 2022).
    """

    student_views = frozenset({"strong"})
    uses_logits = False
    uses_embeddings = True
    recalls = "faces"

    def __init__(self, weight: Weight = 1.0, temperature: float = 0.1) -> None:
        super().__init__(weight)
        self.temperature = temperature

    def forward(self, step: Step) -> Tensor:
        """Return the mean cross-entropy between the similarities of both views, in float32."""
        recalled = require(step.recalled, self, "a memory of faces", "set memory=labeled")
        embeddings = step.student["strong"].embeddings.float()
        with torch.autocast(embeddings.device.type, enabled=False):
            weighed = recalled.weights * (recalled.aligned @ recalled.probs.T)
            similarity = embeddings @ recalled.keys.T / self.temperature
        target = weighed / weighed.sum(1, keepdim=True).clamp(min=1e-12)
        return -(target * similarity.log_softmax(1)).sum(1).mean() * recalled.full


class Nearness(Term):
    """Let the strong view be as near to the prototypes of the classes as the weak view is.

    The term is 0 until predictions are blended. Raises ConfigError without a memory. Source: DASO (CVPR 2022).
    """

    student_views = frozenset({"strong"})
    uses_logits = False
    uses_embeddings = True
    recalls = "classes"

    def __init__(self, weight: Weight = 1.0, temperature: float = 0.05) -> None:
        super().__init__(weight)
        self.temperature = temperature

    def forward(self, step: Step) -> Tensor:
        """Return the mean cross-entropy between the nearness of both views, in float32."""
        recalled = require(step.recalled, self, "a memory of classes", "set memory=prototypes")
        embeddings = step.student["strong"].embeddings.float()
        with torch.autocast(embeddings.device.type, enabled=False):
            similarity = embeddings @ recalled.keys.T / self.temperature
        return F.cross_entropy(similarity, recalled.weights) * recalled.full
