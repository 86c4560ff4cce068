"""A search over processes that stand in for training runs: resumed, pruned, never stopped by a failing trial."""

import csv
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from running import TINY

optuna = pytest.importorskip("optuna")

REPOSITORY = Path(__file__).parents[2]
DRIVER = """
import sys
import fer_ssl.tuning.search as search
search.TRAIN = (sys.executable, "train.py")
from fer_ssl.tune import main
main()
"""
TRAIN = """
import json, sys, time
from pathlib import Path
given = dict(each.lstrip("+").split("=", 1) for each in sys.argv[1:] if "=" in each)
folder = Path(given["hydra.run.dir"][1:-1].replace("\\\\'", "'"))
with (folder / "argv.txt").open("a") as argv:
    print(*sys.argv[1:], file=argv)
if given["threshold"] == "fixed":
    raise ValueError("no such face")
value = 1 / (1 + abs(float(given["optim.lr"]) - 0.01))
steps = range(1, 5)
rows = []
for step in steps:
    rows.append(f"{step},{value if given['threshold'] == 'dtm' else value / 10}")
    partial = folder / "history.partial"
    partial.write_text("step,val/macro_f1\\n" + "\\n".join(rows) + "\\n")
    partial.replace(folder / "history.csv")
    time.sleep(float(given.get("batch.labeled", 0)) / 100)
(folder / "metrics.json").write_text(json.dumps({"val": {"macro_f1": value}}))
"""
SPACE = "optim.lr: {low: 0.001, high: 0.1, log: true}\nthreshold: %s\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "conf" / "space").mkdir(parents=True)
    return tmp_path


