import math

import pytest
import torch
from golden_arrays import golden
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

from fer_ssl.method.functional import align, consistency_loss, dtm_threshold, one_hot, sharpen

BETA, GAMMA, FLOOR = 0.97, math.e, 0.8


@pytest.mark.parametrize("classes", [7, 8])
@pytest.mark.parametrize(
    ("targets", "kind", "result"),
    [
        ("hard", "ce", "ce_hard"),
        ("soft_T05", "ce", "ce_soft"),
        ("hard_smooth", "ce", "ce_smooth"),
        ("soft_T1", "mse", "mse_soft"),
    ],
)
def test_consistency_loss_equals_peer(classes: int, targets: str, kind: str, result: str) -> None:
    arrays = golden(f"usb_targets_losses_c{classes}")
    logits = arrays["logits_s"].requires_grad_()
    loss = consistency_loss(logits, arrays[targets], arrays["weight"], kind)
    loss.backward()
    torch.testing.assert_close(loss, arrays[f"loss_{result}"], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(logits.grad, arrays[f"grad_{result}"], atol=1e-7, rtol=1e-4)


def test_consistency_loss_divides_by_full_batch() -> None:
    logits, labels = torch.randn(8, 7), torch.arange(8) % 7
    one = torch.zeros(8)
    one[0] = 1
    expected = F.cross_entropy(logits[:1], labels[:1]) / 8
    torch.testing.assert_close(consistency_loss(logits, labels, one), expected)
    torch.testing.assert_close(
        consistency_loss(logits, labels, one, "mse"), consistency_loss(logits, one_hot(labels, 7), one, "mse")
    )


def test_consistency_loss_without_kept_rows_keeps_gradient_path() -> None:
    logits = torch.randn(4, 7, requires_grad=True)
    loss = consistency_loss(logits, torch.zeros(4, dtype=torch.int64), torch.zeros(4))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros(4, 7))


def test_sharpen_equals_softmax_of_divided_logits() -> None:
    logits = torch.randn(9, 7) * 3
    torch.testing.assert_close(sharpen(logits.softmax(1), 0.5), (logits / 0.5).softmax(1))
    torch.testing.assert_close(sharpen(logits.softmax(1), 1.0), logits.softmax(1))
    hard = sharpen(torch.tensor([[0.3, 0.7], [1.0, 0.0]]), 0.001)
    torch.testing.assert_close(hard, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))


def test_align_reaches_target_when_estimate_is_the_prediction() -> None:
    estimate = torch.tensor([[0.7, 0.2, 0.1]])
    target = torch.tensor([0.2, 0.3, 0.5])
    torch.testing.assert_close(align(estimate, target, estimate[0]), target[None], atol=1e-5, rtol=1e-4)


def test_one_hot_shares_smoothing_among_other_classes() -> None:
    torch.testing.assert_close(one_hot(torch.tensor([1]), 3, 0.1), torch.tensor([[0.05, 0.9, 0.05]]))


def test_dtm_threshold_follows_published_schedule() -> None:
    stages = torch.stack([dtm_threshold(torch.ones(1), torch.ones(1), e, BETA, GAMMA, 0.0) for e in range(1, 7)])
    expected = torch.tensor([0.7091, 0.8544, 0.9240, 0.9526, 0.9635, 0.9676])
    torch.testing.assert_close(stages[:, 0], expected, atol=5e-5, rtol=0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 50)), min_size=1, max_size=9), st.integers(1, 200))
def test_dtm_threshold_is_bounded_and_rises(classes: list[tuple[float, int]], epoch: int) -> None:
    count = torch.tensor([float(n) for _, n in classes])
    total = count * torch.tensor([mean for mean, _ in classes])
    tau = dtm_threshold(total, count, epoch, BETA, GAMMA, FLOOR)
    assert ((tau >= FLOOR - 1e-6) & (tau <= BETA + 1e-6)).all()
    assert (dtm_threshold(total, count, epoch + 1, BETA, GAMMA, FLOOR) >= tau).all()
    torch.testing.assert_close(tau[count == 0], torch.full_like(tau[count == 0], FLOOR))


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(7)), st.integers(1, 20))
def test_dtm_threshold_follows_permuted_classes(order: list[int], epoch: int) -> None:
    count = torch.tensor([0.0, 1, 2, 3, 4, 5, 6])
    total = count * torch.tensor([0, 0.9, 0.95, 0.99, 1, 0.8, 0.97])
    tau = dtm_threshold(total, count, epoch, BETA, GAMMA, FLOOR)
    assert torch.equal(dtm_threshold(total[order], count[order], epoch, BETA, GAMMA, FLOOR), tau[order])
