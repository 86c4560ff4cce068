"""Balanced labels, taught for the class frequencies of the pool."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl.errors import ConfigError
from fer_ssl.method.losses import PoolAdjusted, Supervised
from fer_ssl.method.ramp import Ramp
from fer_ssl.types import Output, Step

# columns: how often each class looks like face 0, 1, 2
LOOKS = torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7]])
PRIOR = torch.tensor([0.6, 0.3, 0.1])


def step(logits: Tensor, labels: Tensor, probs: Tensor | None, global_step: int = 0) -> Step:
    return Step({"labeled": Output(logits, logits)}, {}, labels, None, probs, None, None, None, global_step)


def test_the_logits_lose_the_log_of_the_running_mean_prediction() -> None:
    term = PoolAdjusted(3, decay=0.5, strength=2.0)
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    probs = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    loss = term(step(logits, labels, probs))
    prior = 0.5 * torch.full((3,), 1 / 3) + 0.5 * torch.tensor([0.5, 0.5, 0.0])
    torch.testing.assert_close(term.prior, prior)
    torch.testing.assert_close(loss, F.cross_entropy(logits - 2 * prior.log(), labels))


def test_no_class_is_believed_impossible() -> None:
    term = PoolAdjusted(3, decay=0.0, floor=0.3)
    logits, labels = torch.zeros(1, 3), torch.tensor([2])
    loss = term(step(logits, labels, torch.tensor([[1.0, 0.0, 0.0]])))
    torch.testing.assert_close(loss, F.cross_entropy(-torch.tensor([[1.0, 0.1, 0.1]]).log(), labels))


def test_switched_off_it_is_plain_cross_entropy() -> None:
    taken = step(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), torch.rand(5, 3).softmax(1))
    torch.testing.assert_close(PoolAdjusted(3, strength=0.0)(taken), Supervised()(taken))


def test_it_finds_the_prior_and_the_posterior_of_the_pool() -> None:
    faces = torch.arange(3).repeat(3)
    labels = torch.arange(3).repeat_interleave(3)
    often = (10 * LOOKS.flatten()).round().long()
    faces, labels = faces.repeat_interleave(often), labels.repeat_interleave(often)  # ten faces of each class
    pool = torch.arange(3).repeat_interleave((100 * PRIOR @ LOOKS).round().long())
    logits = torch.zeros(3, 3, requires_grad=True)  # [face, class]
    term, optimizer = PoolAdjusted(3, decay=0.9), torch.optim.SGD([logits], lr=2.0)
    for _ in range(1500):
        optimizer.zero_grad()
        term(step(logits[faces], labels, logits[pool].detach().softmax(1))).backward()
        optimizer.step()
    torch.testing.assert_close(term.prior, PRIOR, atol=0.02, rtol=0)
    joint = LOOKS * PRIOR.unsqueeze(1)
    torch.testing.assert_close(logits.detach().softmax(1), (joint / joint.sum(0)).T, atol=0.03, rtol=0)


def test_a_run_without_a_pool_is_told() -> None:
    with pytest.raises(ConfigError, match="PoolAdjusted needs predictions on unlabeled faces"):
        PoolAdjusted(3)(step(torch.zeros(1, 3), torch.tensor([0]), None))


def test_its_strength_may_rise() -> None:
    logits, labels, probs = torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), PRIOR.repeat(2, 1)
    rising = PoolAdjusted(3, decay=0.0, strength=Ramp(1.0, 0.2, 0.6, 100))
    for global_step, strength in ((0, 0.0), (20, 0.0), (40, 0.5), (60, 1.0), (99, 1.0)):
        expected = F.cross_entropy(logits - strength * PRIOR.log(), labels)
        torch.testing.assert_close(rising(step(logits, labels, probs, global_step)), expected)
