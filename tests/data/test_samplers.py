"""Decks, passes, slices and positions of the samplers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_ssl.data.samplers import BalancedSampler, ShuffledSampler, SourceBalancedSampler, natural
from fer_ssl.errors import ConfigError

LABELS = np.repeat([0, 1, 2, 3, 4, 5, 6], [40, 3, 17, 60, 9, 25, 11])

SOURCES = np.array([("a", "b", "a", "c", "a")[row % 5] if label != 1 else "b" for row, label in enumerate(LABELS)])


def counts(labels: np.ndarray, batch: torch.Tensor) -> np.ndarray:
    return np.bincount(labels[batch.numpy()], minlength=7)


@settings(max_examples=25, deadline=None)
@given(batch_size=st.integers(7, 40), seed=st.integers(0, 2**31), start=st.integers(0, 500))
def test_every_class_gets_floor_or_ceil_and_an_equal_share_over_c_batches(
    batch_size: int, seed: int, start: int
) -> None:
    sampler = BalancedSampler(LABELS, batch_size, seed=seed)
    dealt = np.array([counts(LABELS, sampler.batch(start + k)) for k in range(7)])
    assert dealt.min() >= batch_size // 7
    assert dealt.max() <= -(-batch_size // 7)
    assert (dealt.sum(0) == batch_size).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), batch_size=st.integers(7, 30))
def test_every_face_appears_once_per_pass_of_its_class(seed: int, batch_size: int) -> None:
    sampler = BalancedSampler(LABELS, batch_size, seed=seed)
    dealt = torch.cat([sampler.batch(k) for k in range(60)]).numpy()
    for label in range(7):
        members = np.flatnonzero(label == LABELS)
        of_class = dealt[LABELS[dealt] == label]
        per_face = np.bincount(of_class, minlength=len(LABELS))[members]
        whole_passes, begun = divmod(len(of_class), len(members))
        assert np.bincount(per_face - whole_passes).tolist() == [len(members) - begun, begun][: 1 + (begun > 0)]


def test_a_class_is_dealt_pass_by_pass() -> None:
    sampler = BalancedSampler(np.repeat([0, 1], [6, 4]), 4, seed=3)  # two of each class in each batch
    passes = torch.cat([sampler.batch(k) for k in range(6)]).numpy()
    zeros, ones = passes[passes < 6], passes[passes >= 6]
    assert [sorted(zeros[i : i + 6].tolist()) for i in (0, 6)] == [list(range(6))] * 2
    assert [sorted(ones[i : i + 4].tolist()) for i in (0, 4, 8)] == [list(range(6, 10))] * 3


@pytest.mark.parametrize("world", [2, 4])
def test_slices_of_ranks_concatenate_to_the_one_rank_batch(world: int) -> None:
    one = BalancedSampler(LABELS, 32, seed=5)
    ranks = [BalancedSampler(LABELS, 32 // world, rank, world, seed=5) for rank in range(world)]
    for position in range(20):
        assert torch.equal(torch.cat([sampler.batch(position) for sampler in ranks]), one.batch(position))


@pytest.mark.parametrize("build", [BalancedSampler, natural])
def test_a_restored_sampler_continues_exactly(build: type) -> None:
    sampler = build(LABELS, 16, seed=1)
    batches = iter(sampler)
    for _ in range(13):
        next(batches)
    restored = build(LABELS, 16, seed=99)
    restored.load_state_dict(sampler.state_dict())
    expected, got = next(batches), next(iter(restored))
    assert torch.equal(expected, got)


def test_shuffled_passes_hold_every_face_once() -> None:
    sampler = ShuffledSampler(50, 20, seed=2)
    dealt = torch.cat([sampler.batch(k) for k in range(5)])
    assert dealt[:50].sort().values.tolist() == list(range(50))
    assert dealt[50:].sort().values.tolist() == list(range(50))
    assert dealt[:50].tolist() != dealt[50:].tolist()


def test_seeds_deal_differently() -> None:
    assert not torch.equal(BalancedSampler(LABELS, 32, seed=0).batch(0), BalancedSampler(LABELS, 32, seed=1).batch(0))


def test_a_batch_smaller_than_the_classes_names_the_override() -> None:
    with pytest.raises(ConfigError, match=r"batch\.labeled=6 .* 7 classes .* set batch\.labeled=7"):
        BalancedSampler(LABELS, 6)


@settings(max_examples=25, deadline=None)
@given(batch_size=st.integers(7, 40), seed=st.integers(0, 2**31), weight=st.integers(1, 4))
def test_each_class_deals_its_sets_by_weight_exactly(batch_size: int, seed: int, weight: int) -> None:
    sampler = SourceBalancedSampler(LABELS, batch_size, seed=seed, sources=SOURCES, weights={"b": weight})
    turn = weight + 2  # a, c and b
    dealt = torch.cat([sampler.batch(k) for k in range(7 * turn)]).numpy()
    for label in (0, 2, 3, 4, 5, 6):
        names, numbers = np.unique(SOURCES[dealt[LABELS[dealt] == label]], return_counts=True)
        assert dict(zip(names.tolist(), numbers.tolist(), strict=True)) == {
            "a": batch_size,
            "b": batch_size * weight,
            "c": batch_size,
        }
    assert (LABELS[dealt] == 1).sum() == batch_size * turn, "a class that one set has is dealt from that set"


def test_one_batch_holds_all_sets_and_stays_balanced_over_classes() -> None:
    sampler = SourceBalancedSampler(LABELS, 21, seed=3, sources=SOURCES)
    for position in range(6):
        batch = sampler.batch(position)
        assert counts(LABELS, batch).tolist() == [3] * 7
        assert np.unique(SOURCES[batch], return_counts=True)[1].tolist() == [6, 9, 6]


def test_every_face_of_a_set_appears_once_per_pass_of_its_class_and_set() -> None:
    sampler = SourceBalancedSampler(LABELS, 21, seed=5, sources=SOURCES)
    dealt = torch.cat([sampler.batch(k) for k in range(60)]).numpy()
    for label in range(7):
        for name in np.unique(SOURCES[label == LABELS]):
            members = np.flatnonzero((label == LABELS) & (name == SOURCES))
            per_face = np.bincount(dealt, minlength=len(LABELS))[members]
            assert per_face.max() - per_face.min() <= 1


def test_sets_balanced_over_ranks_and_restored() -> None:
    def build(batch_size: int, rank: int = 0, world: int = 1, seed: int = 5) -> SourceBalancedSampler:
        return SourceBalancedSampler(LABELS, batch_size, rank, world, seed, sources=SOURCES, weights={"a": 2})

    one, ranks = build(32), [build(16, rank, 2) for rank in range(2)]
    for position in range(10):
        assert torch.equal(torch.cat([sampler.batch(position) for sampler in ranks]), one.batch(position))
    batches = iter(one)
    for _ in range(13):
        next(batches)
    restored = build(32, seed=99)
    restored.load_state_dict(one.state_dict())
    assert torch.equal(next(batches), next(iter(restored)))


def test_sets_that_cannot_be_balanced_name_the_override() -> None:
    with pytest.raises(ConfigError, match=r"only data=mixed .* or sampler=balanced"):
        SourceBalancedSampler(LABELS, 16)
    for weights in ({"z": 1}, {"a": 0}, {"a": 0.5}):
        with pytest.raises(ConfigError, match=r"sampler\.weights=.* whole number .* a, b, c"):
            SourceBalancedSampler(LABELS, 16, sources=SOURCES, weights=weights)  # type: ignore[arg-type]
