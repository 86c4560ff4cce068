"""What a method asks of its networks, from the parts it is a list of."""

import pytest
from torch import nn

from fer_ssl.errors import ConfigError
from fer_ssl.method.losses import InfoNCE, InstanceSimilarity, Nearness, PseudoLabel, Supervised, Term
from fer_ssl.method.memory import Forgetful, Memory
from fer_ssl.method.needs import Needs, needs_of
from fer_ssl.method.prototypes import Prototypes
from fer_ssl.method.teacher import Teacher
from fer_ssl.method.thresholds import DynamicThreshold, FixedThreshold

FIXMATCH = {"supervised": Supervised(), "pseudo_label": PseudoLabel()}
FIXED = FixedThreshold(3)


def teacher(**settings: object) -> Teacher:
    return Teacher(nn.Linear(2, 3), **settings)


def test_fixmatch_shows_labels_and_strong_views_and_asks_about_weak_ones() -> None:
    assert needs_of(FIXMATCH, teacher(), Forgetful(), FIXED) == Needs(
        student_views=frozenset({"labeled", "strong"}),
        mixed_views=frozenset(),
        teacher_views=frozenset({"weak"}),
        shared_views=frozenset(),
        pseudo_labels=True,
        learns_labels=True,
    )


def test_labels_alone_ask_no_teacher() -> None:
    needs = needs_of({"supervised": Supervised()}, teacher(), Memory(3, 2), DynamicThreshold(3))
    assert (needs.views, needs.teacher_views, needs.pseudo_labels) == ({"labeled"}, frozenset(), False)


def test_contrast_alone_learns_no_label() -> None:
    terms = {"infonce": InfoNCE(views=["strong", "weak"], against="student", uncertain_only=False)}
    assert not needs_of(terms, teacher(), Forgetful(), FIXED).learns_labels


@pytest.mark.parametrize(
    "part", [{"memory": Memory(3, 2)}, {"threshold": DynamicThreshold(3)}], ids=["memory", "threshold"]
)
def test_parts_that_look_at_labels_have_the_teacher_asked_about_them(part: dict[str, nn.Module]) -> None:
    parts = {"memory": Forgetful(), "threshold": FIXED} | part
    assert needs_of(FIXMATCH, teacher(), **parts).teacher_views == {"labeled", "weak"}  # type: ignore[arg-type]


def test_a_teacher_that_shares_the_pass_reads_there_what_the_student_is_shown() -> None:
    terms: dict[str, Term] = FIXMATCH | {"infonce": InfoNCE(views=["strong", "weak"], against="student")}
    needs = needs_of(terms, teacher(source="student", mode="train", views=["weak", "weak2"]), Forgetful(), FIXED)
    assert (needs.teacher_views, needs.shared_views) == ({"weak", "weak2"}, {"weak"})


def test_a_threshold_that_reads_what_nobody_is_shown_is_refused() -> None:
    threshold = DynamicThreshold(3, source="student")
    needs_of(FIXMATCH, teacher(), Forgetful(), threshold)
    with pytest.raises(ConfigError, match=r"set threshold\.source=teacher, or add supervised to loss"):
        needs_of({"pseudo_label": PseudoLabel()}, teacher(), Forgetful(), threshold)


def test_a_term_on_faces_left_out_needs_a_threshold_that_leaves_some_out() -> None:
    terms: dict[str, Term] = FIXMATCH | {"infonce": InfoNCE()}
    needs_of(terms, teacher(), Forgetful(), FIXED)
    with pytest.raises(ConfigError, match=r"'infonce' takes faces .* set loss\.infonce\.uncertain_only=false"):
        needs_of(terms, teacher(), Forgetful(), FixedThreshold(3, tau=0.0))


@pytest.mark.parametrize(
    ("term", "read", "other", "remedy"),
    [
        (InstanceSimilarity(), Memory(3, 2), Prototypes(3, 2, 10), "a memory of faces; set memory=labeled"),
        (Nearness(), Prototypes(3, 2, 10), Memory(3, 2), "a memory of classes; set memory=prototypes"),
    ],
    ids=["faces", "classes"],
)
def test_a_term_recalls_what_its_kind_of_memory_holds(
    term: Term, read: Memory | Prototypes, other: Memory | Prototypes, remedy: str
) -> None:
    terms = FIXMATCH | {"term": term}
    needs_of(terms, teacher(), read, FIXED)
    for memory in (Forgetful(), other):
        with pytest.raises(ConfigError, match=f"'term' needs {remedy}, or remove term from loss"):
            needs_of(terms, teacher(), memory, FIXED)
