"""Parts in a configuration, nodes with a `_target_`: where they are, what they declare, and how one is made."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig

from fer_ssl.errors import ConfigError, FerError

FOREIGN = ("lightning.", "optuna.", "torch.")  # who tells what a setting should have been by an exception


def parts(node: DictConfig, place: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Yield the parts in a configuration, at any depth, with their keys."""
    for key, value in node.items():
        if isinstance(value, DictConfig):
            inside = f"{place}.{key!s}" if place else str(key)
            if "_target_" in value:
                yield inside, value
            yield from parts(value, inside)


def annotations(target: str) -> dict[str, Any]:
    """Return what kinds a part declares for its settings, nothing of one whose declaration cannot be read here."""
    try:
        parameters = inspect.signature(get_object(target), eval_str=True).parameters.values()
    except (NameError, TypeError, ValueError):  # a name that only type checkers import, or a builtin
        return {}
    return {each.name: each.annotation for each in parameters if each.annotation is not inspect.Parameter.empty}


def make(node: DictConfig, **arguments: Any) -> Any:
    """Instantiate a part with plain containers; a FerError of its constructor comes out as itself.

    Raises ConfigError for settings that torch's, Lightning's or Optuna's own parts refuse, also where one is made
    later, of what is not known yet.
    """
    try:
        made = instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, FerError):
            raise cause from None
        if cause is not None and node._target_.startswith(FOREIGN):
            raise _refused(node._target_, node._get_full_key(None), cause) from None
        raise
    later = isinstance(made, partial) and node._target_.startswith(FOREIGN)
    return partial(_complete, made, node._target_, node._get_full_key(None)) if later else made


def _complete(begun: Callable[..., Any], target: str, place: str, /, *arguments: Any, **settings: Any) -> Any:
    """Make the part that is `begun`."""
    try:
        return begun(*arguments, **settings)
    except Exception as error:
        raise _refused(target, place, error) from None


def _refused(target: str, place: str, error: BaseException) -> ConfigError:
    reason, *_ = str(error).splitlines() or [type(error).__name__]
    return ConfigError(f"{target} refuses its settings ({reason.rstrip('.')}); correct those of {place}")
