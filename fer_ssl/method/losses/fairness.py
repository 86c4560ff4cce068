"""Keep the student from forgetting classes that are rarely kept."""

import torch
from torch import Tensor

from fer_ssl import dist
from fer_ssl.method.functional import one_hot
from fer_ssl.method.losses.base import Term, Weight, require
from fer_ssl.types import Step


class Fairness(Term):
    """Push the student's mean prediction on kept strong views away from the running one of the pseudo-labeler.

    Both means are over all ranks, and divided by the histogram of their own arg-maxes first. Raises ConfigError in a
    run without a pool. Source: self-adaptive fairness of FreeMatch (ICLR 2023), with the sign of the authors' release.
    """

    student_views = frozenset({"strong"})
    prior: Tensor
    histogram: Tensor

    def __init__(self, classes: int, weight: Weight = 0.001, decay: float = 0.999) -> None:
        super().__init__(weight)
        self.decay = decay
        self.register_buffer("prior", torch.full((classes,), 1 / classes))
        self.register_buffer("histogram", torch.full((classes,), 1 / classes))

    def forward(self, step: Step) -> Tensor:
        """Return sum over classes of N(P / H) log N(p / h), N normalising to 1; 0 when nothing is kept."""
        remedy = "remove fairness from loss or set unlabeled=<pool>"
        self._count(dist.gather(require(step.probs, self, "predictions on unlabeled faces", remedy).float()))
        kept = dist.gather((require(step.gate, self, "a threshold's gate", remedy).keep > 0).float())
        probs = dist.gather_with_grad(step.student["strong"].logits.float().softmax(1))
        weights = kept / kept.sum().clamp(min=1)
        with torch.autocast(probs.device.type, enabled=False):
            mean, histogram = weights @ probs, weights @ one_hot(probs.argmax(1), probs.shape[1])
        log_student = (_balanced(mean, histogram) + 1e-12).log()
        return (_balanced(self.prior, self.histogram) * log_student).sum() * kept.amax()

    @torch.no_grad()
    def _count(self, probs: Tensor) -> None:
        self.prior.lerp_(probs.mean(0), 1 - self.decay)
        self.histogram.lerp_(one_hot(probs.argmax(1), probs.shape[1]).mean(0), 1 - self.decay)


def _balanced(mean: Tensor, histogram: Tensor) -> Tensor:
    # dividing by infinity, not selecting afterwards, keeps an absent class out of the gradient without NaN
    scaled = mean / torch.where(histogram > 0, histogram, torch.inf)
    return scaled / scaled.sum().clamp(min=1e-12)
