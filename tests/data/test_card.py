"""The data card counts what the faces tell."""

from dataclasses import replace

import numpy as np
import torch
from making import SPACE, faces

from fer_ssl.data.card import data_card
from fer_ssl.data.ids import compact
from fer_ssl.data.provenance import of_set
from fer_ssl.types import Origins, Provenance

WEB = Provenance("web", "CC-BY-4.0", None, ("research", "sale"), "2019", "found by a search")
LAB = Provenance("lab", None, "informed", (), None, "posed")


def test_every_part_is_counted_by_role() -> None:
    labeled = replace(
        faces([0, 0, 1, 2], subjects=["ann", "bob", "bob", "eve"]),
        origins=Origins((WEB, LAB, Provenance("absent")), np.array([0, 0, 1, 1], np.int32)),
    )
    test = of_set(faces([1, 1, 2], subjects=["eve", "cleo", "cleo"]), LAB)
    card = data_card({"labeled": labeled, "test": test, "pool": faces([-1, -1])}, SPACE)
    assert card["classes"] == {
        "labeled": {"calm": 2, "glad": 1, "cross": 1},
        "test": {"calm": 0, "glad": 2, "cross": 1},
    }
    assert card["imbalance"] == {"labeled": 2.0, "test": None}
    assert card["source"] == {"labeled": {"web": 2, "lab": 2}, "test": {"lab": 3}, "pool": {"unknown": 2}}
    assert card["licence"]["labeled"] == {"CC-BY-4.0": 2, "unknown": 2}
    assert card["consent"]["test"] == {"informed": 3}
    assert card["allowed use"]["labeled"] == {"research, sale": 2, "unknown": 2}
    assert card["collected"]["labeled"] == {"2019": 2, "unknown": 2}
    assert card["people"] == {"labeled": 4, "test": 2}, "a bob of another set is somebody else"
    assert card["shared people"] == {"labeled and test": 1}
    assert card["faces"] == {"labeled": 4, "test": 3, "pool": 2}
    assert card["known biases"] == {"lab": "posed", "web": "found by a search"}


def test_numbers_of_people_are_compared_within_a_named_set() -> None:
    numbered = replace(faces([0, 1, 2]), subjects=np.array([0, 1, 1]))
    card = data_card({"labeled": numbered, "test": numbered}, SPACE)
    assert (card["people"], card["shared people"]) == ({"labeled": 2, "test": 2}, {"labeled and test": 0})
    card = data_card({"labeled": of_set(numbered, LAB), "test": of_set(numbered, LAB)}, SPACE)
    assert card["shared people"] == {"labeled and test": 2}


def test_a_name_in_another_set_is_somebody_else() -> None:
    named = faces([0, 1], subjects=["ann", "bob"])
    card = data_card({"pool": of_set(named, WEB), "test": of_set(named, LAB)}, SPACE)
    assert card["shared people"] == {"pool and test": 0}


def test_people_of_compact_names_and_faces_of_nobody_known() -> None:
    named = replace(faces([0, 1, 2]), subjects=compact(["ann", "bob", "set/00002"]))
    card = data_card({"labeled": named, "test": named}, SPACE)
    assert (card["people"], card["shared people"]) == ({"labeled": 2, "test": 2}, {"labeled and test": 2})


def test_counts_are_those_of_a_naive_count() -> None:
    rng = np.random.default_rng(0)
    labels, kinds = rng.integers(0, 3, 500).tolist(), rng.integers(0, 3, 500)
    people = [f"p{number}" for number in rng.integers(0, 90, 500)]
    records = (WEB, LAB, Provenance("web", "MIT"))
    labeled = replace(faces(labels, subjects=people), origins=Origins(records, kinds.astype(np.int32)))
    halves = {"labeled": labeled.subset(torch.arange(300)), "test": labeled.subset(torch.arange(300, 500))}
    card = data_card(halves, SPACE)
    for role, rows in {"labeled": range(300), "test": range(300, 500)}.items():
        assert card["classes"][role] == {
            name: sum(labels[row] == k for row in rows) for k, name in enumerate(SPACE.classes)
        }
        assert card["imbalance"][role] == max(card["classes"][role].values()) / min(card["classes"][role].values())
        for part in ("source", "licence", "consent", "collected"):
            told = [getattr(records[kinds[row]], part) or "unknown" for row in rows]
            assert card[part][role] == {value: told.count(value) for value in set(told)}
        assert card["people"][role] == len({(records[kinds[row]].source, people[row]) for row in rows})
    one, other = ({(records[kinds[row]].source, people[row]) for row in rows} for rows in (range(300), range(300, 500)))
    assert card["shared people"]["labeled and test"] == len(one & other) > 0
