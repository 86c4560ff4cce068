import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl.errors import ConfigError
from fer_ssl.method.losses import AnnealedSupervised, Supervised
from fer_ssl.types import Output, Step


def step(logits: Tensor, labels: Tensor, global_step: int) -> Step:
    return Step({"labeled": Output(logits, logits)}, {}, labels, None, None, None, None, None, global_step)


@pytest.mark.parametrize(("pace", "half"), [("linear", 0.5), ("log", 1 - math.exp(-2.5)), ("exp", math.exp(-2.5))])
def test_labels_above_the_bound_wait(pace: str, half: float) -> None:
    torch.manual_seed(0)
    logits, labels = 3 * torch.randn(64, 7), torch.randint(0, 7, (64,))
    term = AnnealedSupervised(steps=100, pace=pace)
    bound = 1 / 7 + half * 6 / 7
    taught = logits.softmax(1)[torch.arange(64), labels] < bound
    assert 0 < taught.sum() < 64
    torch.testing.assert_close(term(step(logits, labels, 50)), F.cross_entropy(logits[taught], labels[taught]))


def test_at_the_end_every_label_is_taught_and_none_may_be_at_the_start() -> None:
    logits, labels = torch.eye(7) * 3, torch.arange(7)
    end = step(logits, labels, 100)
    torch.testing.assert_close(AnnealedSupervised(steps=100)(end), Supervised()(end))
    logits.requires_grad_()
    loss = AnnealedSupervised(steps=100)(step(logits, labels, 0))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros(7, 7))


def test_an_unknown_pace_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"loss\.supervised\.pace=slow"):
        AnnealedSupervised(steps=1, pace="slow")
