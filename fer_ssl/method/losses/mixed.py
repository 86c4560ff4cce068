"""The labels of mixed faces."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fer_ssl.errors import ConfigError
from fer_ssl.method.choices import UNLABELED_VIEWS, require_choice
from fer_ssl.method.functional import Kind, consistency_loss
from fer_ssl.method.losses.base import Term, Weight
from fer_ssl.types import Step


class MixedFaces(Term):
    """Teach the mixed targets on the mixed faces of some `views`, whatever the threshold says of the unmixed ones.

    `kind` is cross-entropy or the squared distance of probabilities. All views that terms name are mixed with each
    other. Raises ConfigError for an unknown choice. Source: MixMatch (NeurIPS 2019).
    """

    def __init__(self, views: Sequence[str], weight: Weight = 1.0, kind: Kind = "ce") -> None:
        super().__init__(weight)
        require_choice("loss.<term>.kind", kind, ("ce", "mse"))
        for view in views:
            require_choice("loss.<term>.views", view, ("labeled", *UNLABELED_VIEWS))
        if not views:
            raise ConfigError("a term over mixed faces reads no view; set loss.<term>.views=[labeled]")
        self.kind = kind
        self.mixed_views = frozenset(views)
        self.uses_pseudo_labels = self.mixed_views != {"labeled"}

    def forward(self, step: Step) -> Tensor:
        """Return the mean over all faces of the views."""
        losses = []
        for view in sorted(self.mixed_views):
            logits, targets = step.student[f"mixed_{view}"].logits, step.mixed[view]
            losses.append(consistency_loss(logits, targets, torch.ones_like(targets[:, 0]), self.kind))
        return torch.stack(losses).mean()
