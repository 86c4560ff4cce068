"""The data card counts what the faces tell."""

from dataclasses import replace

import numpy as np
from making import SPACE, faces

from fer_ssl.data.card import data_card
from fer_ssl.data.provenance import of_set
from fer_ssl.types import Origins, Provenance

WEB = Provenance("web", "CC-BY-4.0", None, ("research", "sale"), "2019", "found by a search")
LAB = Provenance("lab", None, "informed", (), None, "posed")


def test_every_part_is_counted_by_role() -> None:
    labeled = replace(
        faces([0, 0, 1, 2], subjects=["ann", "bob", "bob", "eve"]),
        origins=Origins((WEB, LAB, Provenance("absent")), np.array([0, 0, 1, 1], np.int32)),
    )
    test = of_set(faces([1, 1, 2], subjects=["bob", "cleo", "cleo"]), LAB)
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
    assert card["people"] == {"labeled": 3, "test": 2}
    assert card["shared people"] == {"labeled and test": 1}
    assert card["known biases"] == {"lab": "posed", "web": "found by a search"}


def test_numbers_of_people_are_not_compared() -> None:
    numbered = replace(faces([0, 1, 2]), subjects=np.array([0, 1, 1]))
    card = data_card({"labeled": numbered, "test": numbered}, SPACE)
    assert (card["people"], card["shared people"]) == ({"labeled": 2, "test": 2}, {})
