from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl.errors import ConfigError
from fer_ssl.method.contrast import info_nce
from fer_ssl.method.losses import InfoNCE, PseudoLabel, Supervised, Term
from fer_ssl.types import Gate, Output, Step

ROWS, CLASSES = 6, 7


def output(seed: int, grad: bool = True) -> Output:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(ROWS, CLASSES, generator=generator).requires_grad_(grad)
    return Output(features * 2, F.normalize(features))


@pytest.fixture
def step() -> Step:
    probs = output(9, grad=False).logits.softmax(1)
    return Step(
        student={view: output(seed) for seed, view in enumerate(("labeled", "strong", "weak", "weak2"))},
        teacher={"weak": output(5, grad=False)},
        labels=torch.arange(ROWS),
        soft_labels=probs.flip(1),
        probs=probs,
        pseudo_labels=probs.argmax(1),
        targets=torch.eye(CLASSES)[probs.argmax(1)],
        gate=Gate(torch.tensor([1.0, 0.0, 0.0, 0.5, 0.0, 1.0]), torch.full((CLASSES,), 0.5)),
        global_step=0,
    )


def gradient(loss: Tensor, view: Output) -> Tensor | None:
    return torch.autograd.grad(loss, view.embeddings, retain_graph=True, allow_unused=True)[0]


