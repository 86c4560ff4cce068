import pytest
import torch
from golden_arrays import golden
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl.method.contrast import info_nce


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
    loss = info_nce([features[:, 0], features[:, 1]], torch.ones(n, dtype=torch.bool), 0.07)
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
        info_nce([view_a, view_b], mask, 0.2), naive_info_nce(view_a, view_b, mask, 0.2, apart), atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(
        info_nce([view_a, view_b], mask, 0.2, groups),
        naive_info_nce(view_a, view_b, mask, 0.2, groups),
        atol=1e-5,
        rtol=1e-5,
    )


@pytest.mark.parametrize("chosen", [[], [3]])
def test_info_nce_of_fewer_than_two_faces_is_zero_with_gradient(chosen: list[int]) -> None:
    view_a, view_b = unit(8).requires_grad_(), unit(8, seed=1).requires_grad_()
    mask = torch.zeros(8, dtype=torch.bool)
    mask[chosen] = True
    loss = info_nce([view_a, view_b], mask, 0.07)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(view_a.grad, torch.zeros_like(view_a))
    assert torch.equal(view_b.grad, torch.zeros_like(view_b))


def test_info_nce_ignores_rows_outside_mask() -> None:
    view_a, view_b = unit(6).requires_grad_(), unit(6, seed=1)
    mask = torch.tensor([True, False, True, True, False, True])
    loss = info_nce([view_a, view_b], mask, 0.1)
    loss.backward()
    torch.testing.assert_close(loss, info_nce([view_a[mask], view_b[mask]], mask[mask], 0.1))
    assert view_a.grad[~mask].abs().sum() == 0
    assert view_a.grad[mask].abs().sum(1).min() > 0


def test_info_nce_computes_in_float32_under_autocast() -> None:
    view_a, view_b, mask = unit(32), unit(32, seed=1), torch.ones(32, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce([view_a, view_b], mask, 0.07)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, info_nce([view_a, view_b], mask, 0.07))


def test_info_nce_gradient_is_that_of_its_value() -> None:
    view_a, view_b = unit(5).double().requires_grad_(), unit(5, seed=1).double().requires_grad_()
    mask = torch.tensor([True, True, False, True, True])
    assert torch.autograd.gradcheck(lambda a, b: info_nce([a, b], mask, 0.5), (view_a, view_b))


@pytest.mark.parametrize("names", [False, True])
def test_info_nce_without_a_mask_takes_all_faces(names: bool) -> None:
    views, groups = [unit(6), unit(6, seed=1)], torch.arange(6) % 4 if names else None
    everyone = torch.ones(6, dtype=torch.bool)
    assert torch.equal(info_nce(views, None, 0.2, groups), info_nce(views, everyone, 0.2, groups))


def test_info_nce_of_three_views_is_the_mean_over_pairs() -> None:
    a, b, c = (unit(6, seed=seed) for seed in range(3))
    mask, groups = torch.tensor([True, False, True, True, True, True]), torch.arange(6) % 4
    pairs = [info_nce(list(pair), mask, 0.2, groups) for pair in ((a, b), (a, c), (b, c))]
    torch.testing.assert_close(info_nce([a, b, c], mask, 0.2, groups), torch.stack(pairs).mean())


def test_faces_of_one_person_stay_positives_where_they_share_a_group() -> None:
    people = torch.tensor([0, 1, 1, 0, 0, 1])
    views = [unit(6, seed=1), unit(6, seed=2)]
    agreeing = torch.zeros(6, dtype=torch.int64)  # so whoever is another person is left out
    alone = [
        info_nce([view[people == person] for view in views], None, 0.2, people=people[people == person])
        for person in (0, 1)
    ]
    torch.testing.assert_close(info_nce(views, None, 0.2, agreeing, people), torch.stack(alone).mean())
