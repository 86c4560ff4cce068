import pickle

import numpy as np
import pytest

from fer_ssl.data.ids import JoinedIds, NumberedIds, compact
from fer_ssl.types import Ids

NUMBERED = NumberedIds("train/", np.array([1, 2, 12345678], np.int32))
JOINED = JoinedIds([NUMBERED, np.array(["a", "b"]), compact(["c" * 90])])
NAMES = ["train/0000001", "train/0000002", "train/12345678", "a", "b", "c" * 90]


@pytest.mark.parametrize(
    ("ids", "names"),
    [(NUMBERED, NAMES[:3]), (JOINED, NAMES), (compact(NAMES), NAMES), (JOINED[np.arange(6)], NAMES)],
)
def test_ids_are_read_like_an_array_of_names(ids: Ids, names: list[str]) -> None:
    assert len(ids) == len(names)
    assert ids.tolist() == names
    assert [str(ids[row]) for row in range(len(names))] == names
    rows = np.array([2, 0, 2])
    assert ids[rows].tolist() == [names[2], names[0], names[2]]
    assert ids[rows][np.array([1])].tolist() == [names[0]]
    assert ids[1:3].tolist() == names[1:3]
    assert pickle.loads(pickle.dumps(ids)).tolist() == names