def test_supervised_teaches_labels_smoothed_or_votes(step: Step) -> None:
    logits = step.student["labeled"].logits
    torch.testing.assert_close(Supervised()(step), F.cross_entropy(logits, step.labels))
    votes = -(step.soft_labels * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(Supervised(soft=True)(step), votes)
    smooth = torch.full((ROWS, CLASSES), 0.1 / 6).scatter(1, step.labels[:, None], 0.9)
    torch.testing.assert_close(Supervised(smoothing=0.1)(step), -(smooth * logits.log_softmax(1)).sum(1).mean())


def test_supervised_without_votes_is_refused(step: Step) -> None:
    with pytest.raises(ConfigError, match=r"loss\.supervised\.soft=false"):
        Supervised(soft=True)(replace(step, soft_labels=None))


def test_pseudo_label_divides_by_full_batch(step: Step) -> None:
    losses = F.cross_entropy(step.student["strong"].logits, step.pseudo_labels, reduction="none")
    torch.testing.assert_close(PseudoLabel()(step), (losses[0] + 0.5 * losses[3] + losses[5]) / ROWS)


def test_pseudo_label_mse_compares_probabilities(step: Step) -> None:
    squares = (step.student["strong"].logits.softmax(1) - step.targets).square().mean(1)
    torch.testing.assert_close(PseudoLabel(kind="mse")(step), (step.gate.keep * squares).mean())


@pytest.mark.parametrize("views", [["weak2"], ["strong", "weak2"]])
def test_pseudo_label_teaches_the_views_it_is_given(views: list[str], step: Step) -> None:
    term = PseudoLabel(views=views, kind="mse")
    squares = [(step.student[view].logits.softmax(1) - step.targets).square().mean(1) for view in views]
    assert term.student_views == set(views)
    torch.testing.assert_close(term(step), (step.gate.keep * torch.stack(squares)).mean())


@pytest.mark.parametrize(("views", "named"), [(["labeled"], r"views=labeled"), ([], r"no view .*views=\[strong\]")])
def test_pseudo_label_needs_views_of_unlabeled_faces(views: list[str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        PseudoLabel(views=views)


def test_pseudo_label_demands_a_margin_of_rarely_predicted_classes(step: Step) -> None:
    prior = torch.tensor([0.5, 0.2, 0.1, 0.1, 0.05, 0.04, 0.01])
    logits = step.student["strong"].logits + 0.4 * prior.log()
    losses = F.cross_entropy(logits, step.pseudo_labels, reduction="none")
    term, gate = PseudoLabel(margin=0.4), step.gate._replace(prior=prior)
    torch.testing.assert_close(term(replace(step, gate=gate)), (step.gate.keep * losses).mean())
    with pytest.raises(ConfigError, match=r"running mean prediction.* set alignment=debias"):
        term(step)


def test_pseudo_label_without_pool_is_refused(step: Step) -> None:
    with pytest.raises(ConfigError, match="unlabeled="):
        PseudoLabel()(replace(step, targets=None))


def test_info_nce_contrasts_uncertain_faces_and_reaches_both_views(step: Step) -> None:
    loss, uncertain = InfoNCE()(step), torch.tensor([1, 2, 4])
    a, b = step.student["strong"].embeddings, step.student["weak"].embeddings
    torch.testing.assert_close(loss, info_nce([a[uncertain], b[uncertain]], None, 0.07))
    loss.backward(inputs=[a, b], retain_graph=True)
    for view in (a, b):
        moved = view.grad.abs().sum(1) > 0
        assert torch.equal(moved, step.gate.keep == 0)


def test_info_nce_of_three_views_is_the_mean_over_pairs(step: Step) -> None:
    pairs = [("strong", "weak"), ("strong", "weak2"), ("weak", "weak2")]
    term = InfoNCE(views=["strong", "weak", "weak2"])
    assert term.student_views == {"strong", "weak", "weak2"}
    torch.testing.assert_close(term(step), torch.stack([InfoNCE(views=pair)(step) for pair in pairs]).mean())
    loss = term(step)
    assert all(gradient(loss, step.student[view]).abs().sum() > 0 for view in term.student_views)


def test_info_nce_takes_all_faces_when_asked(step: Step) -> None:
    everyone = InfoNCE(uncertain_only=False)
    assert torch.equal(everyone(step), everyone(replace(step, gate=None)))
    assert not torch.equal(everyone(step), InfoNCE()(step))


def test_info_nce_on_uncertain_faces_needs_a_gate(step: Step) -> None:
    with pytest.raises(ConfigError, match=r"InfoNCE needs a threshold's gate.*uncertain_only=false"):
        InfoNCE()(replace(step, gate=None))


def test_info_nce_against_teacher_has_no_gradient_there(step: Step) -> None:
    term = InfoNCE(against="teacher")
    assert (term.student_views, term.teacher_views) == ({"strong"}, {"weak"})
    loss = term(step)
    assert gradient(loss, step.student["strong"]).abs().sum() > 0
    assert gradient(loss, step.student["weak"]) is None


def test_info_nce_spares_negatives_that_agree(step: Step) -> None:
    agreeing = replace(step, pseudo_labels=torch.zeros(ROWS, dtype=torch.int64))
    # nobody is left to be pushed away, so each anchor sees only its positive
    assert InfoNCE(drop_agreeing=True)(agreeing).item() == 0.0
    apart = replace(step, pseudo_labels=torch.arange(ROWS))
    assert torch.equal(InfoNCE(drop_agreeing=True)(apart), InfoNCE()(apart))


def naive_contrast(step: Step, same: Tensor, positives: bool, queue: list[tuple[Tensor, int]] | None = None) -> Tensor:
    """InfoNCE face by face, straight from its definition; `same` says who shares an identity.

    Beside a queue, empty or not, the student's rows alone are anchors.
    """
    views = [step.student["strong"].embeddings, step.teacher["weak"].embeddings]
    losses = []
    for view in (0, 1) if queue is None else (0,):
        for row in range(ROWS):
            anchor = views[view][row]
            own, others = anchor @ views[1 - view][row] / 0.07, []
            pulled = [own]
            for other_view in (0, 1):
                for other in range(ROWS):
                    similarity = anchor @ views[other_view][other] / 0.07
                    if other != row and (positives or not same[row, other]):
                        others.append(similarity)
                    if other != row and positives and same[row, other]:
                        pulled.append(similarity)
            others += [anchor @ key / 0.07 for key, person in queue or [] if person != int(step.identities[row])]
            losses.append(torch.stack([own, *others]).logsumexp(0) - torch.stack(pulled).mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("same_identity", ["exclude", "positive"])
def test_faces_of_one_person_are_left_out_or_pulled_together(same_identity: str, step: Step) -> None:
    people = torch.tensor([0, 1, 0, 2, 1, 0])
    step = replace(step, identities=people)
    term = InfoNCE(against="teacher", uncertain_only=False, same_identity=same_identity)
    expected = naive_contrast(step, people[:, None] == people, same_identity == "positive")
    torch.testing.assert_close(term(step), expected)
    strangers = replace(step, identities=torch.arange(ROWS))
    torch.testing.assert_close(term(strangers), InfoNCE(against="teacher", uncertain_only=False)(step))


def test_a_person_and_a_pseudo_label_may_be_spared_together(step: Step) -> None:
    both = InfoNCE(uncertain_only=False, drop_agreeing=True, same_identity="exclude")
    step = replace(step, identities=torch.zeros(ROWS, dtype=torch.int64), pseudo_labels=torch.arange(ROWS))
    assert both(step).item() == 0.0
    step = replace(step, identities=torch.arange(ROWS), pseudo_labels=torch.zeros(ROWS, dtype=torch.int64))
    assert both(step).item() == 0.0


def test_a_queue_adds_the_keys_of_earlier_batches(step: Step) -> None:
    term = InfoNCE(against="teacher", uncertain_only=False, same_identity="exclude", queue=8, width=CLASSES)
    kept: list[tuple[Tensor, int]] = []
    for number in range(4):  # 24 keys go through 8 places
        people = torch.tensor([0, 1, 2, 0, 3, 4]) + number % 2
        seen = replace(step, identities=people, teacher={"weak": output(20 + number, grad=False)})
        expected = naive_contrast(seen, people[:, None] == people, False, kept)
        torch.testing.assert_close(term(seen), expected)
        kept = (kept + list(zip(seen.teacher["weak"].embeddings, people.tolist(), strict=True)))[-8:]
    resumed = InfoNCE(against="teacher", uncertain_only=False, same_identity="exclude", queue=8, width=CLASSES)
    resumed.load_state_dict(term.state_dict())
    assert torch.equal(resumed(seen), term(seen))


@pytest.mark.parametrize("size", [-1, 2.5])
def test_a_queue_of_no_whole_number_is_refused(size: float) -> None:
    with pytest.raises(ConfigError, match=r"a number of embeddings, not .* set loss\.infonce\.queue=0"):
        InfoNCE(against="teacher", queue=size, width=CLASSES)


def test_a_queue_smaller_than_a_batch_keeps_its_last_keys(step: Step) -> None:
    term = InfoNCE(against="teacher", uncertain_only=False, queue=4, width=CLASSES)
    for _ in range(3):
        term(step).backward(retain_graph=True)
    rows = {tuple(row) for row in term.queue.keys.tolist()}
    assert rows == {tuple(row) for row in step.teacher["weak"].embeddings[-4:].tolist()}


def test_faces_that_took_no_part_are_no_negatives_later(step: Step) -> None:
    term = InfoNCE(against="teacher", queue=12, width=CLASSES)
    uncertain = torch.tensor([1, 2, 4])
    a, b = step.student["strong"].embeddings[uncertain], step.teacher["weak"].embeddings[uncertain]
    for queued in (b[:0], b):  # nothing yet, then the batch itself
        candidates = a @ torch.cat([a, b, queued]).T / 0.07
        candidates[:, :3].fill_diagonal_(-torch.inf)
        expected = (candidates.logsumexp(1) - (a * b).sum(1) / 0.07).mean()
        torch.testing.assert_close(term(step), expected)
    assert torch.equal(term.queue.present[:ROWS], step.gate.keep == 0)


@pytest.mark.parametrize("options", [{"against": "student"}, {"against": "teacher", "same_identity": "positive"}])
def test_a_queue_needs_a_teacher_and_holds_no_positives(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"set loss\.infonce\.against=teacher .* loss\.infonce\.queue=0"):
        InfoNCE(queue=8, width=4, **options)


@pytest.mark.parametrize("views", [("strong",), ("weak", "weak"), ("labeled", "weak"), ("strong", "weak", "strong")])
def test_info_nce_needs_two_unlabeled_views(views: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"loss\.infonce\.views"):
        InfoNCE(views=views)


def test_a_third_view_has_no_place_beside_the_teacher() -> None:
    with pytest.raises(ConfigError, match=r"one of the teacher's; set loss\.infonce\.views"):
        InfoNCE(views=["strong", "strong2", "weak"], against="teacher")


@pytest.mark.parametrize("term", [Supervised(), PseudoLabel(), InfoNCE(), InfoNCE(views=["weak", "weak2"])])
def test_terms_read_only_the_views_they_name(term: Term, step: Step) -> None:
    named = {view: step.student[view] for view in term.student_views}
    assert term(replace(step, student=named, teacher={})).requires_grad


@pytest.mark.parametrize("term", [PseudoLabel(), PseudoLabel(kind="mse"), InfoNCE()])
@pytest.mark.parametrize("keep", [0.0, 1.0])
def test_terms_stay_connected_whatever_is_kept(term: Term, keep: float, step: Step) -> None:
    features = torch.randn(ROWS, CLASSES, requires_grad=True)
    strong = Output(features * 2, F.normalize(features))
    gate = Gate(torch.full((ROWS,), keep), step.gate.tau)
    term(replace(step, student={**step.student, "strong": strong}, gate=gate)).backward()
    assert torch.isfinite(features.grad).all()
