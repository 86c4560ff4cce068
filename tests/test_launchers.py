"""Sweeps through launchers: every job is a run of its own, in its own folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from running import TINY

from fer_ssl import cli
from fer_ssl.cli import CONF, require_folder, require_launcher
from fer_ssl.errors import ConfigError

REPOSITORY = Path(__file__).parents[1]


def sweep(folder: Path, launcher: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fer_ssl.train", "-m", "+experiment=supervised", "+sweep=seeds", "seed=0,1"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    options = [*TINY, f"hydra/launcher={launcher}", *overrides]
    return subprocess.run(
        [*command, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("launcher", "extra"), [("ray_cluster", "ray"), ("slurm", "slurm")])
def test_a_launcher_that_is_not_installed_names_its_extra(
    launcher: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    require_launcher(["-m", "seed=0,1", "hydra/launcher=jobs"])
    with pytest.raises(ConfigError, match=rf"hydra/launcher={launcher} needs .*pip install 'fer-ssl\[{extra}\]'"):
        require_launcher(["-m", f"hydra/launcher={launcher}"])


def test_a_file_in_the_place_of_a_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    require_folder([f"hydra.run.dir={tmp_path}/new/run", "hydra.run.dir=outputs/${name}", "seed=0"])
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ConfigError, match=r"file is a file; set hydra\.run\.dir=<dir>"):
            require_folder([f"hydra.run.dir={place}"])


def require_two_runs(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert done.returncode == 0, done.stderr
    for seed in (0, 1):
        run = folder / "outputs" / "sweeps" / "seeds" / f"supervised_seed{seed}"
        assert json.loads((run / "metrics.json").read_text())["train"]["steps"] == 2
        assert OmegaConf.load(run / "config.yaml").seed == seed
        assert len((run / "history.csv").read_text().splitlines()) == 1 + 2


@pytest.mark.slow
def test_jobs_of_submitit_are_runs_of_their_own(tmp_path: Path) -> None:
    require_two_runs(sweep(tmp_path, "submitit_local"), tmp_path)


@pytest.mark.slow
def test_tasks_of_ray_are_runs_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="pip install 'fer-ssl[ray]'")
    require_two_runs(sweep(tmp_path, "ray_cluster"), tmp_path)


def test_the_slurm_launcher_takes_its_keys(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fer_ssl.train", "hydra/launcher=slurm", "--cfg", "hydra", "-p", "hydra.launcher"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    shown = OmegaConf.create(told.stdout)
    ours = OmegaConf.load(CONF / "hydra" / "launcher" / "slurm.yaml")
    assert shown._target_.endswith("SlurmLauncher"), told.stderr
    assert all(shown[key] == value for key, value in ours.items() if key != "defaults")
