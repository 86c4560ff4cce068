from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow.csv
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_ssl.data.labels import (
    ABAW,
    AFFECTNET,
    AFFECTNET7,
    DROPPED,
    EXPW,
    FER2013,
    FERPLUS,
    KDEF,
    RAFDB,
    SPACES,
    VOTE_COLUMNS,
    LabelMap,
    label_map,
    vote_majority,
    vote_probabilities,
)
from fer_ssl.data.sources.mixed import to_space
from fer_ssl.data.sources.parquet import ParquetSource
from fer_ssl.data.sources.prepared import PreparedSource
from fer_ssl.errors import DataError
from fer_ssl.types import UNKNOWN, LabelSpace

PUBLISHED = [
    (RAFDB, [6, 3, 2, 4, 5, 1, 0]),
    (FERPLUS, [0, 4, 6, 5, 1, 2, 3, 7]),
    (FER2013, [1, 2, 3, 4, 5, 6, 0]),
    (AFFECTNET, [0, 4, 5, 6, 3, 2, 1, 7]),
    (EXPW, [1, 2, 3, 4, 5, 6, 0]),
]
votes_strategy = st.lists(st.lists(st.integers(0, 10), min_size=10, max_size=10), min_size=1, max_size=5)


def test_fer2013_has_the_official_order():
    assert FER2013.classes == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert [ABAW.index(name) for name in ("Neutral", "Happiness", "Other")] == [0, 4, 7]


@pytest.mark.parametrize(("space", "table"), PUBLISHED, ids=lambda value: getattr(value, "name", ""))
def test_maps_into_the_order_of_abaw(space, table):
    assert label_map(space, ABAW).table.tolist() == table


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_every_space_maps_into_abaw_class_by_class(space):
    table = label_map(space, ABAW).table.tolist()
    assert len(set(table)) == len(space)


def test_contempt_is_other_only_where_contempt_is_missing():
    assert label_map(AFFECTNET, FERPLUS).mapping["contempt"] == "contempt"
    assert label_map(AFFECTNET, ABAW).mapping["contempt"] == "Other"
    with pytest.raises(DataError, match="contempt"):
        label_map(AFFECTNET, RAFDB)


def test_a_choice_moves_or_drops_a_class():
    moved = label_map(AFFECTNET, RAFDB, {"contempt": "disgust"})
    assert moved.labels(torch.tensor([7, UNKNOWN])).tolist() == [2, UNKNOWN]
    dropped = label_map(AFFECTNET, AFFECTNET7, {"contempt": None})
    assert dropped.labels(torch.tensor([6, 7])).tolist() == [6, DROPPED]
    votes = torch.tensor([[0.25, 0.25, 0, 0, 0, 0, 0, 0.5], [0, 0, 0, 0, 0, 0, 0, 1.0]])
    torch.testing.assert_close(dropped.soft_labels(votes).sum(1), torch.tensor([1.0, 0.0]))
    assert dropped.soft_labels(votes)[0, :2].tolist() == [0.5, 0.5]


def test_names_mean_the_same_in_every_form():
    assert label_map(KDEF, RAFDB).mapping["afraid"] == "fear"
    assert label_map(ABAW, FERPLUS, {"Other": None}).mapping["Happiness"] == "happiness"


def test_unknown_labels_stay_unknown():
    assert label_map(FER2013, ABAW).labels(torch.tensor([3, UNKNOWN, 6])).tolist() == [4, UNKNOWN, 0]


def test_a_map_within_a_space_changes_nothing():
    assert label_map(FER2013, FER2013).labels(torch.arange(7)).tolist() == list(range(7))


def test_classes_are_mapped_by_equal_names():
    ours = LabelSpace("ours", ("neutral", "fear"))
    assert label_map(ours, FER2013).labels(torch.tensor([0, 1])).tolist() == [6, 2]


def test_a_class_without_a_counterpart_is_named():
    with pytest.raises(DataError, match="contempt"):
        label_map(LabelSpace("mine", ("neutral", "contempt")), FER2013).labels(torch.tensor([0]))


