"""What two ranks compute together equals what one computes on the concatenated batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from gloo import run_ranks
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fer_ssl import dist
from fer_ssl.method.contrast import info_nce
from fer_ssl.method.losses import AnnealedSupervised, Feedback, GraphContrast, PoolAdjusted, Rotation, Term
from fer_ssl.method.losses.fairness import Fairness
from fer_ssl.method.losses.queue import Queue
from fer_ssl.method.memory import Memory
from fer_ssl.method.mix import MixUp
from fer_ssl.method.prototypes import Prototypes
from fer_ssl.method.thresholds import (
    AdaMatchThreshold,
    Aligned,
    DashThreshold,
    DynamicThreshold,
    FixedThreshold,
    FlexMatchThreshold,
    FreeMatchThreshold,
    Refined,
    SoftMatchThreshold,
    Threshold,
    Unstarved,
)
from fer_ssl.types import Gate, LabeledView, Output, Step

CLASSES, ROWS, STEPS = 7, 16, 3
MASKS = {"both": [True] * 11 + [False] * 5, "one_rank": [False] * 8 + [True] * 8, "none": [False] * ROWS}


def share(whole: Tensor) -> Tensor:
    return whole.chunk(dist.world_size())[dist.rank()]


def contrast(mask: list[bool], grouped: bool) -> dict[str, Tensor]:
    torch.manual_seed(0)
    net, faces = nn.Linear(5, 8), torch.randn(2, ROWS, 5)
    groups = share(torch.arange(ROWS) % 3) if grouped else None
    people = share(torch.arange(ROWS) % 5) if grouped else None
    view_a, view_b = (F.normalize(net(share(view))) for view in faces)
    loss = info_nce([view_a, view_b], share(torch.tensor(mask)), 0.2, groups, people)
    loss.backward()
    averaged = dist.all_reduce_sum(net.weight.grad) / dist.world_size()  # what DistributedDataParallel does
    return {"loss": dist.all_reduce_sum(loss) / dist.world_size(), "gradient": averaged}


def messages() -> int:
    """Return how many collectives the contrast of three views of all faces takes, backward included."""
    views = [F.normalize(share(torch.randn(ROWS, 5))).requires_grad_() for _ in range(3)]
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("all_gather", "all_reduce"):
            whole = getattr(dist.collectives, name)
            patch.setattr(
                dist.collectives, name, lambda *given, whole=whole, name=name: (told.append(name), whole(*given))
            )
        info_nce(views, None, 0.2).backward()
    return len(told)


def fairness(kept: list[bool]) -> dict[str, Tensor]:
    torch.manual_seed(0)
    net, faces = nn.Linear(5, CLASSES), torch.randn(ROWS, 5)
    strong = Output(net(share(faces)), share(faces))
    probs, gate = share(torch.randn(ROWS, CLASSES).softmax(1)), Gate(share(torch.tensor(kept).float()), torch.ones(1))
    step = Step({"strong": strong}, {}, torch.ones(0), None, probs, None, None, gate, 0)
    term = Fairness(CLASSES, decay=0.5)
    loss = term(step)
    loss.backward()
    averaged = dist.all_reduce_sum(net.weight.grad) / dist.world_size()
    return {"loss": loss.detach(), "gradient": averaged, **dict(term.state_dict())}


def thresholds() -> dict[str, Threshold]:
    return {
        "dynamic": DynamicThreshold(CLASSES, floor=0.1, update_every=1),
        "flexmatch": FlexMatchThreshold(CLASSES, pool_size=20, tau=0.6),
        "freematch": FreeMatchThreshold(CLASSES, decay=0.7, quantile=0.8),
        "softmatch": SoftMatchThreshold(CLASSES, decay=0.7, per_class=True, alignment="model"),
        "adamatch": AdaMatchThreshold(CLASSES, decay=0.7),
        "dash": DashThreshold(CLASSES, decay=0.7),
        "refined": Refined(FixedThreshold(CLASSES), 10, "uniform", memory=24, every=1, warmup=0.1),
        "unstarved": Unstarved(CLASSES, partial(FixedThreshold, tau=0.95), decay=0.7),
        "aligned": Aligned(FixedThreshold(CLASSES), target="estimated", decay=0.7),
        "aligned_to_model": Aligned(FreeMatchThreshold(CLASSES), target="model", against="labeled", decay=0.7),
    }


def states() -> dict[str, dict[str, Tensor]]:
    generator, rules = torch.Generator().manual_seed(1), thresholds()
    for _ in range(STEPS):
        probs = (3 * torch.randn(2, ROWS, CLASSES, generator=generator)).softmax(-1)
        labels = torch.where(torch.arange(ROWS) % 4 == 0, 0, probs[1].argmax(1))
        rows = torch.randint(0, 20, (ROWS,), generator=generator)
        for rule in rules.values():
            rule(share(probs[0]), LabeledView(share(probs[1]), share(labels)), share(rows))
    return {name: dict(rule.state_dict()) for name, rule in rules.items()}


def queued() -> dict[str, Tensor]:
    torch.manual_seed(0)
    queue = Queue(size=24, width=4, groups=2)
    for _ in range(STEPS):
        keys, groups, present = torch.randn(ROWS, 4), torch.randint(0, 9, (ROWS, 2)), torch.rand(ROWS) > 0.5
        queue.push(share(keys), share(groups), share(present))
    return dict(queue.state_dict())


def terms() -> dict[str, Term]:
    return {
        "annealed": AnnealedSupervised(steps=4),
        "graph": GraphContrast(cut=0.3),
        "rotation": Rotation(width=CLASSES),
        "pool_adjusted": PoolAdjusted(CLASSES, decay=0.7),
    }


def taught(name: str) -> dict[str, Tensor]:
    """Return a term's state after some steps, and the last gradient of a network over all ranks."""
    torch.manual_seed(0)
    net, term = nn.Linear(5, CLASSES), terms()[name]
    for number in range(STEPS):
        net.zero_grad()
        faces, labels = torch.randn(4, ROWS, 5), torch.randint(0, CLASSES, (ROWS,))
        labeled, strong, strong2, weak = (Output(net(share(view)), F.normalize(net(share(view)))) for view in faces)
        probs = share((3 * torch.randn(ROWS, CLASSES)).softmax(1))
        keep = share((torch.arange(ROWS) % 3 > 0).float())
        student = {"labeled": labeled, "strong": strong, "strong2": strong2, "rotated": weak}
        gate = Gate(keep, torch.ones(CLASSES))
        term(Step(student, {}, share(labels), None, probs, probs.argmax(1), probs, gate, number)).backward()
    return {"gradient": dist.all_reduce_sum(net.weight.grad) / dist.world_size()} | dict(term.state_dict())


