"""Labels that the student already knows wait until it has learned more from the pool."""

import math
from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl import dist
from fer_ssl.method.choices import require_choice
from fer_ssl.method.losses.base import Weight
from fer_ssl.method.losses.supervised import Supervised
from fer_ssl.types import Step

PACES: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "log": lambda t: 1 - math.exp(-5 * t),
    "exp": lambda t: math.exp(5 * (t - 1)),
}


class AnnealedSupervised(Supervised):
    """Teach only labels whose probability is still below a bound, which rises from 1 / C to 1 over `steps` steps.

    `pace` says how it rises; the mean is over the labels taught, on all ranks. Raises ConfigError for an unknown pace.
    Source: training signal annealing of UDA (NeurIPS 2020).
    """

    def __init__(
        self,
        steps: int,
        weight: Weight = 1.0,
        smoothing: float = 0.0,
        soft: bool = False,
        pace: Literal["linear", "log", "exp"] = "linear",
    ) -> None:
        super().__init__(weight, smoothing, soft)
        require_choice("loss.supervised.pace", pace, tuple(PACES))
        self.steps = steps
        self.pace = PACES[pace]

    def bound(self, global_step: int, classes: int) -> float:
        """Return the probability below which a label is taught in optimizer step `global_step`."""
        return 1 / classes + self.pace(min(global_step / self.steps, 1.0)) * (1 - 1 / classes)

    def forward(self, step: Step) -> Tensor:
        """Return the mean cross-entropy over the labels taught; 0 where there is none."""
        logits = step.student["labeled"].logits.float()
        losses = F.cross_entropy(logits, self._targets(step, logits.shape[1]), reduction="none")
        known = logits.detach().softmax(1).gather(1, step.labels.unsqueeze(1)).squeeze(1)
        taught = (known < self.bound(step.global_step, logits.shape[1])).float()
        # per rank, so that the average of ranks divides by the number of labels taught on all
        share = dist.all_reduce_sum(taught.sum()).clamp(min=1) / dist.world_size()
        return (losses * taught).sum() / share
