"""Labels that occur equally often, taught to a classifier for faces of which some classes are rare."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl import dist
from fer_ssl.method.losses.base import Weight, require
from fer_ssl.method.losses.supervised import Supervised
from fer_ssl.method.ramp import Ramp, at, checked
from fer_ssl.types import Step


class PoolAdjusted(Supervised):
    """Teach class-balanced labels so that predictions follow the prior of the pool instead of the balanced one.

    The logits of labeled faces lose `strength` times the log of the pool's prior, as in training they are seen without
    it; the prior is the running mean of the teacher's predictions on unlabeled faces of all ranks, which is a step of
    expectation-maximisation per batch (Saerens et al., Neural Computation 2002) inside the logit adjustment of Menon et
    al. (ICLR 2021). Predictions that tell no classes apart confirm whatever prior they are given: below a strength of 1
    it decays to the balanced one, so `strength` may be a `Ramp` that waits for features. No class is believed to be
    rarer than `floor` times its even share. Raises ConfigError without a pool.
    """

    uses_pseudo_labels = True
    prior: Tensor

    def __init__(
        self,
        classes: int,
        weight: Weight = 1.0,
        smoothing: float = 0.0,
        soft: bool = False,
        strength: float | Ramp = 1.0,
        decay: float = 0.99,
        floor: float = 0.05,
    ) -> None:
        super().__init__(weight, smoothing, soft)
        self.strength = checked(strength, "strength")
        self.decay, self.floor = decay, floor / classes
        self.register_buffer("prior", torch.full((classes,), 1 / classes))

    def forward(self, step: Step) -> Tensor:
        """Return the mean cross-entropy over the labeled batch, the prior taken out of its logits."""
        remedy = "set unlabeled=<pool> or loss=[supervised]"
        self._count(require(step.probs, self, "predictions on unlabeled faces", remedy))
        log_prior = self.prior.clamp(min=self.floor).log()
        logits = step.student["labeled"].logits.float() - at(self.strength, step.global_step) * log_prior
        return F.cross_entropy(logits, self._targets(step, logits.shape[1]))

    @torch.no_grad()
    def _count(self, probs: Tensor) -> None:
        self.prior.lerp_(dist.gather(probs.float()).mean(0), 1 - self.decay)
