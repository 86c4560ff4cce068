"""Consistency of the student's views with what the teacher saw in the weak one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fer_ssl.errors import ConfigError
from fer_ssl.method.choices import UNLABELED_VIEWS, require_choice
from fer_ssl.method.functional import Kind, consistency_loss
from fer_ssl.method.losses.base import Term, Weight, require
from fer_ssl.types import Gate, Step


class PseudoLabel(Term):
    """Teach the kept targets on each of `views`, the strong one by default; the mean counts the faces left out too.

    `kind` is cross-entropy or the squared distance of probabilities. `margin` adds that much of the log of the running
    mean prediction to the logits, so that classes predicted rarely are learned by a wider margin (DebiasPL, CVPR 2022).
    Raises ConfigError for an unknown choice, for no view, in a run without a pool, and for a margin without alignment.
    Source: FixMatch (NeurIPS 2020).
    """

    def __init__(
        self, weight: Weight = 1.0, kind: Kind = "ce", views: Sequence[str] = ("strong",), margin: float = 0.0
    ) -> None:
        super().__init__(weight)
        require_choice("loss.pseudo_label.kind", kind, ("ce", "mse"))
        for view in views:
            require_choice("loss.pseudo_label.views", view, UNLABELED_VIEWS)
        if not views:
            raise ConfigError("no view is taught; set loss.pseudo_label.views=[strong]")
        self.kind, self.margin = kind, margin
        self.views = tuple(views)
        self.student_views = frozenset(views)

    def forward(self, step: Step) -> Tensor:
        """Return the mean over all unlabeled faces and views of keep times their loss."""
        remedy = "set unlabeled=<pool> or loss=[supervised]"
        targets = require(step.targets, self, "targets of unlabeled faces", remedy)
        gate = require(step.gate, self, "a threshold's gate", remedy)
        losses = [consistency_loss(logits, targets, gate.keep, self.kind) for logits in self._logits(step, gate)]
        return torch.stack(losses).mean()

    def _logits(self, step: Step, gate: Gate) -> list[Tensor]:
        """Return the logits [U, C] of each view, those of rarely predicted classes lowered by the margin."""
        logits = [step.student[view].logits.float() for view in self.views]
        if not self.margin:
            return logits
        prior = require(gate.prior, self, "the running mean prediction", "set alignment=debias or another")
        lowering = self.margin * prior.clamp(min=1e-6).log()
        return [each + lowering for each in logits]
