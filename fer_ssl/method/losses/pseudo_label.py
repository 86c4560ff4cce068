"""Consistency of the student's view with what the teacher saw in the weak one."""

from torch import Tensor

from fer_ssl.method.choices import UNLABELED_VIEWS, require_choice
from fer_ssl.method.functional import Kind, consistency_loss
from fer_ssl.method.losses.base import Term, Weight, require
from fer_ssl.types import Step


class PseudoLabel(Term):
    """Teach the kept targets on one `view`, the strong one by default; the mean counts the faces left out too.

    `kind` is cross-entropy or the squared distance of probabilities. `margin` adds that much of the log of the running
    mean prediction to the logits, so that classes predicted rarely are learned by a wider margin (DebiasPL, CVPR 2022).
    Raises ConfigError for an unknown choice, in a run without a pool, and for a margin without alignment. Source:
    FixMatch (NeurIPS 2020).
    """

    def __init__(self, weight: Weight = 1.0, kind: Kind = "ce", view: str = "strong", margin: float = 0.0) -> None:
        super().__init__(weight)
        require_choice("loss.pseudo_label.kind", kind, ("ce", "mse"))
        require_choice("loss.pseudo_label.view", view, UNLABELED_VIEWS)
        self.kind, self.view, self.margin = kind, view, margin
        self.student_views = frozenset({view})

    def forward(self, step: Step) -> Tensor:
        """Return the mean over all unlabeled faces of keep times their loss."""
        remedy = "set unlabeled=<pool> or loss=[supervised]"
        targets = require(step.targets, self, "targets of unlabeled faces", remedy)
        gate = require(step.gate, self, "a threshold's gate", remedy)
        logits = step.student[self.view].logits.float()
        if self.margin:
            prior = require(gate.prior, self, "the running mean prediction", "set alignment=debias or another")
            logits = logits + self.margin * prior.clamp(min=1e-6).log()
        return consistency_loss(logits, targets, gate.keep, self.kind)
