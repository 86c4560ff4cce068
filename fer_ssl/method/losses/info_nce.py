"""Contrast between the faces that the threshold left out."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from fer_ssl.errors import ConfigError
from fer_ssl.method.choices import UNLABELED_VIEWS, Source, require_choice
from fer_ssl.method.contrast import info_nce
from fer_ssl.method.losses.base import Term, Weight, require
from fer_ssl.method.losses.queue import Queue
from fer_ssl.types import Step

SameIdentity = Literal["negative", "exclude", "positive"]
NAMELESS = "set loss.infonce.same_identity=negative, or unlabeled to a pool that names people"


class InfoNCE(Term):
    """Pull the views of an uncertain face together and push other uncertain faces away.

    `views` are the student's, every two of them a pair, and the term is the mean over pairs; when `against` is
    `teacher` they are two, the second the teacher's without gradient. `uncertain_only` takes faces whose keep is 0,
    else all. `drop_agreeing` spares negatives with the same pseudo-label, which are likely of the same class. Other
    faces of the same person are negatives like all, or left out, or positives, as `same_identity` says. A `queue` keeps
    that many embeddings of the teacher as further negatives (MoCo); `width`, of an embedding, is passed by the program.
    Raises ConfigError for an unknown choice, for views that make no pair, and for a queue that has no teacher or would
    hold positives. Source of the mean over pairs: full-graph contrastive multiview coding (Tian et al., ECCV 2020).
    """

    uses_logits = False
    uses_embeddings = True

    def __init__(
        self,
        weight: Weight = 0.1,
        temperature: float = 0.07,
        views: Sequence[str] = ("strong", "weak"),
        against: Source = "student",
        uncertain_only: bool = True,
        drop_agreeing: bool = False,
        same_identity: SameIdentity = "negative",
        queue: int = 0,
        width: int | None = None,
    ) -> None:
        super().__init__(weight)
        require_choice("loss.infonce.against", against, ("student", "teacher"))
        require_choice("loss.infonce.same_identity", same_identity, ("negative", "exclude", "positive"))
        self.views = _different(views, against)
        self.temperature = temperature
        self.against = against
        self.uncertain_only = uncertain_only
        self.drop_agreeing = drop_agreeing
        self.same_identity = same_identity
        self.queue = _queue(queue, width, against, same_identity, drop_agreeing + (same_identity == "exclude"))
        self.uses_pseudo_labels = uncertain_only or drop_agreeing
        self.student_views = frozenset(self.views[:1] if against == "teacher" else self.views)
        self.teacher_views = frozenset(self.views[1:] if against == "teacher" else ())

    def forward(self, step: Step) -> Tensor:
        """Return the mean over all views of the faces that take part; 0 when too few take part."""
        views, mask, groups = self._views(step), self._mask(step), self._groups(step)
        people = self._identities(step) if self.same_identity == "positive" else None
        negatives = None if self.queue is None else self.queue.negatives()
        loss = info_nce(views, mask, self.temperature, groups, people, negatives)
        if self.queue is not None:
            self.queue.push(views[1], groups, mask)
        return loss

    def _views(self, step: Step) -> list[Tensor]:
        """Return the embeddings [B, D] of the views."""
        if self.against == "teacher":
            return [step.student[self.views[0]].embeddings, step.teacher[self.views[1]].embeddings]
        return [step.student[view].embeddings for view in self.views]

    def _mask(self, step: Step) -> Tensor | None:
        """Return which faces take part, bool [B], None for all."""
        if not self.uncertain_only:
            return None
        remedy = "set unlabeled=<pool> or loss.infonce.uncertain_only=false"
        return require(step.gate, self, "a threshold's gate", remedy).keep == 0

    def _groups(self, step: Step) -> Tensor | None:
        """Return int64 [B, G]: faces that share one of G numbers are no negatives of each other."""
        groups = []
        if self.drop_agreeing:
            groups.append(require(step.pseudo_labels, self, "pseudo-labels", "set loss.infonce.drop_agreeing=false"))
        if self.same_identity == "exclude":
            groups.append(self._identities(step))
        return torch.stack(groups, 1) if groups else None

    def _identities(self, step: Step) -> Tensor:
        return require(step.identities, self, "the people of the pool", NAMELESS)


def _queue(size: int, width: int | None, against: str, same_identity: str, groups: int) -> Queue | None:
    if not isinstance(size, int) or size < 0:
        raise ConfigError(f"a queue holds a number of embeddings, not {size!r}; set loss.infonce.queue=0 or 384")
    if not size:
        return None
    if against != "teacher" or same_identity == "positive":
        raise ConfigError(
            "a queue holds negatives that the teacher embedded; set loss.infonce.against=teacher and "
            "loss.infonce.same_identity=exclude or negative, or loss.infonce.queue=0"
        )
    if width is None:
        raise ConfigError("a queue needs the width of embeddings; set loss.infonce.width=<numbers of an embedding>")
    return Queue(size, width, groups)


def _different(views: Sequence[str], against: str) -> tuple[str, ...]:
    for view in views:
        require_choice("loss.infonce.views", view, UNLABELED_VIEWS)
    if against == "teacher" and len(views) != 2:
        raise ConfigError("InfoNCE compares one view with one of the teacher's; set loss.infonce.views=[strong,weak]")
    if len(views) < 2 or (against == "student" and len(set(views)) < len(views)):
        raise ConfigError("InfoNCE compares different views; set loss.infonce.views=[strong,weak]")
    return tuple(views)
