"""Checkpoints read safely: tensors and plain values only, and only where they fit."""

import logging
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fer_ssl.errors import ConfigError
from fer_ssl.types import LabelSpace

log = logging.getLogger(__name__)

Checkpoint = dict[str, Any]

FREE_TO_CHANGE = (
    "run_dir",
    "ckpt_path",
    "logger",
    "callback",
    "trainer.max_steps",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "data.root",
    "compile",
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
        raise ConfigError(f"ckpt_path={ckpt_path}: there is no checkpoint {path}; set hydra.run.dir=<the run's folder>")
    return path


def newest_whole(folder: Path) -> Path | None:
    """Return the newest checkpoint of a run whose checksums hold; broken ones are passed over with a warning."""
    for path in (folder / "last.ckpt", folder / "previous.ckpt"):
        if is_whole(path):
            return path
        if path.exists():
            log.warning("checkpoint %s is broken and passed over", path)
    return None


def is_whole(path: Path) -> bool:
    """Say whether `path` is an archive all of whose records match their checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the content of a checkpoint; raises ConfigError for a file that is broken or not one of fer_ssl."""
    try:
        checkpoint: Checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ConfigError(f"there is no checkpoint {path}; set ckpt_path=<run>/checkpoints/last.ckpt") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"checkpoint {path} cannot be read ({reason}); set ckpt_path to a whole one") from None
    if not isinstance(checkpoint, dict) or "config" not in checkpoint or "classes" not in checkpoint:
        raise ConfigError(f"{path} is not a checkpoint of fer_ssl; set ckpt_path=<run>/checkpoints/last.ckpt")
    return checkpoint


def require_space(checkpoint: Checkpoint, space: LabelSpace, path: Path) -> None:
    """Raise ConfigError unless the checkpoint's classes are those of `space`, in its order."""
    if tuple(checkpoint["classes"]) != space.classes:
        raise ConfigError(
            f"checkpoint {path} knows the classes {', '.join(checkpoint['classes'])}, but the data has "
            f"{', '.join(space.classes)}; set data=<the label space it was trained on>, or another ckpt_path"
        )


def require_classifier(checkpoint: Checkpoint, path: Path) -> None:
    """Raise ConfigError where the run behind the checkpoint learned features alone."""
    if not checkpoint.get("learns_labels", True):
        raise ConfigError(
            f"checkpoint {path} is of a run that learned no label, so there is no classifier to score; train one from "
            f"it with +experiment=supervised backbone.init={path}"
        )


def require_network(checkpoint: Checkpoint, config: dict[str, Any], path: Path) -> None:
    """Raise ConfigError where the checkpoint's backbone or head is not the configured one."""
    for part in ("backbone", "head"):
        saved, wanted = ({**known[part], "init": None} for known in (checkpoint["config"], config))
        if saved != wanted:
            key = next(name for name in {**saved, **wanted} if saved.get(name) != wanted.get(name))
            raise ConfigError(
                f"checkpoint {path} was trained with {part}.{key}={saved.get(key)}, not {wanted.get(key)}; "
                f"set {part}.{key}={saved.get(key)}, or another ckpt_path"
            )


def changed_settings(saved: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return `key=saved, now wanted` for every setting of the computation that a resumed run changes."""
    before, now = (dict(_flat(config)) for config in (saved, wanted))
    keys = sorted(key for key in before.keys() | now.keys() if not key.startswith(FREE_TO_CHANGE))
    return [f"{key}={before.get(key)}, now {now.get(key)}" for key in keys if before.get(key) != now.get(key)]


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _flat(value, f"{prefix}{key}.")
    else:
        yield prefix.removesuffix("."), node


def load_average(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Load the averaged teacher, the model that is reported, into `model`."""
    prefix = "teacher.average."
    weights = checkpoint["state_dict"].items()
    model.load_state_dict({name[len(prefix) :]: value for name, value in weights if name.startswith(prefix)})
