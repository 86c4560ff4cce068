"""What a search leaves beside its study: a table of trials, and the best one as an experiment."""

import csv
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial


def place(trial: "FrozenTrial | Trial") -> str:
    """Return the folder of a trial below trials/, which one that continues a cut-off trial shares with it."""
    return str(trial.user_attrs.get("folder", trial.number))


def uncut(study: "Study") -> list["FrozenTrial"]:
    """Return the trials less those that were cut off and are continued by another."""
    trials = study.get_trials(deepcopy=False)
    continued = {trial.user_attrs.get("continues") for trial in trials}
    return [trial for trial in trials if trial.number not in continued]


def write_trials(path: Path, study: "Study") -> None:
    """Write number, state, macro-F1 on validation and parameters of every trial."""
    trials = uncut(study)
    names = sorted({name for trial in trials for name in trial.params})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["trial", "state", "macro_f1", *names])
        writer.writeheader()
        for trial in trials:
            row = {"trial": place(trial), "state": trial.state.name.lower(), "macro_f1": trial.value}
            writer.writerow(row | trial.params)


def write_best(folder: Path, cfg: DictConfig, best: "FrozenTrial", overrides: Sequence[str]) -> Path:
    """Write the best parameters as `experiment/tuned.yaml` and return its path.

    Its parts are those of the search's own `+experiment`; other overrides of the search stand in its head.
    """
    base = [each.split("=", 1)[1] for each in overrides if each.startswith("+experiment=")]
    taken = ("experiment", *best.params)  # the file itself has these
    others = [each for each in overrides if each.lstrip("+~").partition("=")[0] not in taken]
    # a group of which one takes a list, as loss, is not among Hydra's choices
    choices = HydraConfig.get().runtime.choices
    groups = {key: each for key, each in best.params.items() if key in choices or isinstance(cfg.get(key), DictConfig)}
    values = {key: value for key, value in best.params.items() if key not in groups}
    parts = [*base, *({f"override /{group}": _choice(value)} for group, value in groups.items()), "_self_"]
    body: dict[str, Any] = {"defaults": parts, "name": f"{cfg.name}_tuned"}
    for key, value in values.items():
        _put(body, key.split("."), value)
    command = shlex.join(["python", "-m", "fer_ssl.train", "--config-dir", str(folder), "+experiment=tuned", *others])
    score = f"{100 * (best.value or 0):.2f}"
    head = f"# @package _global_\n# Best of a search: trial {place(best)}, macro-F1 {score} on validation\n"
    path = folder / "experiment" / "tuned.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{head}# {command}\n{yaml.safe_dump(body, sort_keys=False)}", encoding="utf-8")
    return path


def _choice(value: Any) -> Any:
    return yaml.safe_load(str(value))


def _put(tree: dict[str, Any], way: Sequence[str], value: Any) -> None:
    for part in way[:-1]:
        tree = tree.setdefault(part, {})
    tree[way[-1]] = value
