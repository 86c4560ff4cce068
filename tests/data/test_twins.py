"""The search for twins finds what comparing all pairs finds, in however many tables it looks."""

import numpy as np
import pytest
from PIL import Image

from fer_ssl.data import twins
from fer_ssl.data.twins import Pairs, near_pairs, perceptual_hash, perceptual_hashes


def family(seed: int, count: int = 120) -> np.ndarray:
    """Return strangers, copies of some with a bit changed, and many that agree in most of their bits."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, count, np.uint64, endpoint=False)
    copies = hashes[: count // 2] ^ (np.uint64(1) << rng.integers(0, 64, count // 2, np.uint64))
    crowd = np.uint64(rng.integers(0, 2**63)) ^ (np.uint64(1) << rng.integers(0, 64, 30, np.uint64))
    return np.concatenate([hashes, copies, crowd, hashes[:10]])


def naive(hashes: np.ndarray, distance: int) -> list[list[int]]:
    bits = np.bitwise_count(hashes[:, None] ^ hashes[None])
    return np.argwhere(np.triu(bits <= distance, 1)).tolist()


@pytest.mark.parametrize("met", [3, -6, -12])
@pytest.mark.parametrize("distance", [0, 2, 4, 7])
def test_tables_of_any_width_find_the_same_pairs(met: int, distance: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "MET", met)  # as if there were up to 2 ** 15 times as many rows
    hashes = family(distance)
    expected = naive(hashes, distance)
    assert len(expected) >= 10
    assert near_pairs(hashes, distance).tolist() == expected


def test_only_wanted_pairs_are_returned() -> None:
    hashes = family(7)

    def odd(pairs: Pairs) -> np.ndarray:
        return pairs.sum(axis=1) % 2 == 1

    expected = [pair for pair in naive(hashes, 4) if sum(pair) % 2]
    assert near_pairs(hashes, 4, odd).tolist() == expected
    assert expected


@pytest.mark.parametrize("count", [0, 1])
def test_nobody_has_no_twin(count: int) -> None:
    assert near_pairs(np.zeros(count, np.uint64)).shape == (0, 2)


@pytest.mark.parametrize("side", [32, 64, 96])
def test_the_second_hash_is_that_of_the_mirror_image(side: int) -> None:
    coarse = np.random.default_rng(side).integers(0, 256, (7, 7), dtype=np.uint8)
    face = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
    upright, mirrored = perceptual_hashes(face)
    assert upright == perceptual_hash(face)
    assert bin(mirrored ^ perceptual_hash(np.ascontiguousarray(face[:, ::-1]))).count("1") <= 1
    assert bin(mirrored ^ upright).count("1") > 12