def start(
    place: Path, choices: str, *options: str, folder: str = "search", experiment: str = "dtm_infonce"
) -> "subprocess.Popen[str]":
    (place / "conf" / "space" / "own.yaml").write_text(SPACE % choices)
    command = [sys.executable, "driver.py", "--config-dir", "conf", f"+experiment={experiment}", "space=own", *options]
    run_dir = folder.replace("'", "\\'")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [*command, f"hydra.run.dir='{run_dir}'"],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def trials(place: Path) -> list[dict[str, str]]:
    with (place / "search" / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


UNSET = ["~tune.pruner.n_warmup_steps"]


def test_failing_trials_stop_nothing_and_the_best_becomes_an_experiment(place: Path) -> None:
    search = start(place, "[dtm, fixed]", "tune.trials=8", "tune.workers=3", "batch.labeled=1", "optim.lr=0.7", *UNSET)
    said, told = search.communicate(timeout=120)
    assert search.returncode == 0, told
    found = trials(place)
    assert len(found) == 8
    assert {row["state"] for row in found} == {"complete", "fail"}
    assert "ValueError: no such face" in said
    best = max((row for row in found if row["macro_f1"]), key=lambda row: float(row["macro_f1"]))
    tuned = yaml.safe_load((place / "search" / "experiment" / "tuned.yaml").read_text())
    assert tuned["optim"]["lr"] == pytest.approx(float(best["optim.lr"]))
    given = (place / "search" / "trials" / best["trial"] / "argv.txt").read_text().split()
    assert {"score=[val]", "ckpt_path=auto", "+experiment=dtm_infonce", "batch.labeled=1"} <= set(given)
    assert not [each for each in given if each.startswith(("tune.", "~tune.", "space="))]
    head = (place / "search" / "experiment" / "tuned.yaml").read_text().partition("\ndefaults")[0]
    assert head.endswith("+experiment=tuned batch.labeled=1"), "a searched key is the file's"
    composed = [sys.executable, "-m", "fer_ssl.train", "--config-dir", "search", "+experiment=tuned", "--cfg", "job"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    shown = subprocess.run(composed, cwd=place, env=environment, capture_output=True, text=True, check=True).stdout
    cfg = yaml.safe_load(shown.replace("${hydra:runtime.output_dir}", "."))
    assert cfg["optim"]["lr"] == pytest.approx(float(best["optim.lr"]))
    assert (cfg["name"], cfg["threshold"]["_target_"].split(".")[-1]) == ("dtm_infonce_tuned", "DynamicThreshold")


def test_the_best_of_an_experiment_of_ones_own_composes_from_its_head(place: Path) -> None:
    own = place / "conf" / "experiment"
    own.mkdir()
    (own / "mine.yaml").write_text("# @package _global_\ndefaults: [dtm_infonce, _self_]\nname: mine\n")
    search = start(place, "[dtm]", "tune.trials=1", folder="it's {1} 50%20 what?", experiment="mine")
    _, told = search.communicate(timeout=60)
    assert search.returncode == 0, told
    (folder,) = (path.parent for path in place.rglob("study.db"))
    assert folder == place / "it's {1} 50%20 what?"
    head = (folder / "experiment" / "tuned.yaml").read_text().splitlines()[2]
    command = [sys.executable, *shlex.split(head.removeprefix("# "))[1:], "--cfg", "job"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    shown = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "name: mine_tuned" in shown.stdout


def test_a_trial_follows_references_itself(place: Path) -> None:
    search = start(place, "[dtm]", "tune.trials=1", "view.labeled=${view.strong}")
    assert search.wait(timeout=60) == 0
    assert "view.labeled=${view.strong}" in (place / "search" / "trials" / "0" / "argv.txt").read_text().split()
    assert "'view.labeled=${view.strong}'" in (place / "search" / "experiment" / "tuned.yaml").read_text()


def test_a_killed_search_continues_its_trials_and_hopeless_ones_are_pruned(place: Path) -> None:
    last = "seed=4294967295"  # the next is none of NumPy's
    options = ("tune.pruner.n_startup_trials=1", "batch.labeled=20", last)
    search = start(place, "[dtm, softmatch]", "tune.trials=6", *options)
    deadline = time.monotonic() + 60
    while not (place / "search" / "trials" / "0" / "history.csv").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    search.send_signal(signal.SIGKILL)
    search.communicate(timeout=10)
    search = start(place, "[dtm, softmatch]", "tune.trials=6", *options)
    _, told = search.communicate(timeout=120)
    assert search.returncode == 0, told
    found = trials(place)
    assert len({row["trial"] for row in found}) == len(found) == 6, "one that was left and continued is one"
    assert len((place / "search" / "trials" / "0" / "argv.txt").read_text().splitlines()) == 2
    assert all(row["state"] == "pruned" or row["threshold"] == "dtm" for row in found[1:]), found


def test_a_search_goes_on_with_its_own_space_and_settings(place: Path) -> None:
    told: list[str] = []
    for choices, *options in (["[dtm]"], ["[dtm, fixed]"], ["[dtm]", "batch.labeled=20"]):
        search = start(place, choices, "tune.trials=1", *options)
        told.append(search.communicate(timeout=60)[1])
    assert "search with other" not in told[0]
    assert "holds a search with other space, and no best is of both; set hydra.run.dir=" in told[1]
    assert "holds a search with other overrides" in told[2]
    assert len(trials(place)) == 1


def test_a_choice_of_lists_becomes_an_experiment(place: Path) -> None:
    search = start(place, "[dtm]\nloss: [[supervised], [supervised, pseudo_label]]", "tune.trials=1")
    assert search.wait(timeout=60) == 0
    tuned = yaml.safe_load((place / "search" / "experiment" / "tuned.yaml").read_text())
    chosen = next(part["override /loss"] for part in tuned["defaults"] if "override /loss" in part)
    assert chosen in (["supervised"], ["supervised", "pseudo_label"])
    command = [sys.executable, "-m", "fer_ssl.train", "--config-dir", "search", "+experiment=tuned", "--cfg", "job"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    shown = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=True).stdout
    assert list(yaml.safe_load(shown.replace("${hydra:runtime.output_dir}", "."))["loss"]) == chosen


@pytest.mark.parametrize(
    ("choices", "options", "told"),
    [
        ("[fixed]", ["tune.trials=2.5"], "error: tune.trials=2.5 is no whole number; set tune.trials="),
        ("[fixed]", ["tune.sampler.n_startup_trials=x"], "error: tune.sampler.n_startup_trials=x is no whole number"),
        ("[dtm, nope]", [], "error: space.threshold cannot be set to nope"),
        ("[fixed]", [], "error: 3 trials failed before any succeeded, the last with: ValueError: no such face"),
    ],
)
def test_mistakes_are_a_sentence(place: Path, choices: str, options: list[str], told: str) -> None:
    search = start(place, choices, *options)
    _, errors = search.communicate(timeout=60)
    assert search.returncode == 1
    assert told in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_a_search_over_real_runs_never_scores_the_test_split(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "fer_ssl.tune",
        "+experiment=supervised",
        "tune.trials=2",
        *TINY,
        "hydra.run.dir=s",
    ]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for metrics in (tmp_path / "s" / "trials").glob("*/metrics.json"):
        assert "val" in yaml.safe_load(metrics.read_text())
        assert "test" not in yaml.safe_load(metrics.read_text())
    command[-1:] = ["data.source.val=0", "data.val_fraction=0", "hydra.run.dir=t"]
    done = subprocess.run(
        [*command, "tune.trials=3"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "there is no val split to score; set data.val_fraction=0.1" in done.stderr
