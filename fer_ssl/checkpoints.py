"""Checkpoints read safely: tensors and plain values only, and only where they fit."""

import logging
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fer_ssl.errors import ConfigError
from fer_ssl.files import on_disk, refusal, require_checksums, whole
from fer_ssl.places import PLACE_KEYS
from fer_ssl.since import SINCE
from fer_ssl.trees import flat
from fer_ssl.types import LabelSpace

log = logging.getLogger(__name__)

Checkpoint = dict[str, Any]

FITTED = "fitted_classifier"  # key of a classifier that was fitted after training
TOLD = 3  # changed settings that a message names
ABSENT = "absent"
FREE_TO_CHANGE = (
    "run_dir",
    "ckpt_path",
    "data.max_rejected",
    "logger",
    "callback",
    "trainer.max_steps",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "compile",
    "profiler",
    "score",
    *PLACE_KEYS,
)


def checkpoint_path(ckpt_path: str | None, run_dir: Path) -> Path | None:
    """Return the checkpoint to resume from, None for a run that begins.

    `last` is the run directory's last one; `auto` its newest whole one, if there is any. Raises ConfigError for a
    checkpoint that does not exist.
    """
    if ckpt_path is None:
        return None
    if ckpt_path == "auto":
        return newest_whole(run_dir / "checkpoints")
    path = run_dir / "checkpoints" / "last.ckpt" if ckpt_path == "last" else Path(ckpt_path)
    if not path.is_file():
        remedy = "hydra.run.dir=<the run's folder>" if ckpt_path == "last" else "ckpt_path=<file>"
        raise ConfigError(f"ckpt_path={ckpt_path}: there is no checkpoint {path}; set {remedy}")
    return path


def kept(folder: Path) -> Iterator[Path]:
    """Yield where a run's checkpoints are kept, the newest first: `last.ckpt`, then `last-1.ckpt` before it, and on."""
    yield folder / "last.ckpt"
    ages = {path: path.stem.removeprefix("last-") for path in folder.glob("last-*.ckpt")}
    older = {int(age): path for path, age in ages.items() if age.isdecimal()}  # others are a user's own copies
    yield from (older[age] for age in sorted(older))


def newest_whole(folder: Path) -> Path | None:
    """Return the newest checkpoint of a run that can be read; broken ones are passed over with a warning."""
    for path in kept(folder):
        try:
            read_checkpoint(path)
        except ConfigError as error:
            if path.exists():
                log.warning("passed over: %s", str(error).partition(";")[0])
        else:
            return path
    return None


def read_checkpoint(path: Path, otherwise: str = "") -> Checkpoint:
    """Return the content of a checkpoint; `otherwise` is what else may be set where it cannot be read.

    Raises ConfigError for a file that is not there, broken, not one of fer_ssl, or that would run code.
    """
    try:
        require_checksums(path)
        checkpoint: Checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ConfigError(f"there is no checkpoint {path}; set ckpt_path=<run>/checkpoints/last.ckpt") from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path} is a folder, not a checkpoint; set ckpt_path={path / 'checkpoints' / 'last.ckpt'}"
        ) from None
    except pickle.UnpicklingError as error:
        raise ConfigError(f"checkpoint {path} is refused: {refusal(error)}; set another ckpt_path") from None
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"checkpoint {path} cannot be read ({reason}); set ckpt_path=<run>/checkpoints/last.ckpt{otherwise}"
        ) from None
    if not isinstance(checkpoint, dict) or "config" not in checkpoint or "classes" not in checkpoint:
        raise ConfigError(f"{path} is not a checkpoint of fer_ssl; set ckpt_path=<run>/checkpoints/last.ckpt")
    return checkpoint


def require_space(checkpoint: Checkpoint, space: LabelSpace, path: Path) -> None:
    """Raise ConfigError unless the checkpoint's classes are those of `space`, in its order."""
    known = tuple(checkpoint["classes"])
    if known == space.classes:
        return
    remedy = "set data=<the label space it was trained on>, or another ckpt_path"
    if sorted(known) == sorted(space.classes):
        remedy = f"the order differs: set 'data.classes=[{','.join(known)}]' where the set takes it, or another data"
    raise ConfigError(
        f"checkpoint {path} knows the classes {', '.join(known)}, but the data has {', '.join(space.classes)}; {remedy}"
    )


def require_classifier(checkpoint: Checkpoint, path: Path) -> None:
    """Raise ConfigError where the run behind the checkpoint learned features alone."""
    if not checkpoint.get("learns_labels", True) and FITTED not in checkpoint:
        raise ConfigError(
            f"checkpoint {path} is of a run that learned no label, so there is no classifier to score; train one from "
            f"it with +experiment=supervised backbone.init={path}"
        )


