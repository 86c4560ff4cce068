"""Folds of whole people."""

from pathlib import Path

import pytest

from fer_ssl.data.sources.folds import fold_of, split_by_subject
from fer_ssl.data.sources.listed import Listed
from fer_ssl.errors import ConfigError, DataError

FACES = [Listed(f"{number}.jpg", 0, f"S{number % 12:03d}") for number in range(60)]


def test_people_are_dealt_in_the_order_of_their_names() -> None:
    assert fold_of(["S3", "S1", "S2", "S1", "S9"], 3).tolist() == [2, 0, 1, 0, 0]


def test_folds_are_disjoint_and_cover_everybody() -> None:
    tested: list[str] = []
    for fold in range(5):
        splits = split_by_subject(FACES, fold, 5, Path("set"))
        train, test = ({face.subject for face in splits[split]} for split in ("train", "test"))
        assert not train & test
        assert len(train | test) == 12
        tested += test
    assert sorted(tested) == sorted({face.subject for face in FACES})


def test_without_a_fold_all_faces_are_train() -> None:
    assert split_by_subject(FACES, None, 5, Path("set")) == {"train": FACES}


def test_a_fold_that_cannot_be_names_the_override() -> None:
    with pytest.raises(ConfigError, match=r"data\.fold=5 is none of the 5 folds; set data\.fold=0 to 4"):
        split_by_subject(FACES, 5, 5, Path("set"))
    with pytest.raises(DataError, match=r"12 people, fewer than 13 folds; set data\.folds=12"):
        split_by_subject(FACES, 0, 13, Path("set"))
