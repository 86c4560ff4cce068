import math

import pytest
import torch
from golden_arrays import golden
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl.method.functional import align, consistency_loss, dtm_threshold, info_nce, one_hot, sharpen

BETA, GAMMA, FLOOR = 0.97, math.e, 0.8


def unit(rows: int, width: int = 16, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)))


def naive_info_nce(view_a: Tensor, view_b: Tensor, mask: Tensor, temperature: float, groups: Tensor) -> Tensor:
    chosen = mask.nonzero().flatten().tolist()
    faces = [(view, row) for view in (0, 1) for row in chosen]
    views, losses = (view_a, view_b), []
    for view, row in faces:
        anchor, positive = views[view][row], views[1 - view][row]
        scores = [
            anchor @ views[other_view][other]
            for other_view, other in faces
            if (other_view, other) != (view, row) and (other == row or groups[other] != groups[row])
        ]
        losses.append(torch.stack(scores).div(temperature).logsumexp(0) - anchor @ positive / temperature)
    return torch.stack(losses).mean()


@pytest.mark.parametrize("n", [0, 1, 2, 17, 64])
def test_info_nce_equals_ancestor_in_value_and_gradient(n: int) -> None:
    arrays = golden("adacm_ntxent")
    features = arrays[f"n{n}_features"].requires_grad_()
    loss = info_nce(features[:, 0], features[:, 1], torch.ones(n, dtype=torch.bool), 0.07)
    loss.backward()
    torch.testing.assert_close(loss, arrays[f"n{n}_loss"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features.grad, arrays[f"n{n}_grad"], atol=1e-5, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.booleans(), min_size=4, max_size=9).filter(lambda m: sum(m) > 1))
def test_info_nce_equals_naive_loop(seed: int, chosen: list[bool]) -> None:
    mask = torch.tensor(chosen)
    view_a, view_b = unit(len(mask), seed=seed), unit(len(mask), seed=seed + 1)
    groups = torch.randint(0, 3, (len(mask),), generator=torch.Generator().manual_seed(seed))
    apart = torch.arange(len(mask))
    torch.testing.assert_close(
        info_nce(view_a, view_b, mask, 0.2), naive_info_nce(view_a, view_b, mask, 0.2, apart), atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(
        info_nce(view_a, view_b, mask, 0.2, groups),
        naive_info_nce(view_a, view_b, mask, 0.2, groups),
        atol=1e-5,
        rtol=1e-5,
    )


@pytest.mark.parametrize("chosen", [[], [3]])
def test_info_nce_of_fewer_than_two_faces_is_zero_with_gradient(chosen: list[int]) -> None:
    view_a, view_b = unit(8).requires_grad_(), unit(8, seed=1).requires_grad_()
    mask = torch.zeros(8, dtype=torch.bool)
    mask[chosen] = True
    loss = info_nce(view_a, view_b, mask, 0.07)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(view_a.grad, torch.zeros_like(view_a))
    assert torch.equal(view_b.grad, torch.zeros_like(view_b))


def test_info_nce_ignores_rows_outside_mask() -> None:
    view_a, view_b = unit(6).requires_grad_(), unit(6, seed=1)
    mask = torch.tensor([True, False, True, True, False, True])
    loss = info_nce(view_a, view_b, mask, 0.1)
    loss.backward()
    torch.testing.assert_close(loss, info_nce(view_a[mask], view_b[mask], mask[mask], 0.1))
    assert view_a.grad[~mask].abs().sum() == 0
    assert view_a.grad[mask].abs().sum(1).min() > 0


def test_info_nce_computes_in_float32_under_autocast() -> None:
    view_a, view_b, mask = unit(32), unit(32, seed=1), torch.ones(32, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce(view_a, view_b, mask, 0.07)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, info_nce(view_a, view_b, mask, 0.07))


def test_info_nce_gradient_is_that_of_its_value() -> None:
    view_a, view_b = unit(5).double().requires_grad_(), unit(5, seed=1).double().requires_grad_()
    mask = torch.tensor([True, True, False, True, True])
    assert torch.autograd.gradcheck(lambda a, b: info_nce(a, b, mask, 0.5), (view_a, view_b))


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