def require_network(checkpoint: Checkpoint, config: dict[str, Any], path: Path) -> None:
    """Raise ConfigError where the checkpoint's backbone or head is not the configured one."""
    for part in ("backbone", "head"):
        younger = {key.removeprefix(f"{part}."): value for key, value in SINCE.items() if key.startswith(f"{part}.")}
        saved, wanted = ({**younger, **known[part], "init": None} for known in (checkpoint["config"], config))
        if saved != wanted:
            key = next(name for name in {**saved, **wanted} if saved.get(name) != wanted.get(name))
            if key == "_target_":
                raise ConfigError(
                    f"checkpoint {path} was trained with another {part}, {saved[key]}; set {part}=<choice> as the run "
                    "began, or another ckpt_path"
                )
            raise ConfigError(
                f"checkpoint {path} was trained with {part}.{key}={saved.get(key)}, not {wanted.get(key)}; "
                f"set {part}.{key}={saved.get(key)}, or another ckpt_path"
            )


def require_same_run(path: Path, wanted: dict[str, Any]) -> None:
    """Raise ConfigError for a checkpoint of another network and, with `ckpt_path=auto`, of another configuration.

    Any other `ckpt_path` asks for that checkpoint, so what it changes is told as a warning.
    """
    saved = read_checkpoint(path, otherwise=", or auto to go on")
    require_network(saved, wanted, path)
    changes = changed_settings(saved["config"], wanted)
    if wanted["ckpt_path"] == "auto" and (changes := changes + changed_length(saved["config"], wanted)):
        told = "; ".join(changes[:TOLD]) + (f"; and {len(changes) - TOLD} more" if len(changes) > TOLD else "")
        raise ConfigError(
            f"{wanted['run_dir']} holds a run with other settings ({told}); set hydra.run.dir, or for a "
            "sweep hydra.sweep.dir or hydra.sweep.subdir, to a folder of its own, or ckpt_path=last to go on from there"
        )
    _require_steps_left(saved, wanted, path)
    for change in changes:
        log.warning("the run resumes with another setting than it began with: %s", change)


def _require_steps_left(checkpoint: Checkpoint, wanted: dict[str, Any], path: Path) -> None:
    """Raise ConfigError for a checkpoint past the end of the run, which would be reported as one of fewer steps."""
    done, length = checkpoint.get("global_step", 0), wanted["trainer"]["max_steps"]
    if done > length:
        raise ConfigError(
            f"checkpoint {path} is of step {done}, past the end at trainer.max_steps={length}; "
            f"set trainer.max_steps={done} or more, or another ckpt_path"
        )


def require_state(checkpoint: Checkpoint, module: nn.Module, path: Path) -> None:
    """Raise ConfigError where the checkpoint lacks or adds a tensor of `module`, or has one of another shape."""
    held, wanted = (
        {name: tuple(value.shape) for name, value in state.items()}
        for state in (checkpoint["state_dict"], module.state_dict())
    )
    if differ := [name for name in sorted(held.keys() | wanted.keys()) if held.get(name) != wanted.get(name)]:
        name = differ[0]
        shapes = f"the shape {held.get(name)} in it, {wanted.get(name)} here"
        raise ConfigError(
            f"checkpoint {path} does not fit this run: {name} has {shapes}; go on with "
            "the data and losses it began with, or begin anew in another hydra.run.dir"
        )


def changed_settings(saved: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return `key=saved, now wanted` for every setting of the computation that a resumed run changes.

    An exchanged part is told by its target, with the settings that both parts know.
    """
    before, now = (SINCE | dict(flat(config)) for config in (saved, wanted))
    keys = sorted(key for key in before.keys() | now.keys() if not key.startswith(FREE_TO_CHANGE))
    changed = [key for key in keys if before.get(key) != now.get(key)]
    targets = [key for key in changed if key.endswith("._target_")]
    exchanged = tuple(target.removesuffix("_target_") for target in targets)
    told = [key for key in changed if key in targets or not key.startswith(exchanged) or (key in before and key in now)]
    return [f"{key}={before.get(key, ABSENT)}, now {now.get(key, ABSENT)}" for key in told]


def changed_length(saved: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the same for the number of steps, along which schedules and ramps are drawn."""
    before, now = (config["trainer"]["max_steps"] for config in (saved, wanted))
    return [] if before == now else [f"trainer.max_steps={before}, now {now}"]


def load_average(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Load the averaged teacher, the model that is reported, into `model`, with the classifier fitted to it if any."""
    prefix = "teacher.average."
    weights = checkpoint["state_dict"].items()
    averaged = {name[len(prefix) :]: value for name, value in weights if name.startswith(prefix)}
    model.load_state_dict(averaged | checkpoint.get(FITTED, {}))


def keep_classifier(path: Path, model: nn.Module | None) -> None:
    """Write the classifier fitted to the averaged teacher `model`, None for none, into the checkpoint of its last step.

    It stands beside the trained one, with which a run goes on, and so do statistics of batch norm.
    """
    checkpoint = read_checkpoint(path)
    if model is None and FITTED not in checkpoint:
        return
    earlier = {key: value for key, value in checkpoint.items() if key != FITTED}
    with whole(path) as place:
        torch.save(earlier if model is None else earlier | {FITTED: _fitted(model)}, place)
        on_disk(place)


def _fitted(model: nn.Module) -> dict[str, Tensor]:
    statistics = {name for name, _ in model.named_buffers()}
    return {
        name: value.cpu()
        for name, value in model.state_dict().items()
        if name.startswith("head.classifier.") or name in statistics
    }