def mixed() -> dict[str, Tensor]:
    torch.manual_seed(0)
    images = {"labeled": torch.rand(ROWS // 2, 1, 4, 4), "weak": torch.rand(ROWS, 1, 4, 4)}
    targets = {name: torch.rand(len(view), CLASSES) for name, view in images.items()}
    ours = [{name: share(values) for name, values in part.items()} for part in (images, targets)]
    mix = MixUp()(*ours, seed=5)
    return {f"{name}-{part}": dist.gather(getattr(mix, part)[name]) for part in mix._fields for name in images}


def remembered() -> dict[str, Tensor]:
    torch.manual_seed(0)
    memory = Memory(CLASSES, width=4, size=2 * ROWS, alignment=2)
    for _ in range(STEPS):
        probs, keys, labeled_keys = torch.randn(ROWS, CLASSES).softmax(1), torch.randn(ROWS, 4), torch.randn(6, 4)
        seen, labeled = (Output(share(each), share(each)) for each in (keys, labeled_keys))
        smoothed, _ = memory(share(probs), seen, labeled, share(torch.arange(6)), 0)
    return {"smoothed": dist.gather(smoothed)} | dict(memory.state_dict())


def prototypes() -> dict[str, Tensor]:
    torch.manual_seed(0)
    memory = Prototypes(CLASSES, width=4, max_steps=10, warmup=0.0, decay=0.7)
    for number in range(STEPS):
        labeled, weak = (F.normalize(torch.randn(ROWS, 4)) for _ in range(2))
        probs, labels = torch.randn(ROWS, CLASSES).mul(3).softmax(1), torch.randint(0, CLASSES, (ROWS,))
        seen, known = (Output(share(probs), share(view)) for view in (weak, labeled))
        blended, _ = memory(share(probs), seen, known, share(labels), number)
    return {"blended": dist.gather(blended)} | dict(memory.state_dict())


def feedback() -> dict[str, Tensor]:
    torch.manual_seed(0)
    term = Feedback(CLASSES, width=4)
    unlabeled, labeled = (F.normalize(torch.randn(ROWS, 4)) for _ in range(2))
    pseudo_labels, labels = torch.randint(0, CLASSES, (2, ROWS))
    return {"helped": term.helped(share(unlabeled), share(pseudo_labels), share(labeled), share(labels))}


def everything() -> dict[str, Any]:
    cases = {f"{name}-{grouped}": contrast(mask, grouped) for name, mask in MASKS.items() for grouped in (False, True)}
    fair = {name: fairness(mask) for name, mask in MASKS.items()}
    return {
        "contrast": cases,
        "messages": messages(),
        "fairness": fair,
        "states": states(),
        "queued": queued(),
        "prototypes": prototypes(),
        "feedback": feedback(),
        "mixed": mixed(),
        "remembered": remembered(),
        "taught": {name: taught(name) for name in terms()},
    }


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run_ranks(everything, tmp_path_factory.mktemp("ranks"))


def test_the_contrast_of_three_views_takes_one_collective_each_way(ranks: list[dict[str, Any]]) -> None:
    assert [rank["messages"] for rank in ranks] == [2, 2]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", MASKS)
def test_info_nce_equals_one_rank(name: str, grouped: bool, ranks: list[dict[str, Any]]) -> None:
    expected = contrast(MASKS[name], grouped)
    assert (expected["loss"] > 0) == (name != "none")
    for rank in ranks:
        got = rank["contrast"][f"{name}-{grouped}"]
        torch.testing.assert_close(got["loss"], expected["loss"], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(got["gradient"], expected["gradient"], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", MASKS)
def test_fairness_equals_one_rank(name: str, ranks: list[dict[str, Any]]) -> None:
    expected = fairness(MASKS[name])
    for rank in ranks:
        torch.testing.assert_close(rank["fairness"][name], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", thresholds())
def test_threshold_state_equals_one_rank(name: str, ranks: list[dict[str, Any]]) -> None:
    expected = states()[name]
    for rank in ranks:
        for key, value in expected.items():
            torch.testing.assert_close(rank["states"][name][key], value, atol=1e-6, rtol=1e-5, msg=key)


def test_the_queue_equals_that_of_one_rank(ranks: list[dict[str, Any]]) -> None:
    expected = queued()
    assert expected["pointer"] == STEPS * ROWS % 24
    for rank in ranks:
        assert all(torch.equal(rank["queued"][key], value) for key, value in expected.items())


@pytest.mark.parametrize("name", terms())
def test_a_term_equals_that_of_one_rank(name: str, ranks: list[dict[str, Any]]) -> None:
    expected = taught(name)
    assert expected["gradient"].abs().sum() > 0
    for rank in ranks:
        for key, value in expected.items():
            torch.testing.assert_close(rank["taught"][name][key], value, atol=1e-6, rtol=1e-5, msg=key)


@pytest.mark.parametrize("work", [mixed, remembered])
def test_mixing_and_memory_equal_those_of_one_rank(work: Callable[[], dict[str, Tensor]], ranks: list[Any]) -> None:
    expected = work()
    for rank in ranks:
        for key, value in expected.items():
            torch.testing.assert_close(rank[work.__name__][key], value, atol=1e-6, rtol=1e-5, msg=key)


def test_prototypes_equal_those_of_one_rank(ranks: list[dict[str, Any]]) -> None:
    expected = prototypes()
    for rank in ranks:
        for key, value in expected.items():
            torch.testing.assert_close(rank["prototypes"][key], value, atol=1e-6, rtol=1e-5, msg=key)


def test_feedback_equals_that_of_one_rank(ranks: list[dict[str, Any]]) -> None:
    expected = feedback()["helped"]
    assert expected.abs() > 1e-4
    for rank in ranks:
        torch.testing.assert_close(rank["feedback"]["helped"], expected, atol=1e-6, rtol=1e-4)
