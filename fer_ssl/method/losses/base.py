"""What every loss term is."""

from typing import TypeVar

from torch import Tensor, nn

from fer_ssl.errors import ConfigError
from fer_ssl.method.ramp import Ramp, at, checked
from fer_ssl.types import Step

T = TypeVar("T")
Weight = float | Ramp


class Term(nn.Module):
    """One term of the training loss, counted `weight` times; a `Ramp` lets the weight rise.

    `student_views` and `teacher_views` name the views it reads of a step: `labeled`, `strong`, `strong2`, `weak`,
    `weak2`, `rotated`; `mixed_views` those of which it reads mixed faces, as `student["mixed_<view>"]`;
    `uses_logits` and `uses_embeddings` say which outputs of the student it reads, `uses_pseudo_labels` whether it reads
    pseudo-labels, targets or the gate; where no term does, there are none. `uncertain_only` says that it reads only
    faces which the threshold left out, `recalls` which kind of memory it reads: `faces` or `classes`.
    """

    student_views: frozenset[str] = frozenset()
    teacher_views: frozenset[str] = frozenset()
    mixed_views: frozenset[str] = frozenset()
    uses_logits: bool = True
    uses_embeddings: bool = False
    uses_pseudo_labels: bool = True
    uncertain_only: bool = False
    recalls: str | None = None

    def __init__(self, weight: Weight) -> None:
        super().__init__()
        self.weight = checked(weight, "weight")

    def forward(self, step: Step) -> Tensor:
        """Return the unweighted term, a scalar connected to the graph on every rank."""
        raise NotImplementedError

    def weight_at(self, global_step: int) -> float:
        """Return how many times the term counts in optimizer step `global_step`."""
        return at(self.weight, global_step)

    def weighted(self, step: Step) -> Tensor:
        """Return the term as often as it counts in this step."""
        value: Tensor = self(step)
        return self.weight_at(step.global_step) * value


def require(value: T | None, term: Term, what: str, remedy: str) -> T:
    """Return `value`; raise ConfigError when the step lacks what `term` reads."""
    if value is None:
        raise ConfigError(f"{type(term).__name__} needs {what}, which this run has not; {remedy}")
    return value
