"""Labels of rare classes: logits adjusted, margins widened, faces weighted."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl.errors import ConfigError
from fer_ssl.method.losses import LongTailed, Supervised
from fer_ssl.types import Output, Step

COUNTS = [500, 50, 5]
LABELS = torch.tensor([0, 0, 1, 2])


def step(global_step: int = 0) -> Step:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    return Step({"labeled": Output(logits, logits)}, {}, LABELS, None, None, None, None, None, global_step)


def naive(logits: Tensor, adjust: float = 0, margin: float = 0, beta: float = 0) -> float:
    losses = []
    weights = [(1 - beta) / (1 - beta**n) for n in COUNTS]
    for row, label in zip(logits.tolist(), LABELS.tolist(), strict=True):
        z = [value + adjust * math.log(n / sum(COUNTS)) for value, n in zip(row, COUNTS, strict=True)]
        z[label] -= margin * (min(COUNTS) / COUNTS[label]) ** 0.25
        loss = math.log(sum(math.exp(value) for value in z)) - z[label]
        losses.append(loss * weights[label] / sum(weights) * len(COUNTS))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(
    ("options", "plain"),
    [
        ({"adjust": 1.0}, {"adjust": 1.0}),
        ({"margin": 0.5}, {"margin": 0.5}),
        ({"balance": 0.99}, {"beta": 0.99}),
        ({"adjust": 0.5, "margin": 2.0, "balance": 0.9999}, {"adjust": 0.5, "margin": 2.0, "beta": 0.9999}),
    ],
)
def test_each_way_is_its_equation(options: dict[str, float], plain: dict[str, float]) -> None:
    taken = step()
    loss = LongTailed(COUNTS, max_steps=10, **options)(taken)
    assert loss.item() == pytest.approx(naive(taken.student["labeled"].logits, **plain), rel=1e-4)
    loss.backward()
    assert taken.student["labeled"].logits.grad.abs().sum() > 0


def test_switched_off_it_is_plain_cross_entropy() -> None:
    taken = step()
    torch.testing.assert_close(LongTailed(COUNTS, max_steps=10)(taken), Supervised()(taken))


def test_weights_wait_for_their_share_of_the_steps() -> None:
    term = LongTailed(COUNTS, max_steps=10, balance=0.9999, defer=0.8)
    logits = step().student["labeled"].logits
    assert torch.equal(term(step(7)), F.cross_entropy(logits, LABELS))
    assert term(step(8)).item() == pytest.approx(naive(logits, beta=0.9999), rel=1e-4)


def test_the_optimum_of_adjusted_logits_is_the_balanced_posterior() -> None:
    # one feature value shared by all faces: plain training learns the frequencies, adjusted training learns nothing
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
    learned = {}
    for adjust in (0.0, 1.0):
        logits = torch.zeros(3, requires_grad=True)
        optimizer = torch.optim.LBFGS([logits], max_iter=100)
        term = LongTailed(COUNTS, max_steps=1, adjust=adjust)

        def closure(term: LongTailed = term, logits: Tensor = logits) -> Tensor:
            logits.grad = None
            output = Output(logits.expand(len(labels), 3), logits)
            loss = term(Step({"labeled": output}, {}, labels, None, None, None, None, None, 0))
            loss.backward()
            return loss

        optimizer.step(closure)
        learned[adjust] = logits.detach().softmax(0)
    torch.testing.assert_close(learned[0.0], torch.tensor(COUNTS) / sum(COUNTS), atol=1e-3, rtol=0)
    torch.testing.assert_close(learned[1.0], torch.full((3,), 1 / 3), atol=1e-3, rtol=0)


def test_a_class_without_faces_is_told() -> None:
    with pytest.raises(ConfigError, match=r"500, 50, 0, .* set data\.labels_per_class"):
        LongTailed([500, 50, 0], max_steps=10)


def test_a_balance_of_one_is_told() -> None:
    with pytest.raises(ConfigError, match=r"balance=1\.0 is no beta"):
        LongTailed([3, 1], max_steps=10, balance=1.0)
