"""Files of weights that somebody trained before, read as tensors by name and never as code."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fer_ssl.errors import ConfigError
from fer_ssl.files import refusal, require_checksums

NESTED = ("state_dict", "model", "backbone")  # keys under which others keep the weights of a checkpoint, ours first
SCALAR = np.float64().__reduce__()[0]  # what NumPy's numbers are made by
NUMBERS: list[Any] = [np.dtype, *{type(np.dtype(code)) for code in "?bBhHiIlLefd"}]  # scores stand beside weights
NUMBERS += [(SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]  # before and since NumPy 2


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a file of weights by name; raises ConfigError for one that cannot be read safely."""
    try:
        content = _read(path)
    except FileNotFoundError:
        raise ConfigError(f"there are no weights {path}; set backbone.init=<run>/checkpoints/last.ckpt") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder; set backbone.init={path / 'checkpoints' / 'last.ckpt'}") from None
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"weights {path} cannot be read safely ({refusal(error)}); set another backbone.init"
        ) from None
    except Exception as error:  # a damaged file of the older format makes torch raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(f"weights {path} cannot be read safely ({reason}); set another backbone.init") from None
    if not (table := _table(content)):
        held = f"under {some(content)}" if isinstance(content, Mapping) else f"but a {type(content).__name__}"
        raise ConfigError(
            f"weights {path} hold no one table of tensors by name, {held}; set backbone.init to a file of these alone"
        )
    return table


def _table(content: Any) -> dict[str, Tensor]:
    """Return the tensors by name under the keys of NESTED, here, or under the only key that has any."""
    if not isinstance(content, Mapping):
        return {}
    inside = {key: table for key, value in content.items() if isinstance(key, str) and (table := _table(value))}
    for key in NESTED:
        if key in inside:
            return inside[key]
    own = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    return own if own or len(inside) != 1 else next(iter(inside.values()))


def _read(path: Path) -> Any:
    if _is_safetensors(path):
        from safetensors.torch import load_file

        return load_file(path)
    if zipfile.is_zipfile(path):  # older files of weights have no checksums
        require_checksums(path)
    with torch.serialization.safe_globals(NUMBERS):
        return torch.load(path, map_location="cpu", weights_only=True)


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins with the length of a header in JSON, whatever it is called."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size


def some(names: Any, shown: int = 4) -> str:
    """Return the first of `names`, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return (", ".join(map(str, names[:shown])) or "nothing") + more
