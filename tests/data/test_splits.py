"""Who serves as what, drawn by seed or named by a file."""

import json
from pathlib import Path

import numpy as np
import pytest
from making import SPACE, faces

from fer_ssl.data.splits import SplitPlan, divide, official_row
from fer_ssl.errors import DataError

TRAIN = faces([0] * 30 + [1] * 20 + [2] * 10)
USABLE = np.ones(60, dtype=bool)


def roles(plan: SplitPlan, usable: np.ndarray = USABLE) -> dict[str, np.ndarray]:
    return vars(divide(TRAIN, usable, SPACE, plan))


def test_roles_are_disjoint_and_cover_the_usable_faces() -> None:
    usable = USABLE.copy()
    usable[[0, 35, 59]] = False
    rows = roles(SplitPlan(labels_per_class=4, val_fraction=0.2, heldout_fraction=0.25), usable)
    everything = np.concatenate(list(rows.values()))
    assert sorted(everything.tolist()) == np.flatnonzero(usable).tolist()
    labels = TRAIN.labels.numpy()
    assert np.bincount(labels[rows["labeled"]]).tolist() == [3, 3, 3]
    assert np.bincount(labels[rows["heldout"]]).tolist() == [1, 1, 1]


def test_the_draw_follows_its_seed() -> None:
    plans = [SplitPlan(labels_per_class=4, split_seed=seed) for seed in (0, 0, 1)]
    first, again, other = (roles(plan)["labeled"].tolist() for plan in plans)
    assert first == again != other


def test_without_a_budget_everything_but_validation_is_labeled() -> None:
    rows = roles(SplitPlan(val_fraction=0.1))
    assert (len(rows["labeled"]), len(rows["val"]), len(rows["rest"])) == (54, 6, 0)


def test_a_split_file_names_labeled_and_excluded_rows(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"labeled": [3, 31, 55], "excluded": [0, 1]}))
    rows = roles(SplitPlan(split_file=str(path), val_fraction=0.0))
    assert rows["labeled"].tolist() == [3, 31, 55]
    assert len(rows["rest"]) == 55
    assert not {0, 1} & set(rows["rest"].tolist())
    everything = roles(SplitPlan(split_file=str(path), val_fraction=0.0, use_all_labels=True))
    assert len(everything["labeled"]) == 58


@pytest.mark.parametrize("budget", [None, 4])
def test_validation_and_held_out_fold_take_whole_subjects(budget: int | None) -> None:
    subjects = np.array([f"person{row % 12}" for row in range(60)])
    train = faces(TRAIN.labels.tolist(), subjects=subjects.tolist())
    rows = divide(train, USABLE, SPACE, SplitPlan(labels_per_class=budget, val_fraction=0.2, heldout_fraction=0.2))
    in_val, held_out, taught, pool = (set(subjects[part]) for part in (rows.val, rows.heldout, rows.labeled, rows.rest))
    assert min(len(in_val), len(held_out), len(taught)) > 0
    assert not in_val & (held_out | taught | pool)
    assert not held_out & taught


def test_validation_leaves_the_subjects_of_a_split_file_alone(tmp_path: Path) -> None:
    subjects = np.array([f"person{row % 12}" for row in range(60)])
    train = faces(TRAIN.labels.tolist(), subjects=subjects.tolist())
    named = [train.ids.tolist()[row] for row in range(60) if row % 12 < 4]
    (tmp_path / "split.json").write_text(json.dumps({"labeled": named}))
    rows = divide(train, USABLE, SPACE, SplitPlan(split_file=str(tmp_path / "split.json"), val_fraction=0.2))
    assert len(rows.labeled) == len(named)
    assert len(rows.val)
    assert not set(subjects[rows.val]) & set(subjects[np.concatenate([rows.labeled, rows.rest])])


def test_a_budget_larger_than_a_class_names_class_and_override() -> None:
    with pytest.raises(DataError, match=r"labels_per_class=11 is more than the 10 .*'cross'; set data\.labels_per"):
        roles(SplitPlan(labels_per_class=11))


def test_a_budget_is_told_the_class_that_has_the_fewest_faces() -> None:
    scarce = faces([0] * 8 + [1] * 3 + [2] * 5)
    with pytest.raises(DataError, match=r"than the 3 training faces of class 'glad'; set data\.labels_per_class=3 or"):
        divide(scarce, np.ones(16, dtype=bool), SPACE, SplitPlan(labels_per_class=9))


def test_a_budget_is_told_of_a_class_that_has_no_face() -> None:
    with pytest.raises(DataError, match="no labeled training face of class cross"):
        divide(faces([0, 0, 1, 1]), np.ones(4, dtype=bool), SPACE, SplitPlan(labels_per_class=1))


def test_a_class_without_labeled_face_is_named() -> None:
    train = faces([0, 0, 1, 1])
    with pytest.raises(DataError, match=r"no labeled training face of class cross .*data\.root"):
        divide(train, np.ones(4, dtype=bool), SPACE, SplitPlan(val_fraction=0.0))


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read as JSON"), ('{"rows": []}', "cannot be read"), ('{"labeled": [77]}', "names face 77")],
)
def test_a_bad_split_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        roles(SplitPlan(split_file=str(path)))


def test_the_official_row_ends_the_id() -> None:
    assert official_row("fer2013/00097") == official_row("Training/angry/97.png") == 97
    assert official_row("face") is None


def test_a_heldout_fold_of_nobody_is_told() -> None:
    with pytest.raises(
        DataError, match=r"heldout_fraction=0\.02 of 12 labeled faces .* set data\.heldout_fraction=0\.2"
    ):
        roles(SplitPlan(labels_per_class=4, heldout_fraction=0.02))