def test_label_map_refuses_classes_outside_either_space():
    two = LabelSpace("two", ("x", "y"))
    with pytest.raises(DataError, match="'z'"):
        LabelMap(two, two, {"x": "x", "y": "z"})
    with pytest.raises(DataError, match="'w'"):
        LabelMap(two, two, {"x": "x", "y": "y", "w": "x"})


def test_soft_labels_add_up_where_classes_merge():
    source, target = LabelSpace("s", ("a", "b", "c")), LabelSpace("t", ("rest", "a"))
    merged = LabelMap(source, target, {"a": "a", "b": "rest", "c": "rest"})
    soft = merged.soft_labels(torch.tensor([[0.5, 0.2, 0.3]]))
    torch.testing.assert_close(soft, torch.tensor([[0.5, 0.5]]))


def test_soft_labels_follow_labels():
    one_hot = torch.eye(8)
    mapped = label_map(FERPLUS, ABAW).soft_labels(one_hot).argmax(1)
    assert mapped.tolist() == label_map(FERPLUS, ABAW).labels(torch.arange(8)).tolist()


def majority_by_hand(votes: list[int]) -> int:
    counted = Counter({name: count for name, count in zip(VOTE_COLUMNS, votes, strict=True) if count > 1})
    for name, count in counted.items():
        if count > sum(counted.values()) / 2 and name not in ("unknown", "NF"):
            return FERPLUS.classes.index(name)
    return UNKNOWN


@given(votes_strategy)
@settings(max_examples=60, deadline=None)
def test_majority_equals_the_rule_by_hand(votes):
    assert vote_majority(np.array(votes)).tolist() == [majority_by_hand(row) for row in votes]


def test_majority_needs_more_than_half_and_drops_single_votes():
    votes = np.zeros((4, 10), np.int64)
    votes[0, :2] = 5, 5
    votes[1, :6] = 5, 1, 1, 1, 1, 1
    votes[2, 9] = 10
    votes[3, :3] = 1
    assert vote_majority(votes).tolist() == [UNKNOWN, 0, UNKNOWN, UNKNOWN]


@given(votes_strategy)
@settings(max_examples=60, deadline=None)
def test_probabilities_sum_to_one_and_agree_with_the_majority(votes):
    soft, majority = vote_probabilities(np.array(votes)), vote_majority(np.array(votes))
    assert soft.dtype == torch.float32
    torch.testing.assert_close(soft.sum(1), torch.ones(len(votes)))
    known = majority != UNKNOWN
    assert soft.argmax(1)[known].tolist() == majority[known].tolist()


def test_probabilities_without_expression_votes_are_uniform():
    votes = np.zeros((2, 10), np.int64)
    votes[0, 9] = 10
    votes[1, [0, 8]] = 1, 9
    assert vote_probabilities(votes).tolist() == [[0.125] * 8, [1.0] + [0.0] * 7]


@pytest.mark.real
def test_majority_keeps_the_published_counts(real_data):
    table = pyarrow.csv.read_csv(real_data / "fer2013" / "fer2013new.csv")
    labels = vote_majority(np.stack([table[name].to_numpy() for name in VOTE_COLUMNS], axis=1))
    usage = np.array(table["Usage"].to_pylist())
    kept = Counter(usage[labels.numpy() != UNKNOWN].tolist())
    assert kept == {"Training": 25060, "PublicTest": 3199, "PrivateTest": 3153}


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda classes: ParquetSource("nowhere", classes=classes).space, "data.classes"),
        (lambda classes: PreparedSource("nowhere", classes).space, "data.classes"),
        (to_space, "data.space"),
    ],
    ids=["parquet", "prepared", "mixed"],
)
def test_listed_classes_are_names_each_once(make: Callable[[list[object]], LabelSpace], key: str) -> None:
    assert make([0, "sad"]).classes == ("0", "sad")
    with pytest.raises(DataError, match=rf"{key} holds null, which names no class; take it out"):
        make(["happy", None])
    with pytest.raises(DataError, match=rf"{key} lists happy twice"):
        make(["happy", "sad", "happy"])
