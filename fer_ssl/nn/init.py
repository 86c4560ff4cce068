"""Backbones that start from weights somebody trained before."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from fer_ssl.errors import ConfigError
from fer_ssl.nn.weights import read_weights, some

log = logging.getLogger(__name__)

AVERAGED = "teacher.average.backbone."  # in checkpoints of ours, beside the student's


def start_from(backbone: nn.Module, path: Path) -> None:
    """Load into `backbone` every tensor of `path` that fits it by name and shape, and log what did not.

    A backbone may say by a tuple `together` how the names of layers begin that make sense only with one another, such
    as a layer and the statistics of what it returns: where one of their tensors does not fit, none is loaded.
    `path` is a checkpoint of ours, of which the averaged backbone is taken, or a file of weights as PyTorch or
    safetensors write them. Raises ConfigError for a file that cannot be read safely or of which nothing fits.
    """
    wanted = backbone.state_dict()
    weights = read_weights(path)
    prefixes = dict.fromkeys((AVERAGED, "", *_prefixes(weights, wanted)))
    found = max((_below(weights, prefix) for prefix in prefixes), key=lambda each: len(_fitting(each, wanted)))
    fitting = _fitting(found, wanted)
    together: tuple[str, ...] = getattr(backbone, "together", ())
    if any(name.startswith(together) and not _counts(name) for name in wanted.keys() - fitting.keys()):
        fitting = {name: value for name, value in fitting.items() if not name.startswith(together)}
    if not any(value.ndim > 1 for value in fitting.values()):  # norms of the same width are in any network
        raise ConfigError(
            f"nothing of {path} fits the backbone: it holds {some(weights)}, where {some(wanted)} are wanted; set "
            "backbone and backbone.name to the network it was made with, or another backbone.init"
        )
    backbone.load_state_dict(fitting, strict=False)
    _tell(backbone, path, found, fitting)


def _tell(backbone: nn.Module, path: Path, found: Mapping[str, Tensor], fitting: Mapping[str, Tensor]) -> None:
    """Log what started from the weights `found` and what did not."""
    wanted = {name: value for name, value in backbone.state_dict().items() if not _counts(name)}
    missing, left = ([name for name in names if name not in fitting] for names in (wanted, found))
    log.info("backbone: %d of %d tensors start from %s", len(wanted) - len(missing), len(wanted), path)
    log.debug("backbone: left as it was: %s; left aside: %s", ", ".join(missing), ", ".join(left))
    if adapted := [name for name, value in fitting.items() if value.shape != found[name].shape]:
        log.info("backbone: the input channels of %s are summed or shared out, 1 for 3 or 3 for 1", some(adapted))
    if missing:
        log.warning("backbone: %s do not start from %s, which has %s besides", some(missing), path, some(left))
        _tell_why(backbone, wanted, {name: found[name] for name in missing if name in found})
    elif deeper := [name for name in left if _is_deeper(name, backbone)]:
        log.warning("backbone: %s of %s have no place in it, so they are of a deeper network", some(deeper), path)
    elif left:
        log.info("backbone: %s of %s are left aside", some(left), path)


def _tell_why(backbone: nn.Module, wanted: Mapping[str, Tensor], refused: Mapping[str, Tensor]) -> None:
    """Log why tensors of a name that is wanted do not fit."""
    if odd := [name for name, value in refused.items() if not _is_plain(value, wanted[name])]:
        log.warning("backbone: %s are no dense floating-point numbers there; save them as such", some(odd))
    reshaped = [name for name, value in refused.items() if value.shape != wanted[name].shape]
    if not reshaped:
        return
    have, want = ("x".join(map(str, each[reshaped[0]].shape)) for each in (refused, wanted))
    why = "the weights of another network?"
    if all(_reads_other_maps(refused[name], wanted[name], name, backbone) for name in reshaped):
        why = "they read maps of another size; set image_size to that of the weights, 112 for InsightFace's"
    log.warning(
        "backbone: %s are of another shape there, %s of %s where %s is wanted: %s",
        some(reshaped), reshaped[0], have, want, why,
    )  # fmt: skip


def _reads_other_maps(value: Tensor, like: Tensor, name: str, backbone: nn.Module) -> bool:
    """Return whether a last layer is of as many outputs as it should, so that only its map is of another size."""
    return name.startswith(getattr(backbone, "together", ())) and value.shape[:1] == like.shape[:1]


def _is_deeper(name: str, backbone: nn.Module) -> bool:
    """Return whether a tensor without a place is of a part that the backbone has, other than timm's classifier."""
    classifier = getattr(backbone, "default_cfg", {}).get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else classifier
    own = {each.partition(".")[0] for each in backbone.state_dict()}
    return name.partition(".")[0] in own and not name.startswith(tuple(f"{head}." for head in heads))


def _counts(name: str) -> bool:
    """Return whether a tensor only counts batches, which older files do not and nothing reads."""
    return name.endswith("num_batches_tracked")


def _prefixes(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield what stands before a wanted name in names of the file, such as `module.` or `model.backbone.`."""
    for name in weights:
        parts = name.split(".")
        for place in range(1, len(parts)):
            if ".".join(parts[place:]) in wanted:
                yield ".".join(parts[:place]) + "."


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _fitting(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that `wanted` has by name, by kind and, with input channels adapted, by shape."""
    plain = {name: weights[name] for name in wanted if name in weights and _is_plain(weights[name], wanted[name])}
    named = {name: with_channels(value, wanted[name]) for name, value in plain.items()}
    return {name: value for name, value in named.items() if value.shape == wanted[name].shape}


def _is_plain(value: Tensor, like: Tensor) -> bool:
    """Return whether a tensor holds dense values, of floating point where `like` does."""
    dense = value.layout == torch.strided and not value.is_meta
    return dense and (value.is_floating_point() or not like.is_floating_point())


def with_channels(kernel: Tensor, like: Tensor) -> Tensor:
    """Return a convolution kernel of 1 or 3 input channels with as many as `like`, any other tensor as it is.

    Summed over three channels, or divided by three, it responds to a grey face as before.
    """
    if kernel.ndim != 4 or like.ndim != 4 or {kernel.shape[1], like.shape[1]} != {1, 3}:
        return kernel
    return (kernel.sum(1, keepdim=True) / like.shape[1]).expand(-1, like.shape[1], -1, -1)
