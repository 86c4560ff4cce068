"""The best trial as an experiment: what its head says to type trains as the trial did."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from fer_ssl.cli import CONF
from fer_ssl.tuning.records import write_best
from fer_ssl.tuning.space import as_override

optuna = pytest.importorskip("optuna")


@pytest.fixture(autouse=True)
def _conf() -> Iterator[None]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def tuned(folder: Path, overrides: Sequence[str], params: dict[str, Any]) -> list[str]:
    """Write the experiment of a search and return the arguments of fer_ssl.train that its head names."""
    spread = {key: optuna.distributions.CategoricalDistribution([value]) for key, value in params.items()}
    best = optuna.trial.create_trial(params=params, distributions=spread, value=0.5)
    written = write_best(folder, compose("tune", overrides=list(overrides)), best, overrides).read_text()
    (command,) = [line[2:] for line in written.splitlines() if line.startswith("# python")]
    return shlex.split(command)[3:]


def composed(folder: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the training configuration, less its name, with the parts that `folder` adds."""
    own = f"hydra.searchpath=[file://{folder}]"
    cfg: Any = OmegaConf.to_container(compose("train", overrides=[own, *overrides]), resolve=False)
    return {key: value for key, value in cfg.items() if key != "name"}


METHOD = "+experiment=dtm_infonce"


@pytest.mark.parametrize(
    ("overrides", "params"),
    [
        ([METHOD, "+protocol=p1", "data.root=x"], {"optim": "adamw", "teacher.decay": 0.9, "schedule.cycles": 0.5}),
        (["+protocol=p2", "+experiment=best_refitted"], {"optim": "adamw", "trainer.max_steps": 7}),
        ([METHOD, "+ablation=fixed_threshold"], {"threshold": "dtm", "optim.lr": 0.01}),
        (["+ablation=fixed_threshold", METHOD], {"threshold.floor": 0.5}),
        (["+ablation=uncertain_only", METHOD, "optim=sgd"], {"loss.infonce.uncertain_only": False, "optim.lr": 0.1}),
        ([METHOD, "+schedule@batch.second=cosine", "batch.second.cycles=2"], {"batch.labeled": 7}),
        ([METHOD, "++batch.labeled=3", "+optim={other: 1}"], {"+ablation": "no_pool", "+batch.fourth": 2}),
    ],
)
def test_the_command_composes_the_best_trial(tmp_path: Path, overrides: list[str], params: dict[str, Any]) -> None:
    command = tuned(tmp_path, overrides, params)
    assert command[:3] == ["--config-dir", str(tmp_path), "+experiment=tuned"]
    trial = composed(tmp_path, [*overrides, *(as_override(key, value) for key, value in params.items())])
    assert composed(tmp_path, command[2:]) == trial


def test_what_the_file_holds_is_not_typed_again(tmp_path: Path) -> None:
    command = tuned(tmp_path, [METHOD, "+protocol=p1", "data.root=a b", "optim.lr=1"], {"optim.lr": 0.1})
    assert command[2:] == ["+experiment=tuned", "data.root=a b"]
