"""CONTRIBUTING.md followed to the letter: its files in a project outside of the package, its commands trained."""

import csv
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from comparing import weights
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from PIL import Image
from running import TINY, composed

from fer_ssl.build import build_module
from fer_ssl.errors import DataError
from fer_ssl.run import run
from fer_ssl.types import LabelSpace

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FILE = re.compile(r"^`([\w/]+\.(?:py|yaml))`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^python -m fer_ssl\.(train|evaluate|predict|pseudo_label|self_train) ([^\[].*)$", re.MULTILINE)
MAIN_PART = {"predict": "unlabeled.pool", "pseudo_label": "selection.threshold"}
SIZES = [option for option in TINY if not option.startswith(("backbone.", "data."))]
FACES = [option for option in TINY if option.startswith("data.")]
NETWORK = [option for option in TINY if option.startswith("backbone.")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with the files of the recipes, importable as its working directory would be."""
    folder = tmp_path_factory.mktemp("project")
    for name, content in FILE.findall(PAGES[0].read_text()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_faces"]:
        del sys.modules[name]


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """Return (verb, arguments) of every command line on a page that trains, scores or predicts."""
    text = page.read_text().replace("\\\n", " ")
    return [(verb, shlex.split(arguments, comments=True)) for verb, arguments in COMMAND.findall(text)]


def recipe(choice: str) -> list[str]:
    """Return the overrides of the recipes' one command that selects `choice`."""
    (found,) = [arguments for _, arguments in commands(PAGES[0]) if choice in arguments]
    return found


def follow(project: Path, run_dir: Path, choice: str, *overrides: str) -> dict[str, Any]:
    """Train two tiny steps with the recipe's command; return its metrics."""
    arguments = recipe(choice)
    assert arguments[:2] == ["--config-dir", "conf"]
    search = f"hydra.searchpath=[file://{project}/conf]"
    return run(composed(search, *SIZES, f"run_dir={run_dir}", *arguments[2:], *overrides))


def write_faces(folder: Path) -> dict[str, str]:
    """Write 60 images of 12 people with their list; return the split of each."""
    random = np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for number in range(60):
        name = f"{number:02d}.png"
        Image.fromarray(random.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / name)
        split = "test" if number >= 45 else "train"
        rows.append((name, ("calm", "glad", "cross")[number % 3], f"p{number // 5}", split))
    with (folder / "faces.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "expression", "person", "split"), *rows])
    return {row[0]: row[3] for row in rows}


def test_the_recipe_for_a_method(project: Path, tmp_path: Path) -> None:
    metrics = follow(project, tmp_path, "+experiment=quantile", *FACES, *NETWORK)
    tau = weights(tmp_path)["threshold.tau"]
    assert tau.unique().numel() == 1
    assert 1 / 7 < tau[0] < 0.2, "two steps move the quantile's mean from 1/7 a little; other thresholds start higher"
    assert metrics["pseudo"]["keep_rate"] > 0.5


def test_the_recipes_own_tests_pass(project: Path) -> None:
    names = runpy.run_path(str(project / "tests" / "test_quantile.py"))
    tests = [test for name, test in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def test_the_recipe_for_a_data_set(project: Path, tmp_path: Path) -> None:
    split_of = write_faces(tmp_path / "faces")
    place = [f"data.root={tmp_path}/faces", "data.labels_per_class=8"]
    metrics = follow(project, tmp_path / "run", "data=listed", *place, *NETWORK)
    assert metrics["classes"] == ["calm", "glad", "cross"]
    assert metrics["test"]["count"] == 15
    manifest = pq.read_table(tmp_path / "run" / "manifest.parquet").to_pylist()
    assert {row["id"] for row in manifest} == split_of.keys()
    assert {row["id"] for row in manifest if row["role"] == "test"} == {k for k, v in split_of.items() if v == "test"}


def test_the_data_set_of_the_recipe_tells_of_other_columns(project: Path, tmp_path: Path) -> None:
    write_faces(tmp_path / "faces")
    path = tmp_path / "faces" / "faces.csv"
    path.write_text(path.read_text().replace("expression", "label", 1))
    told = r"faces\.csv has no column 'expression'; set its first line to file,expression,person,split"
    with pytest.raises(DataError, match=told):
        follow(project, tmp_path / "run", "data=listed", f"data.root={tmp_path}/faces", *NETWORK)
    path.write_text("")
    with pytest.raises(DataError, match="has no column 'expression'"):
        follow(project, tmp_path / "run", "data=listed", f"data.root={tmp_path}/faces", *NETWORK)


def test_the_recipe_for_a_backbone(project: Path, tmp_path: Path) -> None:
    follow(project, tmp_path, "backbone=halving", *FACES)
    state = weights(tmp_path)
    assert state["model.backbone.0.0.weight"].shape == (16, 3, 3, 3)
    assert state["teacher.average.head.classifier.weight"].shape == (7, 64)
    longer = follow(project, tmp_path, "backbone=halving", *FACES, "ckpt_path=last", "trainer.max_steps=4")
    assert longer["train"]["steps"] == 4


def test_the_backbone_of_the_recipe_starts_from_learned_features(project: Path, tmp_path: Path) -> None:
    search = f"hydra.searchpath=[file://{project}/conf]"
    options = [search, *SIZES, *FACES, f"run_dir={tmp_path}", *recipe("backbone=halving")[3:]]
    run(composed(*options, "+experiment=pretrain_infonce"))
    features = {name: value for name, value in weights(tmp_path).items() if "average.backbone" in name}
    start = f"backbone.init={tmp_path}/checkpoints/last.ckpt"
    started = build_module(composed(*options, "+experiment=supervised", start), LabelSpace("7", tuple("abcdefg")))
    assert features
    assert all(torch.equal(started.state_dict()[name], value) for name, value in features.items())


def test_scores_by_group_are_those_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(composed(*TINY, "run_dir=outputs/scored"))
    rows = pq.read_table("outputs/scored/predictions.parquet").to_pylist()
    group = {row["id"]: "ab"[number % 2] for number, row in enumerate(rows[1:])}
    Path("groups.csv").write_text("".join(f"{a},{b}\n" for a, b in [("id", "group"), *group.items()]))
    page = (ROOT / "docs" / "reading.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    capsys.readouterr()
    exec(code, {})
    told = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    assert told.keys() == {"a", "b", "unknown"}
    members = [row for row in rows if group.get(row["id"]) == "a"]
    recalls = []
    for label in range(7):
        of_class = [row["prediction"] == label for row in members if row["label"] == label]
        recalls.append(f"{sum(of_class) / max(len(of_class), 1):.2f}")
    assert told["a"].startswith(f" {len(members)} faces, ")
    assert told["a"].endswith(f"recall {' '.join(recalls)}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_shown_composes(page: Path, project: Path) -> None:
    for verb, arguments in commands(page):
        if "hydra/launcher=ray_cluster" in arguments and find_spec("hydra_plugins.hydra_ray_launcher") is None:
            continue  # it extends a configuration that comes with the extra
        overrides = [each for each in arguments if each not in ("--config-dir", "conf", "-m", "--cfg", "job")]
        cfg = composed(f"hydra.searchpath=[file://{project}/conf]", *map(first_value, overrides), config=verb)
        assert OmegaConf.select(cfg, MAIN_PART.get(verb, "data.source"))._target_


def first_value(override: str) -> str:
    """Return an override with the first of its values, where it is a sweep."""
    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_sweep_override():
        return override
    return f"{parsed.get_key_element()}={next(parsed.sweep_string_iterator())}"
