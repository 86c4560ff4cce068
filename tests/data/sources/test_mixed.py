"""Several sets in one space: maps, names, votes, subjects, and a run from the command line's overrides."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import miniatures
import pyarrow.parquet as pq
import pytest
import torch
from making import faces
from running import TINY, composed

from fer_ssl.data.decode import Decoder
from fer_ssl.data.labels import ABAW, AFFECTNET, FER2013
from fer_ssl.data.sources.mixed import MixedSets
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.run import run
from fer_ssl.types import UNKNOWN, Faces, LabelSpace, Splits


class Made:
    """A set of random faces whose ids every other set has too."""

    channels = 1

    def __init__(self, space: LabelSpace, train: list[int], test: list[int] | None = None, **known: Any) -> None:
        self.space = space
        self.splits = Splits(
            Faces(**{**vars(faces(train, "x")), **known}), test=None if test is None else faces(test, "y", seed=7)
        )

    def load(self, decoder: Decoder) -> Splits:
        return self.splits


def mixed(sets: Mapping[str, Made], **options: Any) -> MixedSets:
    return MixedSets({name: {"source": source} for name, source in sets.items()}, **options)


def loaded(source: MixedSets) -> Splits:
    return source.load(Decoder(6, source.channels))


def test_labels_ids_subjects_and_sources_of_two_sets() -> None:
    subjects = faces([0, 0, 0], subjects=["p", "p", "q"]).subjects
    one, two = Made(FER2013, [0, 3, 6], [3], subjects=subjects), Made(AFFECTNET, [1, 7], [0])
    splits = loaded(mixed({"one": one, "two": two}))
    train = splits.train
    assert [ABAW.classes[label] for label in train.labels.tolist()] == [
        "Anger",
        "Happiness",
        "Neutral",
        "Happiness",
        "Other",
    ]
    assert train.ids.tolist() == [*(f"one/x/{row:05d}" for row in range(3)), "two/x/00000", "two/x/00001"]
    assert train.subjects is not None
    assert train.subjects.tolist() == ["one/p", "one/p", "one/q", "two/x/00000", "two/x/00001"]
    assert train.sources is not None
    assert train.sources.tolist() == ["one"] * 3 + ["two"] * 2
    assert splits.test is not None
    assert splits.test.ids.tolist() == ["one/y/00000", "two/y/00000"]
    pixels = train.images.read(torch.tensor([4, 0]))
    assert torch.equal(pixels[0], two.splits.train.images.read(torch.tensor([1]))[0])
    assert torch.equal(pixels[1], one.splits.train.images.read(torch.tensor([0]))[0])


def test_only_the_sets_of_score_on_are_scored() -> None:
    sets = {"one": Made(FER2013, [0], [3]), "two": Made(AFFECTNET, [1], [0, 1])}
    test = loaded(mixed(sets, score_on=["two"])).test
    assert test is not None
    assert test.ids.tolist() == ["two/y/00000", "two/y/00001"]


def test_a_class_is_dropped_or_moved_by_choice_only() -> None:
    sets = {"one": Made(AFFECTNET, [7, 0, 7, UNKNOWN])}
    with pytest.raises(DataError, match=r"'contempt' of 'affectnet' has no counterpart in 'fer2013'"):
        mixed(sets, space="fer2013")
    train = loaded(mixed(sets, space="fer2013", maps={"one": {"contempt": None}})).train
    assert train.labels.tolist() == [6, UNKNOWN]
    assert train.ids.tolist() == ["one/x/00001", "one/x/00003"]
    moved = loaded(mixed(sets, space="fer2013", maps={"one": {"contempt": "disgust"}})).train
    assert moved.labels.tolist() == [1, 6, 1, UNKNOWN]


def test_a_list_of_classes_is_a_space() -> None:
    drops = dict.fromkeys(["angry", "disgust", "fear", "surprise"])
    source = mixed({"one": Made(FER2013, [3, 4, 6, 0])}, space=["neutral", "sad", "happy"], maps={"one": drops})
    assert loaded(source).train.labels.tolist() == [2, 1, 0]


def test_labels_stand_for_votes_where_a_set_has_none() -> None:
    votes = torch.tensor([[0.5, 0.5, 0, 0, 0, 0, 0]])
    train = loaded(mixed({"one": Made(FER2013, [0], soft_labels=votes), "two": Made(AFFECTNET, [1, UNKNOWN])})).train
    assert train.soft_labels is not None
    assert train.soft_labels.tolist() == [[0, 0.5, 0.5, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0, 0], [0.0] * 8]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "nope"}, r"data\.space=nope is none of fer2013"),
        ({"maps": {"z": {}}}, r"'z' is none of the sets one"),
        ({"score_on": ["z"]}, r"'z' is none of the sets one"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mixed({"one": Made(FER2013, [0])}, **options)


def test_no_set_names_the_override() -> None:
    with pytest.raises(ConfigError, match=r"\+set@data\.sets"):
        MixedSets(None)


def test_two_sets_train_from_the_command_line(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    command = [
        "data=mixed",
        "+set@data.sets.raf=rafdb",
        f"data.sets.raf.root={miniatures.rafdb(tmp_path / 'raf')}",
        "+set@data.sets.web=expw",
        f"data.sets.web.root={miniatures.expw(tmp_path / 'web')}",
        "data.space=rafdb",
        "data.score_on=[raf]",
        "data.val_fraction=0",
        "sampler=balanced_sources",
        "sampler.weights={web:2}",
    ]
    options = [option for option in TINY if not option.startswith("data.")]
    metrics = run(composed(*options, f"run_dir={run_dir}", *command))
    assert metrics["test"]["count"] == 7
    counts = json.loads((run_dir / "data.json").read_text())["per_class"]["labeled"]
    assert sum(counts.values()) == 7 + 24
    ids = pq.read_table(run_dir / "manifest.parquet")["id"].to_pylist()
    assert {each.split("/")[0] for each in ids} == {"raf", "web"}
