"""Pairs of an audit name every twin and every contradiction, and stay few."""

import numpy as np
import pytest
import torch
from making import SPACE, faces

from fer_ssl.data.auditing.audit import Audit, audit
from fer_ssl.data.auditing.pairs import Pair, Search, find_pairs
from fer_ssl.data.auditing.prints import Printed, Printer, print_faces
from fer_ssl.data.images import ResidentImages
from fer_ssl.types import Faces

EXACT = Search(near=False, mirrored=False)


def drawn(seed: int, split: str, count: int = 40, pictures: int = 12) -> Faces:
    """Return faces that show few different pictures, some of them without a label."""
    rng = np.random.default_rng(seed)
    known = np.random.default_rng(99).integers(0, 256, (pictures, 1, 6, 6), dtype=np.uint8)
    pixels = torch.from_numpy(known[rng.integers(0, pictures, count)])
    ids = np.array([f"{split}/{row}" for row in range(count)])
    return Faces(ResidentImages(pixels), ids, torch.from_numpy(rng.integers(-1, 3, count)))


def printed(**splits: Faces) -> Printed:
    return print_faces({name: (each, SPACE.classes) for name, each in splits.items()}, Printer(6, 1, 0.0))


def both_ways(pairs: list[Pair]) -> list[tuple[int, int]]:
    return [turned for pair in pairs for turned in ((pair.row, pair.twin), (pair.twin, pair.row))]


@pytest.mark.parametrize("seed", range(5))
def test_each_face_is_paired_with_a_twin_in_each_split(seed: int) -> None:
    given = printed(train=drawn(seed, "train"), val=drawn(seed + 50, "val", 10), test=drawn(seed + 90, "test", 5))
    pixels, part, label = given.prints["pixels"], given.part, given.meanings
    pairs = find_pairs(given, EXACT)
    named = {(row, int(part[twin])): False for row, twin in both_ways(pairs)}
    for row, twin in both_ways(pairs):
        assert pixels[row] == pixels[twin]
        named[row, int(part[twin])] |= min(label[row], label[twin]) >= 0 and label[row] != label[twin]
    expected = {}
    for row in range(len(pixels)):
        for split in range(3):
            twins = [each for each in np.flatnonzero((pixels == pixels[row]) & (part == split)) if each != row]
            if twins:
                expected[row, split] = any(label[row] >= 0 <= label[each] != label[row] for each in twins)
    assert named == expected
    assert len(pairs) <= len(expected)


def test_a_picture_that_repeats_gives_as_many_pairs_as_faces() -> None:
    given = printed(train=drawn(0, "train", 2000, pictures=1))
    assert len(find_pairs(given, EXACT)) == 1999


def test_only_pairs_across_splits_where_asked() -> None:
    given = printed(train=drawn(1, "train"), test=drawn(2, "test"))
    assert {given.part[pair.row] for pair in find_pairs(given, EXACT)} == {0, 1}
    crossing = find_pairs(given, Search(near=False, mirrored=False, within=False))
    assert crossing
    assert all(given.part[pair.row] != given.part[pair.twin] for pair in crossing)


def audited(train: Faces, test: Faces, other: tuple[str, ...] = SPACE.classes) -> Audit:
    sets = {"train": (train, SPACE.classes), "test": (test, other), "against/train": (test, other)}
    return audit(lambda decoder: sets, Printer(6, 1, 0.0), EXACT)


def test_people_in_two_splits_of_one_set_are_told() -> None:
    train = faces([0, 1, 2, 0], "train", 1, ["ann", "bob", "ann", "eve"])
    test = faces([0, 1, 2], "test", 2, ["ann", "zoe", "eve"])
    found = audited(train, test).summary
    assert found["subjects"] == [
        {"split": "train", "other": "test", "subjects": ["ann", "eve"], "faces": 3, "other_faces": 2}
    ]
    assert found["leaks"]["subjects"] == 2


def test_labels_of_other_sets_conflict_by_what_they_mean() -> None:
    train = faces([0, 1, 2], "train", 5)
    same = Faces(train.images, np.array(["a", "b", "c"]), torch.tensor([2, 1, 1]))
    rows = audited(train, same, ("cross", "glad", "calm")).pairs.to_pylist()
    found = {(row["id"], row["twin"]): row["conflict"] for row in rows if row["twin_split"] == "test"}
    assert found == {("train/00000", "a"): False, ("train/00001", "b"): False, ("train/00002", "c"): True}


def test_blank_faces_are_twins_that_contradict_nobody() -> None:
    blank = ResidentImages(torch.zeros(3, 1, 6, 6, dtype=torch.uint8))
    train = Faces(blank, np.array(["a", "b", "c"]), torch.tensor([0, 1, 2]))
    found = audited(train, faces([0], "test", 3)).summary
    assert found["splits"]["train"] == {"faces": 3, "blank": 3}
    twins = found["twins"][0]
    assert (twins["split"], twins["twin_split"]) == ("train", "train")
    assert (twins["faces"], twins["conflicts"]) == (3, 0)
