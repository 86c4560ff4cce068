"""Sweeps: the grid ablates, finished jobs are skipped, a failed one stops no other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from running import TINY, composed, trained

from fer_ssl.check import check
from fer_ssl.cli import CONF
from fer_ssl.jobs.journal import read_journal
from fer_ssl.run import run

ABLATIONS = sorted(path.stem for path in (CONF / "ablation").glob("*.yaml"))
SWEEPS = sorted(path.stem for path in (CONF / "sweep").glob("*.yaml") if path.stem != "base")
REPOSITORY = Path(__file__).parents[1]


def parts(name: str) -> dict[str, object]:
    cfg = composed("+experiment=dtm_infonce", f"+ablation={name}", "run_dir=.")
    check(cfg)
    assert cfg.name == name
    return {
        "threshold": cfg.threshold._target_.rsplit(".", 1)[1],
        "tau": cfg.threshold.get("tau"),
        "loss": list(cfg.loss),
        "labels": cfg.loss.supervised._target_.rsplit(".", 1)[1],
        "uncertain_only": cfg.loss.get("infonce", {}).get("uncertain_only"),
        "sampler": cfg.sampler._target_.rsplit(".", 1)[1],
        "pool": cfg.unlabeled.name,
        "teacher": cfg.teacher.source,
    }


CHANGED = {
    "full": {},
    "fixed_threshold": {"threshold": "FixedThreshold", "tau": 0.95},
    "no_threshold": {"threshold": "FixedThreshold", "tau": 0.0},
    "no_infonce": {"loss": ["supervised", "pseudo_label"], "uncertain_only": None},
    "uncertain_only": {"uncertain_only": True},
    "no_prior": {"labels": "Supervised"},
    "natural_batches": {"sampler": "natural", "labels": "Supervised"},
    "student_teaches": {"teacher": "student"},
    "no_pool": {"pool": "none", "loss": ["supervised"], "labels": "Supervised", "uncertain_only": None},
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_changes_its_part_and_no_other(name: str) -> None:
    full = parts("full")
    assert parts(name) == full | CHANGED[name]


@pytest.mark.parametrize("name", SWEEPS)
def test_every_job_of_a_sweep_composes(name: str) -> None:
    params = OmegaConf.load(CONF / "sweep" / f"{name}.yaml").hydra.sweeper.params
    for key, values in params.items():
        for value in str(values).split(","):
            experiment = [] if key == "+experiment" else ["+experiment=dtm_infonce"]
            check(composed(*experiment, f"{key}={value}", "run_dir=."))


def test_a_finished_run_is_left_as_it_is_and_a_changed_one_is_not(tmp_path: Path) -> None:
    options = ["+experiment=supervised", "ckpt_path=auto"]
    first = trained(tmp_path, "+experiment=supervised")  # which began without a look for an earlier life
    before = (tmp_path / "metrics.json").stat().st_mtime_ns
    assert trained(tmp_path, *options) == first
    assert (tmp_path / "metrics.json").stat().st_mtime_ns == before
    longer = run(composed(*TINY, f"run_dir={tmp_path}", *options, "ckpt_path=last", "trainer.max_steps=4"))
    assert longer["train"]["steps"] == 4


def sweep(folder: Path, seeds: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fer_ssl.train", "-m", "+experiment=supervised", "+sweep=seeds", f"seed={seeds}"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *TINY, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_sweep_goes_on_after_a_failure_and_skips_what_is_done(tmp_path: Path) -> None:
    broken = sweep(tmp_path, "nought,0")
    jobs = tmp_path / "outputs" / "sweeps" / "seeds"
    assert broken.returncode == 1
    assert "1 jobs failed:\nsupervised_seednought: " in broken.stderr
    assert json.loads((jobs / "supervised_seed0" / "metrics.json").read_text())["train"]["steps"] == 2
    again = sweep(tmp_path, "0,1")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("is finished and left as it is") == 1
    assert (jobs / "supervised_seed1" / "metrics.json").exists()


@pytest.mark.slow
def test_a_job_on_two_devices_runs_once_and_alone(tmp_path: Path) -> None:
    done = sweep(tmp_path, "0,1", "trainer=ddp_cpu", "logger=[csv,wandb]")
    assert done.returncode == 0, done.stderr
    jobs = tmp_path / "outputs" / "sweeps" / "seeds"
    states = {name: entry.state for name, entry in read_journal(jobs / "jobs.jsonl").items()}
    assert states == {"supervised_seed0": "finished", "supervised_seed1": "finished"}
    for name in states:
        assert (jobs / name / "console.log").read_text().count("faces: 70 labeled") <= 2, "one per process"
        assert len(list((jobs / name / "wandb").glob("offline-run-*"))) == 1
