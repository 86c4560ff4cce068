"""Which parts a configuration from elsewhere, such as that of a checkpoint, may name."""

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import get_object

from fer_ssl.errors import ConfigError

TRUSTED = ("fer_ssl.nn", "fer_ssl.method", "fer_ssl.views", "fer_ssl.optim", "torch.optim", "torch.nn")


def require_trusted(config: Any, allowed: Sequence[str], path: Path) -> None:
    """Raise ConfigError for a `_target_` in `config` that is no class or function of a trusted module.

    `allowed` are the modules that the user trusts besides. Where a target is defined counts, not what it is called:
    `fer_ssl.nn.init.torch.load` is a path to something else.
    """
    trusted = (*TRUSTED, *allowed)
    for target in targets(config):
        if not (_within(target, trusted) and _is_own(target, trusted)):
            raise ConfigError(
                f"{path} asks for {target}, which is no part of fer_ssl and could be any program; if you trust the "
                f"file, set allow_targets=[{target.partition('.')[0]}]"
            )


def require_plain(config: Any, path: Path) -> None:
    """Raise ConfigError for a value that refers to another: it could name a `_target_` that nobody has looked at.

    What a run writes is resolved.
    """
    if any(isinstance(value, str) and "${" in value for value in values(config)):
        raise ConfigError(f"{path} holds a reference, which no run of fer_ssl writes; set another ckpt_path")


def values(node: Any) -> Iterator[Any]:
    """Yield every key and value of a tree of plain containers."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from values(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from values(value)
    else:
        yield node


def targets(node: Any) -> Iterator[str]:
    """Yield every `_target_` of a tree of plain containers."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "_target_":
                yield str(value)
            yield from targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from targets(value)


def _within(name: str, modules: Sequence[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _is_own(target: str, modules: Sequence[str]) -> bool:
    part = get_object(target)
    return (inspect.isclass(part) or inspect.isfunction(part)) and _within(part.__module__, modules)
