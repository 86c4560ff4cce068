"""What --help says is what can be typed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from running import composed

from fer_ssl.cli import CONF, PACKAGE
from fer_ssl.usage import usage

VERBS = ("train", "evaluate", "predict", "audit", "prepare", "pseudo_label", "self_train", "tune")
ROW = re.compile(r"^  ([a-z@.]+)\s+(\S.*(?:\n {6,}.*)*)", re.MULTILINE)


def choices(text: str) -> dict[str, list[str]]:
    """Return the choices that a help lists, by group."""
    listed = {group: " ".join(row.split()) for group, row in ROW.findall(text.partition("\nSettings")[0])}
    return {group: re.findall(r"\[[^]]*\]|[^\s,]+", row) for group, row in listed.items()}


@pytest.mark.parametrize("verb", VERBS)
def test_the_default_of_every_part_stands_first(verb: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(verb, return_hydra_config=True)
    chosen = {group: choice for group, choice in cfg.hydra.runtime.choices.items() if isinstance(choice, str)}
    first = {group: listed[0] for group, listed in choices(usage("", CONF, verb)).items()}
    of_parts = first.keys() & chosen.keys()
    assert of_parts or verb == "prepare"
    assert {group: first[group] for group in of_parts} == {group: chosen[group] for group in of_parts}


@pytest.mark.parametrize("verb", VERBS)
def test_every_setting_is_shown_or_belongs_to_a_part(verb: str) -> None:
    text = usage("", CONF, verb)
    shown = set(re.findall(r"^  (\w+):", text.partition("\nSettings")[2], re.MULTILINE))
    assert shown
    assert set(composed(config=verb)) <= shown | set(choices(text))


def test_a_verb_lists_what_it_takes_and_no_more() -> None:
    listed = choices(usage("", CONF, "train"))
    assert sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")) == listed["experiment"]
    assert "base" not in listed["data"]
    assert listed["loss"][0] == "[supervised, pseudo_label, infonce]"
    assert set(choices(usage("", CONF, "evaluate"))) == {"data"}
    assert "sweep" not in choices(usage("", CONF, "tune"))
    assert choices(usage("", CONF, "self_train"))["threshold@selection.threshold"][0] == "dtm_relative"
    assert "Parts" not in usage("", CONF, "prepare")


def test_help_names_the_users_own_choices(tmp_path: Path) -> None:
    (tmp_path / "threshold").mkdir()
    (tmp_path / "threshold" / "mine.yaml").write_text("tau: 1\n")
    command = [sys.executable, "-m", "fer_ssl.train", "--config-dir", str(tmp_path), "--help"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent, check=True)
    assert answer.stdout.startswith("Train: python -m fer_ssl.train +experiment=dtm_infonce\n")
    assert "mine" in choices(answer.stdout)["threshold"]
    assert answer.stderr == ""
