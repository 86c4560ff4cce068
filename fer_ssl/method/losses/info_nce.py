"""Contrast between the faces that the threshold left out."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fer_ssl.errors import ConfigError
from fer_ssl.method.choices import Source, require_choice
from fer_ssl.method.functional import info_nce
from fer_ssl.method.losses.base import Term, require
from fer_ssl.types import Output, Step

UNLABELED_VIEWS = ("strong", "weak", "weak2")


class InfoNCE(Term):
    """Pull two views of an uncertain face together and push other uncertain faces away.

    The first of `views` is the student's; the second is the student's too, or the teacher's without gradient when
    `against` is `teacher`. `uncertain_only` takes faces whose keep is 0, else all. `drop_agreeing` spares negatives
    with the same pseudo-label, which are likely of the same class. Raises ConfigError for an unknown choice.
    """

    uses_embeddings = True

    def __init__(
        self,
        weight: float = 0.1,
        temperature: float = 0.07,
        views: Sequence[str] = ("strong", "weak"),
        against: Source = "student",
        uncertain_only: bool = True,
        drop_agreeing: bool = False,
    ) -> None:
        super().__init__(weight)
        require_choice("loss.infonce.against", against, ("student", "teacher"))
        self.first, self.second = _two(views, against)
        self.temperature = temperature
        self.against = against
        self.uncertain_only = uncertain_only
        self.drop_agreeing = drop_agreeing
        self.uses_pseudo_labels = uncertain_only or drop_agreeing or against == "teacher"
        self.student_views = frozenset({self.first} if against == "teacher" else {self.first, self.second})
        self.teacher_views = frozenset({self.second} if against == "teacher" else {})

    def forward(self, step: Step) -> Tensor:
        """Return the mean over both views of the faces that take part; 0 when fewer than two do."""
        view_a = step.student[self.first].embeddings
        view_b = self._other(step).embeddings
        return info_nce(view_a, view_b, self._mask(step, view_a), self.temperature, self._groups(step))

    def _other(self, step: Step) -> Output:
        return (step.teacher if self.against == "teacher" else step.student)[self.second]

    def _mask(self, step: Step, rows: Tensor) -> Tensor:
        if self.uncertain_only and step.gate is not None:
            return step.gate.keep == 0
        return torch.ones(len(rows), dtype=torch.bool, device=rows.device)

    def _groups(self, step: Step) -> Tensor | None:
        if not self.drop_agreeing:
            return None
        return require(step.pseudo_labels, self, "pseudo-labels", "set loss.infonce.drop_agreeing=false")


def _two(views: Sequence[str], against: str) -> tuple[str, str]:
    for view in views:
        require_choice("loss.infonce.views", view, UNLABELED_VIEWS)
    if len(views) != 2 or (against == "student" and views[0] == views[1]):
        raise ConfigError("InfoNCE compares two different views; set loss.infonce.views=[strong,weak]")
    return views[0], views[1]
