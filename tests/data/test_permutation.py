"""The computed shuffle: a bijection, spread evenly, the same however it is asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_ssl.data.permutation import KeyedPermutation
from fer_ssl.data.samplers import STORED, Deck, ShuffledSampler


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 3000), key=st.tuples(st.integers(0, 2**63), st.integers(0, 2**31)))
def test_every_item_has_one_place(size: int, key: tuple[int, int]) -> None:
    assert np.array_equal(np.sort(KeyedPermutation(size, key)[:]), np.arange(size))


@pytest.mark.parametrize("size", [2**16, 2**16 + 1, 99_991, 10**6])
def test_large_orders_are_bijections_too(size: int) -> None:
    assert np.bincount(KeyedPermutation(size, (0, 0))[:], minlength=size).max() == 1


def test_a_part_is_the_same_as_in_the_whole() -> None:
    order = KeyedPermutation(10_007, (3, 1))
    assert np.array_equal(order[:][777:1234], order[777:1234])
    assert len(order[10_000:20_000]) == 7


def test_keys_and_passes_order_differently() -> None:
    orders = [KeyedPermutation(5000, key)[:] for key in ((0, 0), (0, 1), (1, 0))]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert (orders[a] == orders[b]).sum() < 12  # one on average by chance


def test_all_orders_of_four_are_about_equally_frequent() -> None:
    seen = [tuple(KeyedPermutation(4, (seed, 0))[:].tolist()) for seed in range(2400)]
    counts = np.unique(seen, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 100) ** 2 / 100).sum() < 60  # chi-square with 23 degrees of freedom: p < 1e-4


def test_places_tell_nothing_of_items() -> None:
    size = 2**18
    items = KeyedPermutation(size, (5, 0))[:]
    joint = np.histogram2d(np.arange(size), items, bins=32)[0]
    expected = size / 32**2
    assert ((joint - expected) ** 2 / expected).sum() < 31**2 + 5 * (2 * 31**2) ** 0.5
    for lag in (1, 2, 512, 513):  # 512: the side of the square that the halves of an index span
        assert abs(np.corrcoef(items[:-lag], items[lag:])[0, 1]) < 5 / size**0.5


def test_large_decks_hold_every_item_once_per_pass_and_store_none() -> None:
    deck = Deck(STORED + 5, (1,))
    first = deck.draw(0, STORED + 5)
    assert np.bincount(first, minlength=deck.size).max() == 1
    across = deck.draw(STORED, 10)
    assert np.array_equal(across[:5], first[-5:])
    assert not np.array_equal(across[5:], first[:5])
    assert deck._cached is None


def test_a_far_batch_costs_no_more_than_the_first() -> None:
    ranks = [ShuffledSampler(5_800_000, 4, rank, 2, seed=3) for rank in range(2)]
    batch = ShuffledSampler(5_800_000, 8, seed=3).batch(10**9)
    assert np.array_equal(np.concatenate([sampler.batch(10**9) for sampler in ranks]), batch)
