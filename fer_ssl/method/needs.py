"""What the parts of a method ask of its networks: which views, in whose pass, and whether faces are pseudo-labeled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fer_ssl.errors import ConfigError
from fer_ssl.method.losses import Term
from fer_ssl.method.memory import Forgetful, Memory
from fer_ssl.method.prototypes import Prototypes
from fer_ssl.method.teacher import Teacher
from fer_ssl.method.thresholds import Threshold

Names = frozenset[str]
MEMORIES = {"faces": "memory=labeled", "classes": "memory=prototypes"}  # by what they hold


@dataclass(frozen=True)
class Needs:
    """Views that the student is shown, those mixed for it, those the teacher is asked about.

    What the teacher says of `shared` views is read from the student's pass.
    """

    student_views: Names
    mixed_views: Names
    teacher_views: Names
    shared_views: Names
    pseudo_labels: bool
    learns_labels: bool

    @property
    def shown_views(self) -> Names:
        """All views that the student is shown in a step, as they are or mixed."""
        return self.student_views | self.mixed_views

    @property
    def views(self) -> Names:
        """All views to be drawn."""
        return self.shown_views | self.teacher_views


def needs_of(
    terms: Mapping[str, Term], teacher: Teacher, memory: Forgetful | Memory | Prototypes, threshold: Threshold
) -> Needs:
    """Return what these parts need together.

    Raises ConfigError for a threshold that reads what no term shows the student, for a term on the faces left out where
    none is, and for one that recalls what the memory does not hold.
    """
    student_views = _union(term.student_views for term in terms.values())
    teacher_views = _union(term.teacher_views for term in terms.values())
    pseudo_labels = any(term.uses_pseudo_labels for term in terms.values())
    if pseudo_labels:
        _require_shown(threshold, student_views)
        labeled = {"labeled"} if threshold.needs_labeled == "teacher" else set()
        teacher_views |= {*teacher.views, *memory.views, *labeled}
    _require_uncertain(terms, threshold)
    _require_memory(terms, memory)
    return Needs(
        student_views=student_views,
        mixed_views=_union(term.mixed_views for term in terms.values()),
        teacher_views=teacher_views,
        shared_views=teacher_views & student_views if teacher.shares_student_pass else frozenset(),
        pseudo_labels=pseudo_labels,
        learns_labels=any(
            term.uses_logits and "labeled" in term.student_views | term.mixed_views for term in terms.values()
        ),
    )


def _union(views: Iterable[Names]) -> Names:
    return frozenset[str]().union(*views)


def _require_shown(threshold: Threshold, student_views: Names) -> None:
    if threshold.needs_labeled == "student" and "labeled" not in student_views:
        raise ConfigError(
            "the threshold reads what the student says of labeled faces, which no loss term shows it; "
            "set threshold.source=teacher, or add supervised to loss"
        )


def _require_uncertain(terms: Mapping[str, Term], threshold: Threshold) -> None:
    reading = [name for name, term in terms.items() if term.uncertain_only]
    if reading and not threshold.leaves_out:
        raise ConfigError(
            f"loss term {reading[0]!r} takes faces that the threshold leaves out, and this one leaves none out; "
            f"set loss.{reading[0]}.uncertain_only=false, another threshold, or a loss without it"
        )


def _require_memory(terms: Mapping[str, Term], memory: Forgetful | Memory | Prototypes) -> None:
    for name, term in terms.items():
        if term.recalls is not None and term.recalls != memory.holds:
            raise ConfigError(
                f"loss term {name!r} needs a memory of {term.recalls}; set {MEMORIES[term.recalls]}, or remove {name} "
                "from loss"
            )
