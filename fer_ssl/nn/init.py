"""Backbones that start from weights somebody trained before."""

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fer_ssl.errors import ConfigError

log = logging.getLogger(__name__)

AVERAGE = "teacher.average.backbone."  # where our checkpoints keep the backbone that is reported
NESTED = ("state_dict", "model", "backbone")  # keys under which others keep the weights of a checkpoint
PREFIXES = ("module.", "model.", "backbone.", "encoder.")
SHOWN = 4


def start_from(backbone: nn.Module, path: Path) -> None:
    """Load into `backbone` every tensor of `path` that fits it by name and shape, and log what did not.

    `path` is a checkpoint of ours, of which the averaged backbone is taken, or a file of weights as PyTorch or
    safetensors write them. Raises ConfigError for a file that cannot be read safely or of which nothing fits.
    """
    wanted = backbone.state_dict()
    found = _of_backbone(read_weights(path))
    fitting = {name: value for name, value in found.items() if name in wanted and value.shape == wanted[name].shape}
    missing, left = [name for name in wanted if name not in fitting], [name for name in found if name not in fitting]
    if not fitting:
        raise ConfigError(
            f"nothing of {path} fits the backbone: it holds {_some(found)}, where {_some(wanted)} are wanted; set "
            "backbone and backbone.name to the network it was made with, or another backbone.init"
        )
    backbone.load_state_dict(fitting, strict=False)
    log.info("backbone: %d of %d tensors start from %s", len(fitting), len(wanted), path)
    if missing:
        log.warning("backbone: %s do not start from %s, which has %s besides", _some(missing), path, _some(left))


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a file of weights by name; raises ConfigError for one that cannot be read safely."""
    try:
        content = _read(path)
    except FileNotFoundError:
        raise ConfigError(f"there are no weights {path}; set backbone.init=<run>/checkpoints/last.ckpt") from None
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"weights {path} cannot be read safely ({reason}); set another backbone.init") from None
    while isinstance(content, dict) and (inner := next((key for key in NESTED if key in content), None)):
        content = content[inner]
    tensors = content.items() if isinstance(content, Mapping) else ()
    return {str(name): value for name, value in tensors if isinstance(value, Tensor)}


def _read(path: Path) -> Any:
    if path.suffix != ".safetensors":
        return torch.load(path, map_location="cpu", weights_only=True)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _of_backbone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the backbone's tensors under its own names."""
    ours = {name.removeprefix(AVERAGE): value for name, value in tensors.items() if name.startswith(AVERAGE)}
    return ours or {_bare(name): value for name, value in tensors.items()}


def _bare(name: str) -> str:
    while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), ""):
        name = name.removeprefix(prefix)
    return name


def _some(names: Any) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "nothing") + more
