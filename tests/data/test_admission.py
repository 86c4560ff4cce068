"""Faces that a policy or a list leaves out of what is learned."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from making import SPACE, faces
from running import trained

from fer_ssl.data.admission import LISTED, Admission
from fer_ssl.data.joined import join
from fer_ssl.data.provenance import of_set
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import Faces, Origins, Provenance

OURS = Provenance("ours", allowed_use=("research",))
THEIRS = Provenance("theirs", allowed_use=("sale",))


def mixed(labels: list[int], theirs: list[int]) -> Faces:
    rows = np.zeros(len(labels), np.int32)
    rows[theirs] = 1
    return replace(faces(labels), origins=Origins((OURS, THEIRS), rows))


def written(folder: Path, text: str = "use: research\n") -> str:
    path = folder / "policy.yaml"
    path.write_text(text)
    return str(path)


def listed(folder: Path, content: object) -> str:
    path = folder / "exclude.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_without_policy_and_list_all_faces_are_admitted(tmp_path: Path) -> None:
    admission = Admission(None, None)
    assert admission("train", faces([0, 1, 2])).tolist() == [True] * 3
    admission.write(tmp_path / "refused.parquet")
    assert not (tmp_path / "refused.parquet").exists()


def test_what_is_refused_is_listed_with_its_reason(tmp_path: Path) -> None:
    admission = Admission(written(tmp_path), listed(tmp_path, {"train": ["set/00003"], "pool": ["set/00000"]}))
    admitted = admission("train", mixed([0, 1, 2, 0], theirs=[1]))
    assert admitted.tolist() == [True, False, True, False]
    admission.write(tmp_path / "refused.parquet")
    rows = pq.read_table(tmp_path / "refused.parquet").to_pylist()
    assert rows == [
        {"split": "train", "id": "set/00001", "reason": "it allows sale only"},
        {"split": "train", "id": "set/00003", "reason": LISTED},
    ]
    card = admission.card()
    assert card["policy"] == {"use": "research", "unknown": "refuse"}
    assert card["refused"] == {"train": {"it allows sale only": 1, LISTED: 1}}


def test_faces_of_unknown_provenance_are_refused(tmp_path: Path) -> None:
    joined = join(of_set(faces([0, 1], "a"), OURS), faces([2], "b"))
    assert Admission(written(tmp_path), None)("train", joined).tolist() == [True, True, False]


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"no face of train is left under policy=.*policy\.yaml: 2 refused .* sale only \(set/00000, set/00001\)",
    ):
        Admission(written(tmp_path), None)("train", of_set(faces([0, 1]), THEIRS))


def test_a_class_without_faces_is_an_error(tmp_path: Path) -> None:
    admission, split = Admission(written(tmp_path), None), mixed([0, 1, 2], theirs=[1])
    with pytest.raises(DataError, match=r"no face of glad is left to learn from under .*: 1 refused .* \(set/00001\)"):
        admission.require_classes(split, admission("train", split), SPACE)


@pytest.mark.parametrize("content", ["", "[]", '{"train": 3}', '{"train": [3]}', '{"train": "set/00000"}', "{"])
def test_a_broken_list_is_told(content: str, tmp_path: Path) -> None:
    path = tmp_path / "exclude.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"cannot be read as JSON with lists of ids by split .* set data\.exclude"):
        Admission(None, str(path))


def test_a_list_of_a_split_that_nothing_is_learned_from_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lists ids of labeled, test, and a run learns from train, pool, unlabeled"):
        Admission(None, listed(tmp_path, {"labeled": ["set/00000"], "train": [], "test": []}))


def test_listed_ids_that_no_face_has_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    admission = Admission(None, listed(tmp_path, {"train": ["set/00003", "set/3"], "unlabeled": ["set/00001"]}))
    admission("train", faces([0, 1, 2, 0]))
    admission.tell_unmatched()
    assert "2 of 3 listed ids are in no such split, such as set/3 of train;" in caplog.text
    admission = Admission(None, listed(tmp_path, {"train": ["set/00003"]}))
    admission("train", faces([0, 1, 2, 0]))
    caplog.clear()
    admission.tell_unmatched()
    assert not caplog.text


def test_a_run_tells_of_mistyped_ids(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        trained(tmp_path / "run", f"data.exclude={listed(tmp_path, {'train': ['nobody.jpg']})}")
    assert "1 of 1 listed ids" in caplog.text


def test_a_run_learns_from_no_listed_face_and_says_so(tmp_path: Path) -> None:
    trained(tmp_path / "all")
    rows = pq.read_table(tmp_path / "all" / "manifest.parquet").to_pylist()
    out = {role: [row["id"] for row in rows if row["role"] == role][:5] for role in ("labeled", "pool")}
    exclude = listed(tmp_path, {"train": out["labeled"], "pool": out["pool"]})
    for _ in range(2):  # the second time it is resumed
        trained(tmp_path / "some", f"data.exclude={exclude}", "ckpt_path=auto")
        left = {row["id"] for row in pq.read_table(tmp_path / "some" / "manifest.parquet").to_pylist()}
        assert len(left) == len(rows) - 10
        assert left.isdisjoint({*out["labeled"], *out["pool"]})
        refused = pq.read_table(tmp_path / "some" / "refused.parquet").to_pylist()
        assert {row["id"] for row in refused} == {*out["labeled"], *out["pool"]}
    card = (tmp_path / "some" / "data_card.md").read_text()
    assert f"| train | {len(out['labeled'])} |" in card


def test_a_run_under_a_policy_that_its_set_does_not_meet_is_refused(tmp_path: Path) -> None:
    policy = written(tmp_path, "use: research\nlicences: [CC0-1.0]\n")
    with pytest.raises(
        DataError, match=r"no face of train is left under .*: 70 refused because its licence is none needed"
    ):
        trained(tmp_path / "run", f"policy={policy}")
    assert len(pq.read_table(tmp_path / "run" / "refused.parquet")) == 70, "the run did not begin, but tells why"


def test_an_unreadable_policy_stops_a_run_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="declares no use"):
        trained(tmp_path / "run", f"policy={written(tmp_path, 'licences: []')}")
