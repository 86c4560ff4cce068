"""Cross-entropy on the labeled faces."""

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl.method.functional import one_hot
from fer_ssl.method.losses.base import Term, Weight, require
from fer_ssl.types import Step


class Supervised(Term):
    """Teach the labels, smoothed by `smoothing`, or the votes of the annotators when `soft`.

    Raises ConfigError when `soft` and the data has no votes.
    """

    student_views = frozenset({"labeled"})
    uses_pseudo_labels = False

    def __init__(self, weight: Weight = 1.0, smoothing: float = 0.0, soft: bool = False) -> None:
        super().__init__(weight)
        self.smoothing = smoothing
        self.soft = soft

    def forward(self, step: Step) -> Tensor:
        """Return the mean cross-entropy over the labeled batch."""
        logits = step.student["labeled"].logits.float()
        return F.cross_entropy(logits, self._targets(step, logits.shape[1]))

    def _targets(self, step: Step, classes: int) -> Tensor:
        if self.soft:
            return require(step.soft_labels, self, "annotators' votes", "set loss.supervised.soft=false")
        return one_hot(step.labels, classes, self.smoothing) if self.smoothing else step.labels
