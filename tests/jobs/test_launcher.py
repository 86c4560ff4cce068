"""`hydra/launcher=jobs` under faults: what fails is named, what is done is skipped, what was stopped is run again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fer_ssl.cli import CONF
from fer_ssl.jobs.journal import read_journal

APP = """
import json, os, signal, sys, time
from pathlib import Path
import hydra
from omegaconf import OmegaConf

@hydra.main(config_path=".", config_name="app", version_base="1.3")
def main(cfg):
    folder = Path(cfg.run_dir)
    with (folder / "attempts").open("a") as attempts:
        attempts.write("x")
    if cfg.do == "raise":
        raise ValueError("no such face")
    if cfg.do == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if cfg.do == "exit":
        os._exit(7)
    if cfg.do == "hang" or (cfg.do == "hang_once" and len((folder / "attempts").read_text()) == 1):
        time.sleep(60)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))
    (folder / "metrics.json").write_text("{}")
    (folder / "report.html").touch()

main()
"""
CONFIG = f"""
defaults: [_self_, {{override hydra/launcher: jobs}}]
do: well
ckpt_path: auto
run_dir: ${{hydra:runtime.output_dir}}
hydra:
  searchpath: ["file://{CONF}"]
  sweep: {{dir: sweep, subdir: "${{do}}"}}
  callbacks: {{journal: {{_target_: fer_ssl.jobs.callback.Journal}}}}
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "app.yaml").write_text(CONFIG)
    return tmp_path


def start(app: Path, *overrides: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "app.py", "-m", *overrides]
    return subprocess.Popen(
        command, cwd=app, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def states(app: Path) -> dict[str, str]:
    return {name: entry.state for name, entry in read_journal(app / "sweep" / "jobs.jsonl").items()}


def attempts(app: Path, job: str) -> int:
    path = app / "sweep" / job / "attempts"
    return len(path.read_text()) if path.exists() else 0


def test_failures_are_named_and_done_jobs_skipped(app: Path) -> None:
    workers = "hydra.launcher.workers=2"
    sweep = start(app, "do=raise,kill,exit,hang,well", workers, "hydra.launcher.timeout_min=0.25")
    _, told = sweep.communicate(timeout=60)
    assert sweep.returncode == 1
    assert states(app) == {"raise": "failed", "kill": "failed", "exit": "failed", "hang": "timed_out"} | {
        "well": "finished"
    }
    assert told.startswith("4 jobs failed:\n")
    words = (
        "raise: ValueError: no such face",
        "kill: killed by SIGKILL",
        "exit: exit status 7",
        "timed out after 15 s",
    )
    assert all(each in told for each in words)
    again = start(app, "do=kill,well", workers)
    said, told = again.communicate(timeout=60)
    assert told == "1 jobs failed:\nkill: killed by SIGKILL\n"
    assert "well is finished and left as it is" in said
    assert [attempts(app, job) for job in ("kill", "well")] == [2, 1]
    assert states(app)["well"] == "skipped"


def test_a_killed_sweep_takes_its_jobs_along_and_goes_on_when_started_again(app: Path) -> None:
    command = ("do=well,hang_once,raise",)
    sweep = start(app, *command)
    deadline = time.monotonic() + 30
    while attempts(app, "hang_once") == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    sweep.send_signal(signal.SIGKILL)
    sweep.communicate(timeout=10)
    assert states(app) == {"well": "finished", "hang_once": "running"}
    again = start(app, *command)
    _, told = again.communicate(timeout=60)
    assert told == "1 jobs failed:\nraise: ValueError: no such face\n"
    assert states(app) == {"well": "skipped", "hang_once": "finished", "raise": "failed"}
    assert [attempts(app, job) for job in ("well", "hang_once", "raise")] == [1, 2, 1]
    assert subprocess.run(["pgrep", "-f", f"{app}/"], capture_output=True, check=False).stdout == b""


def test_jobs_of_one_folder_are_refused_before_any_starts(app: Path) -> None:
    _, told = start(app, "do=well,raise", "ckpt_path=auto,null").communicate(timeout=60)
    assert "error: 2 jobs of the sweep would run in the one folder sweep/well: they differ in ckpt_path, which " in told
    assert "; set hydra.sweep.subdir='${do}_ckpt_path${ckpt_path}'\n" in told
    assert not states(app)
    assert not attempts(app, "well")
    assert not attempts(app, "raise")


def test_the_basic_launcher_keeps_the_journal_too(app: Path) -> None:
    sweep = start(app, "do=raise,well", "hydra/launcher=basic")
    _, told = sweep.communicate(timeout=60)
    assert sweep.returncode == 1
    assert told.endswith("1 jobs failed:\nraise: no such face\n")
    assert states(app) == {"raise": "failed", "well": "finished"}
