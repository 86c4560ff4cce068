"""Labels of which some classes have few."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl.errors import ConfigError
from fer_ssl.method.functional import effective_weights, frequencies
from fer_ssl.method.losses.base import Weight
from fer_ssl.method.losses.supervised import Supervised
from fer_ssl.types import Step


class LongTailed(Supervised):
    """Teach the labels so that classes with few faces are not forgotten, in any of three ways.

    `adjust` adds that much of the log class frequency to the logits (Menon et al., ICLR 2021: 1). `margin` demands that
    many logits more of the rarest class and margin * (n_min / n_c)^(1/4) of class c (LDAM, Cao et al., NeurIPS 2019).
    `balance` weighs faces by the effective number of their class, (1 - balance) / (1 - balance^n_c), normalised to mean
    1 over classes (Cui et al., CVPR 2019: .9999), once the share `defer` of the steps is done. Each is off at 0. The
    mean is over the faces of the batch, not over their weights, so that it does not depend on the number of ranks.
    `class_counts` [C] and `max_steps` are passed by the program. Raises ConfigError for a class without faces.
    """

    log_prior: Tensor
    margins: Tensor
    class_weights: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        max_steps: int,
        weight: Weight = 1.0,
        smoothing: float = 0.0,
        soft: bool = False,
        adjust: float = 0.0,
        margin: float = 0.0,
        balance: float = 0.0,
        defer: float = 0.0,
    ) -> None:
        super().__init__(weight, smoothing, soft)
        if min(class_counts) < 1:
            raise ConfigError(
                f"labels per class are {', '.join(map(str, class_counts))}, and a class without any has no weight; "
                "set data.labels_per_class, or loss=[supervised,...]"
            )
        if not 0 <= balance < 1:
            raise ConfigError(f"loss.supervised.balance={balance} is no beta of effective numbers; set it to 0.9999")
        counts = torch.tensor(class_counts, dtype=torch.float32)
        self.adjust = adjust
        self.starts = defer * max_steps
        self.register_buffer("log_prior", frequencies(class_counts).log())
        self.register_buffer("margins", margin * (counts.min() / counts) ** 0.25)
        self.register_buffer("class_weights", effective_weights(class_counts, balance))

    def forward(self, step: Step) -> Tensor:
        """Return the mean weighted cross-entropy over the labeled batch."""
        logits = step.student["labeled"].logits.float() + self.adjust * self.log_prior
        own = step.labels.unsqueeze(1)
        logits = logits.scatter_add(1, own, -self.margins[own])
        losses = F.cross_entropy(logits, self._targets(step, logits.shape[1]), reduction="none")
        return (losses * self.class_weights[step.labels]).mean() if step.global_step >= self.starts else losses.mean()
