"""Whole runs under a policy: refused faces are learned from nowhere, also on resuming, and a card tells of the rest."""

import re
from pathlib import Path
from typing import Any

import miniatures
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packing import packed, scene
from pages import Page
from running import TINY, composed

from fer_ssl.errors import ConfigError, DataError
from fer_ssl.rounds import label_pool
from fer_ssl.run import run

SMALL = [option for option in TINY if not option.startswith("data.")]
POLICY = "use: research\nlicences: [CC0-1.0]\n"


def rows(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def written(path: Path, text: str = POLICY) -> Path:
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare 32 photos of sixteen people who are calm and glad; every fourth has another licence, two have none."""
    root = tmp_path_factory.mktemp("private_place")
    for seed, name in ((100, "calm"), (200, "glad")):
        (root / "photos" / name).mkdir(parents=True)
        for number in range(16):
            scene(seed + number).save(root / "photos" / name / f"person{number:02d}.jpg")
    packed(root / "photos", root / "faces", size=32)
    path = root / "faces" / "manifest.parquet"
    known = rows(path)
    for number, row in enumerate(known):
        row["licence"] = "CC-BY-NC-4.0" if number % 4 == 3 else None if number in (4, 20) else row["licence"]
        row["split"] = "test" if number in (0, 17) else None
    pq.write_table(pa.Table.from_pylist(known, pq.read_schema(path)), path)
    return root / "faces"


def learned(prepared: Path, run_dir: Path, *overrides: str) -> dict[str, Any]:
    """Train on prepared faces, which are the pool too."""
    places = ["data=prepared", f"data.root={prepared}", "unlabeled=prepared", f"unlabeled.root={prepared}"]
    return run(composed(*SMALL, f"run_dir={run_dir}", "data.leak_check=false", *places, *overrides))


def expected(prepared: Path) -> dict[str, str]:
    """Return the ids that POLICY refuses, with the reason."""
    told = {row["id"]: row["licence"] for row in rows(prepared / "manifest.parquet")}
    return {name: f"its licence is {licence or 'unknown'}" for name, licence in told.items() if licence != "CC0-1.0"}


@pytest.fixture(scope="module")
def under_policy(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a run under POLICY."""
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    learned(prepared, run_dir, f"policy={written(run_dir.parent / 'policy.yaml')}")
    return run_dir


def test_refused_faces_are_listed_and_neither_taught_nor_pool(under_policy: Path, prepared: Path) -> None:
    refused = rows(under_policy / "refused.parquet")
    assert {row["split"] for row in refused} == {"train", "unlabeled"}
    for split in ("train", "unlabeled"):
        assert {row["id"]: row["reason"] for row in refused if row["split"] == split} == expected(prepared)
    served = {row["id"] for row in rows(under_policy / "manifest.parquet") if row["role"] != "test"}
    every = {row["id"] for row in rows(prepared / "manifest.parquet")}
    assert served == every - expected(prepared).keys()


def test_a_resumed_run_refuses_the_same_faces_and_no_others(under_policy: Path, prepared: Path, tmp_path: Path) -> None:
    before = rows(under_policy / "refused.parquet")
    policy = under_policy.parent / "policy.yaml"
    last = f"ckpt_path={under_policy / 'checkpoints' / 'last.ckpt'}"
    learned(prepared, tmp_path / "on", f"policy={policy}", "trainer.max_steps=3", last)
    assert rows(tmp_path / "on" / "refused.parquet") == before
    for other in (f"policy={written(tmp_path / 'other.yaml', 'use: research')}", "policy=null"):
        with pytest.raises(ConfigError, match=r"leave out other faces than when this run began; restore them"):
            learned(prepared, tmp_path / "other", other, "trainer.max_steps=3", last)


def test_the_pool_is_labeled_without_refused_faces(under_policy: Path, prepared: Path, tmp_path: Path) -> None:
    selection = composed("run_dir=.", config="pseudo_label").selection
    label_pool(under_policy / "checkpoints" / "last.ckpt", selection, "cpu", tmp_path / "labels.parquet")
    labeled = {row["id"] for row in rows(tmp_path / "labels.parquet")}
    assert len(labeled) == 32 - len(expected(prepared))
    assert labeled.isdisjoint(expected(prepared))


def test_the_card_tells_counts_and_no_names(under_policy: Path) -> None:
    card = (under_policy / "data_card.md").read_text()
    section = re.split(r"^## ", card, flags=re.M)
    parts = {part.partition("\n")[0]: part for part in section}
    assert "| test | 2 |" in parts["Faces"]
    assert "| pool and test | 2 |" in parts["Shared people"], "the pool is the same photos, which nothing compared"
    assert "| licences | CC0-1.0 |" in parts["Policy"]
    assert "| train | 8 | 2 |" in parts["Refused"]
    assert "| source | mine |" in parts["Source"]
    shown = Page((under_policy / "report.html").read_text()).text.partition("Resolved configuration")[0]
    assert "its licence is CC-BY-NC-4.0" in shown
    for private in ("private_place", "person0", ".jpg", "policy.yaml"):
        assert private not in card
    assert "private_place" not in shown


def test_a_class_that_is_refused_whole_ends_the_run_and_is_listed(prepared: Path, tmp_path: Path) -> None:
    exclude = tmp_path / "exclude.json"
    exclude.write_text(f'{{"train": [{", ".join(f"{chr(34)}glad/person{n:02d}.jpg{chr(34)}" for n in range(16))}]}}')
    with pytest.raises(DataError, match=r"no face of glad is left to learn from under data\.exclude=.*person"):
        learned(prepared, tmp_path / "run", f"data.exclude={exclude}")
    assert len(rows(tmp_path / "run" / "refused.parquet")) == 15, "one is a test face"


def test_a_set_of_a_mixture_is_refused_by_its_own_provenance(tmp_path: Path) -> None:
    command = ["data=mixed", "data.space=rafdb", "data.val_fraction=0", "unlabeled=same"]
    for name, kind, licence in (("raf", "rafdb", "CC0-1.0"), ("web", "expw", "CC-BY-4.0")):
        place = getattr(miniatures, kind)(tmp_path / name)
        command += [f"+set@data.sets.{name}={kind}", f"data.sets.{name}.root={place}"]
        command += [f"data.sets.{name}.provenance.{told}" for told in (f"licence={licence}", "allowed_use=[research]")]
    policy = written(tmp_path / "policy.yaml")
    options = [*SMALL, f"run_dir={tmp_path / 'run'}", "batch.unlabeled=7", "data.leak_check=false"]
    run(composed(*options, *command, f"policy={policy}"))
    refused = rows(tmp_path / "run" / "refused.parquet")
    assert {row["reason"] for row in refused} == {"its licence is CC-BY-4.0"}
    assert {row["id"].split("/")[0] for row in refused} == {"web"}
    kept = {row["id"].split("/")[0] for row in rows(tmp_path / "run" / "manifest.parquet") if row["role"] != "test"}
    assert kept == {"raf"}


def test_a_pool_of_other_terms_is_refused_whole(prepared: Path, tmp_path: Path) -> None:
    policy = written(tmp_path / "policy.yaml", "use: research\nconsent: [informed]\n")
    terms = ["unlabeled=folder", f"unlabeled.root={prepared.parent / 'photos'}", f"policy={policy}"]
    with pytest.raises(DataError, match=r"no face of unlabeled is left under policy=.*32 refused because its allowed"):
        learned(prepared, tmp_path / "run", *terms)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "data.provenance.allowed_use=research",
            r"allowed_use .* is 'research', no list; set allowed_use=\[research\]",
        ),
        ("+data.provenance.license=MIT", r"a provenance has no 'license'; did you mean licence\?"),
    ],
)
def test_a_wrong_provenance_is_told(prepared: Path, tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        learned(prepared, tmp_path / "run", override)
