"""What a search leaves beside its study: a table of trials, and the best one as an experiment."""

import csv
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from fer_ssl.tuning.space import as_override, is_group

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


def write_best(
    folder: Path, cfg: DictConfig, best: "FrozenTrial", overrides: Sequence[str], places: Sequence[str] = ()
) -> Path:
    """Write the best parameters as `experiment/tuned.yaml` and return its path.

    Its parts are those that the search added by `+group=choice`; other overrides of the search stand in its head, and
    the `places` of the user's own parts, which it may name.
    """
    kept = [each for each in overrides if each.lstrip("+~").partition("=")[0] not in best.params]
    kept += [as_override(key, value) for key, value in best.params.items() if key.startswith("+")]
    given = OverridesParser.create().parse_overrides(kept)
    # behind +experiment=tuned they would have the last word, and in a trial the parameters have it
    added = [each for each in given if each.is_add() and _chooses(each)]
    others = [str(each.input_line) for each in given if each not in added]
    parts = [part for each in added for part in _parts(each)]
    body = _experiment(f"{cfg.name}_tuned", parts, best.params)
    options = ["--config-dir", str(folder), *_search_path(places), "+experiment=tuned", *others]
    command = shlex.join(["python", "-m", "fer_ssl.train", *options])
    score = f"{100 * (best.value or 0):.2f}"
    head = f"# @package _global_\n# Best of a search: trial {place(best)}, macro-F1 {score} on validation\n"
    path = folder / "experiment" / "tuned.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{head}# {command}\n{yaml.safe_dump(body, sort_keys=False)}", encoding="utf-8")
    return path


def _search_path(places: Sequence[str]) -> list[str]:
    """Return the override for `places`, as Hydra takes but one --config-dir."""
    quoted = ("'{}'".format(place.replace("'", "\\'")) for place in places)
    return [f"hydra.searchpath=[{','.join(quoted)}]"] if places else []


def _experiment(name: str, parts: Sequence[Any], params: Mapping[str, Any]) -> dict[str, Any]:
    choices = [{f"override /{key}": _choice(value)} for key, value in params.items() if is_group(key)]
    body: dict[str, Any] = {"defaults": [*parts, *choices, "_self_"], "name": name}
    for key, value in params.items():
        if not is_group(key) and not key.startswith("+"):
            _put(body, key.split("."), value)
    return body


def _chooses(given: Override) -> bool:
    return is_group(given.key_or_group) and not isinstance(given.value(), dict)  # Hydra takes a mapping for values


def _parts(added: Override) -> list[Any]:
    """Return the lines of a file in experiment/ that add what `+group=choice` adds."""
    choice = added.value()
    if added.key_or_group == "experiment":  # the file's own group, of which Hydra takes no second choice
        return choice if isinstance(choice, list) else [choice]
    return [{f"/{added.get_key_element().lstrip('+')}": choice}]


def _choice(value: Any) -> Any:
    return yaml.safe_load(str(value))


def _put(tree: dict[str, Any], way: Sequence[str], value: Any) -> None:
    for part in way[:-1]:
        tree = tree.setdefault(part, {})
    tree[way[-1]] = value
