"""Backbones that start from weights somebody trained before."""

import logging
import pickle
import zipfile
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fer_ssl.errors import ConfigError
from fer_ssl.files import refusal, require_checksums

log = logging.getLogger(__name__)

NESTED = ("state_dict", "model", "backbone")  # keys under which others keep the weights of a checkpoint
# our own averaged backbone first, then what others put around a network
PREFIXES = (
    "teacher.average.backbone.",
    *map("".join, product(("", "module.", "model."), ("", "backbone.", "encoder.", "encoder_q.", "model."))),
)
SHOWN = 4


def start_from(backbone: nn.Module, path: Path) -> None:
    """Load into `backbone` every tensor of `path` that fits it by name and shape, and log what did not.

    A backbone may say by a tuple `together` how the names of layers begin that make sense only with one another, such
    as a layer and the statistics of what it returns: where one of their tensors does not fit, none is loaded.
    `path` is a checkpoint of ours, of which the averaged backbone is taken, or a file of weights as PyTorch or
    safetensors write them. Raises ConfigError for a file that cannot be read safely or of which nothing fits.
    """
    wanted = backbone.state_dict()
    weights = read_weights(path)
    found = max((_below(weights, prefix) for prefix in PREFIXES), key=lambda each: len(_fitting(each, wanted)))
    fitting = _fitting(found, wanted)
    together: tuple[str, ...] = getattr(backbone, "together", ())
    if any(name.startswith(together) and not _counts(name) for name in wanted.keys() - fitting.keys()):
        fitting = {name: value for name, value in fitting.items() if not name.startswith(together)}
    missing, left = (
        [name for name in wanted if name not in fitting and not _counts(name)],
        [name for name in found if name not in fitting],
    )
    if not any(value.is_floating_point() for value in fitting.values()):  # counters of batches fit any batch norm
        raise ConfigError(
            f"nothing of {path} fits the backbone: it holds {_some(weights)}, where {_some(wanted)} are wanted; set "
            "backbone and backbone.name to the network it was made with, or another backbone.init"
        )
    backbone.load_state_dict(fitting, strict=False)
    log.info("backbone: %d of %d tensors start from %s", len(fitting), len(wanted), path)
    if adapted := [name for name, value in fitting.items() if value.shape != found[name].shape]:
        log.info("backbone: the input channels of %s are summed or shared out, 1 for 3 or 3 for 1", _some(adapted))
    if missing:
        log.warning("backbone: %s do not start from %s, which has %s besides", _some(missing), path, _some(left))
        if reshaped := [name for name in missing if name in found and found[name].shape != wanted[name].shape]:
            first = reshaped[0]
            have, want = ("x".join(map(str, each[first].shape)) for each in (found, wanted))
            log.warning(
                "backbone: %s are of another shape there, %s of %s where %s is wanted: the weights of another network?",
                _some(reshaped), first, have, want,
            )  # fmt: skip
    elif deeper := [name for name in left if name.split(".")[0] in {own.split(".")[0] for own in wanted}]:
        log.warning("backbone: %s of %s have no place in it, so they are of a deeper network", _some(deeper), path)
    elif left:
        log.info("backbone: %s of %s are left aside", _some(left), path)


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
    return _tensors(content, path)


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the tensors by name, where they are under the keys that others keep them under."""
    for _ in NESTED:
        inner = content if isinstance(content, Mapping) else {}
        content = next((inner[key] for key in NESTED if isinstance(inner.get(key), Mapping)), content)
    found = content.items() if isinstance(content, Mapping) else ()
    tensors = {str(name): value for name, value in found if isinstance(value, Tensor)}
    if not tensors:
        held = f"under {_some(content)}" if isinstance(content, Mapping) else f"but a {type(content).__name__}"
        raise ConfigError(f"weights {path} hold no tensors by name, {held}; set backbone.init to a file of these alone")
    return tensors


def _read(path: Path) -> Any:
    if path.suffix != ".safetensors":
        if zipfile.is_zipfile(path):  # older files of weights have no checksums
            require_checksums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    from safetensors.torch import load_file

    return load_file(path)


def _counts(name: str) -> bool:
    """Return whether a tensor only counts batches, which older files do not and nothing reads."""
    return name.endswith("num_batches_tracked")


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _fitting(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that `wanted` has by name and, with input channels adapted, by shape."""
    named = {name: with_channels(weights[name], like) for name, like in wanted.items() if name in weights}
    return {name: value for name, value in named.items() if value.shape == wanted[name].shape}


def with_channels(kernel: Tensor, like: Tensor) -> Tensor:
    """Return a convolution kernel of 1 or 3 input channels with as many as `like`, any other tensor as it is.

    Summed over three channels, or divided by three, it responds to a grey face as before.
    """
    if kernel.ndim != 4 or like.ndim != 4 or {kernel.shape[1], like.shape[1]} != {1, 3}:
        return kernel
    return (kernel.sum(1, keepdim=True) / like.shape[1]).expand(-1, like.shape[1], -1, -1)


def _some(names: Any) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "nothing") + more
