"""Every verb answers questions about itself before it loads anything heavy."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fer_ssl.jobs.journal import JOURNAL, read_journal

PACKAGE = Path(__file__).parent.parent / "fer_ssl"
MAINS = {path.stem for path in PACKAGE.glob("*.py") if '__name__ == "__main__"' in path.read_text()}
VERBS = sorted(MAINS - {"__main__"})
COMPOSED = [verb for verb in VERBS if "= verb(" in (PACKAGE / f"{verb}.py").read_text()]
HEAVY = ("torch", "lightning", "torchvision", "timm", "numpy", "matplotlib", "pyarrow", "wandb", "PIL")
PROBE = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_module(f"fer_ssl.{sys.argv[0]}", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print("loaded:", *sorted({name.split(".")[0] for name in sys.modules}))
"""


def answered(verb: str, *arguments: str) -> set[str]:
    """Return the packages that a verb has loaded when it has answered."""
    command = [sys.executable, "-c", PROBE, verb, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr
    *answer, loaded = done.stdout.splitlines()
    assert len(answer) > 3
    return set(loaded.removeprefix("loaded: ").split())


def test_there_are_verbs() -> None:
    assert {"train", "evaluate", "report"} <= set(VERBS)
    assert {"train", "evaluate"} <= set(COMPOSED)


def test_the_package_lists_its_verbs() -> None:
    command = [sys.executable, "-m", "fer_ssl"]
    refused = subprocess.run([*command, "train"], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: train is not run like this; type python -m fer_ssl.<train|")
    listed = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent, check=True).stdout
    assert sorted(re.findall(r"^  python -m fer_ssl\.(\w+) ", listed, re.MULTILINE)) == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_help_loads_nothing_heavy(verb: str) -> None:
    assert not answered(verb, "--help") & set(HEAVY)


@pytest.mark.parametrize("verb", COMPOSED)
def test_the_configuration_is_shown_without_loading_anything_heavy(verb: str) -> None:
    assert not answered(verb, "--cfg", "job") & set(HEAVY)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["+sweep=ablation"],
            "+sweep=ablation is a list of runs; add -m to train them all, or hydra.job.num=0 ",
        ),
        (["ckpt_path=auto"], "set hydra.run.dir=<dir> to the folder of the run to go on with"),
        (["threshold.bta=0.9"], "did you mean threshold.beta?"),
        (["threshold=fixd"], "did you mean fixed?"),
        (["view.labeled=${view.strong}", "ckpt_path=auto"], "error: ckpt_path=auto looks in the run's own folder"),
    ],
)
def test_what_would_be_another_run_than_meant_is_refused(arguments: list[str], told: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fer_ssl.train", *arguments]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert told in done.stderr
    assert "HYDRA_FULL_ERROR" not in done.stderr or "Could not " in done.stderr
    assert done.returncode == 1
    assert not list(tmp_path.rglob("config.yaml"))


@pytest.mark.parametrize(
    "arguments", [["run_dir=mine"], ["-m", "seed=0,1", "run_dir=mine"], ["run_dir=mine", "hydra.run.dir=a"]]
)
def test_a_run_is_not_parted_from_its_log(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fer_ssl.train", *arguments]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stderr.startswith(
        "error: run_dir=mine would part the run from its log; set hydra.run.dir=mine, or for a"
    )
    assert done.returncode == 2
    assert not list(tmp_path.iterdir())


def test_a_mistake_fails_every_job_of_a_launcher_that_runs_them_in_its_own_process(tmp_path: Path) -> None:
    sweep = ["-m", "seed=0,1", "+nothing=1", "hydra/launcher=basic", f"hydra.sweep.dir={tmp_path}"]
    command = [sys.executable, "-m", "fer_ssl.train", *sweep]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert done.stderr.count("error: nothing reads nothing; leave it out") == 2
    assert [entry.state for entry in read_journal(tmp_path / JOURNAL).values()] == ["failed", "failed"]


def test_a_run_names_its_parts_before_it_loads_a_face(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fer_ssl.train", "+experiment=dtm_infonce", "ckpt_path=nowhere.ckpt"]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert "parts: name=dtm_infonce data=synthetic unlabeled=same sampler=balanced view=weak_moved " in done.stdout
    assert " loss=[supervised_pool_adjusted_rising,pseudo_label,infonce_falling] seed=0" in done.stdout
    assert "nowhere.ckpt" in done.stderr


@pytest.mark.parametrize("question", [["fer_ssl.train", "--help"], ["fer_ssl"]])
def test_a_reader_that_leaves_ends_the_answer_without_a_traceback(question: list[str]) -> None:
    command = [sys.executable, "-m", *question]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, cwd=PACKAGE.parent) as asked:
        asked.stdout.close()
        assert asked.stderr.read() == ""
    assert asked.returncode == 128 + signal.SIGPIPE
