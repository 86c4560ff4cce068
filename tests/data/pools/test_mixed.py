"""Several pools as one: their shares of a batch, and what a wrong list says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packing import packed, scene

from fer_ssl.data.decode import Decoder
from fer_ssl.data.joined import JoinedImages
from fer_ssl.data.module import deal_pool
from fer_ssl.data.pools.mixed import MixedPool
from fer_ssl.data.preparing.manifest import read_manifest
from fer_ssl.data.samplers import CYCLE, MixedSampler, interleaved
from fer_ssl.errors import ConfigError
from fer_ssl.types import Provenance


@pytest.fixture
def entries(insightface: Path, face_bytes: list[bytes], tmp_path: Path) -> list[dict[str, object]]:
    (tmp_path / "photos" / "eve").mkdir(parents=True)
    for row in range(50, 53):
        (tmp_path / "photos" / "eve" / f"{row}.png").write_bytes(face_bytes[row])
    records = {"kind": "recordio", "root": str(insightface), "weight": 3, "identities": True}
    return [records, {"kind": "folder", "root": str(tmp_path / "photos"), "identities": True}]


@pytest.mark.parametrize("resident", [True, False])
def test_pools_lie_behind_one_another(entries, resident: bool) -> None:
    faces = MixedPool(entries).load(Decoder(8, 1, resident=resident))
    values = faces.images.read(torch.tensor([7, 0, 5, 4])).flatten(1).float().mean(1).tolist()
    assert values == [52, 1, 50, 5]
    assert faces.ids.tolist()[4:6] == ["train/0000005", "eve/50.png"]
    assert faces.subjects.tolist() == ["0/0", "0/0", "0/1", "0/2", "0/2", *["1/eve"] * 3]
    part = faces.subset(torch.tensor([0, 4, 6]))
    assert (part.ids.tolist(), part.images.sizes) == (["train/0000001", "train/0000005", "eve/51.png"], [2, 1])


def test_numbers_of_people_do_not_collide(entries) -> None:
    faces = MixedPool([entries[0], entries[0]]).load(Decoder(8, 1))
    assert faces.subjects.tolist() == [0, 0, 1, 2, 2, 3, 3, 4, 5, 5]


def test_names_of_people_do_not_collide(entries) -> None:
    faces = MixedPool([entries[1], entries[1]]).load(Decoder(8, 1))
    assert faces.subjects.tolist() == ["0/eve"] * 3 + ["1/eve"] * 3


def test_a_pool_without_people_leaves_all_without(entries) -> None:
    assert MixedPool([entries[0], {**entries[1], "identities": False}]).load(Decoder(8, 1)).subjects is None


def test_a_pool_of_the_mixture_has_its_own_provenance(entries) -> None:
    entries[1]["provenance"] = {"licence": "CC0-1.0", "collected": 2019}
    origins = MixedPool(entries).load(Decoder(8, 1)).origins
    told = [origins.records[row] for row in origins.rows.tolist()]
    assert told == [Provenance()] * 5 + [Provenance(licence="CC0-1.0", collected="2019")] * 3
    assert MixedPool([entries[0]]).load(Decoder(8, 1)).origins is None, "what is told of all pools holds"


def test_prepared_faces_keep_the_origins_that_their_manifest_tells(entries, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    scene(50).save(tmp_path / "taken" / "ann.jpg")
    packed(tmp_path / "taken", tmp_path / "faces")
    prepared = {"kind": "prepared", "root": str(tmp_path / "faces"), "provenance": {"licence": "unlike the manifest's"}}
    faces = MixedPool([entries[1], prepared]).load(Decoder(8, 1))
    assert faces.origins is not None
    assert len(faces) == 3 + 1
    told = [faces.origins.records[row].licence for row in faces.origins.rows.tolist()]
    assert told == [None] * 3 + [read_manifest(tmp_path / "faces", "")["licence"][0].as_py()]
    assert told[-1] is not None


def test_batches_follow_the_weights_after_faces_were_left_out(entries) -> None:
    faces = MixedPool(entries).load(Decoder(8, 1)).subset(torch.tensor([0, 1, 2, 4, 5, 7]))
    assert isinstance(faces.images, JoinedImages)
    sampler = deal_pool(faces, 4, 0, 1, seed=0)
    drawn = torch.cat([sampler.batch(position) for position in range(16)])
    assert (drawn >= 4).sum() == 16
    assert drawn.bincount().tolist() == [12, 12, 12, 12, 8, 8]


@settings(max_examples=30, deadline=None)
@given(
    weights=st.lists(st.floats(0.05, 20), min_size=1, max_size=5),
    batch=st.integers(1, 40),
    start=st.integers(0, 10**6),
    seed=st.integers(0, 2**31),
)
def test_every_stretch_holds_the_shares_and_is_cut_anywhere(
    weights: list[float], batch: int, start: int, seed: int
) -> None:
    sizes = [7 + 3 * number for number in range(len(weights))]
    sampler = MixedSampler(sizes, weights, batch, seed=seed)
    drawn = np.concatenate([sampler.global_batch(start + k) for k in range(5)])
    owners = np.searchsorted(np.cumsum(sizes), drawn, side="right")
    shares = np.bincount(sampler.cycle, minlength=len(sizes)) / len(sampler.cycle)
    assert np.abs(np.bincount(owners, minlength=len(sizes)) - shares * len(drawn)).max() <= len(weights) + 1
    assert shares == pytest.approx(np.array(weights) / sum(weights), abs=len(weights) / CYCLE)
    whole = MixedSampler(sizes, weights, batch * 5, seed=seed)
    if start % 5 == 0:
        assert np.array_equal(whole.global_batch(start // 5), drawn)


def test_each_pool_is_dealt_pass_by_pass_and_sliced_by_rank() -> None:
    ranks = [MixedSampler([3, 10], [1, 1], 3, rank, 2, seed=4) for rank in range(2)]
    drawn = torch.cat([sampler.batch(position) for position in range(10) for sampler in ranks])
    first, second = drawn[drawn < 3], drawn[drawn >= 3]
    assert all(sorted(block.tolist()) == [0, 1, 2] for block in first.split(3))
    assert all(sorted(block.tolist()) == list(range(3, 13)) for block in second.split(10))
    restored = MixedSampler([3, 10], [1, 1], 3, 0, 2, seed=9)
    ranks[0].position = 7
    restored.load_state_dict(ranks[0].state_dict())
    assert torch.equal(next(iter(restored)), ranks[0].batch(7))


def test_the_smallest_weight_has_a_slot() -> None:
    assert np.bincount(interleaved([1.0, 1e-9])).tolist() == [CYCLE, 1]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"root": "here"}, r"give each a kind of folder, lmdb, .* and a root"),
        ({"kind": "folder"}, "and a root"),
        ({"kind": "zip", "root": "here"}, "a kind of"),
        ({"kind": "folder", "root": "here", "wieght": 2}, "wieght.*remove that key"),
        ({"kind": "folder", "root": "here", "weight": 0}, "weight 0.0; set a number above 0"),
    ],
)
def test_a_wrong_entry_says_what_to_write(entry: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MixedPool([entry])
    with pytest.raises(ConfigError, match=r"'unlabeled\.pools=\["):
        MixedPool([])
