"""The space of a search: which values a dotted key or a config group may take."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException

from fer_ssl.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RANGE_KEYS = {"low", "high", "log", "step"}


def distributions(space: Mapping[str, Any]) -> dict[str, "BaseDistribution"]:
    """Return Optuna's distribution of every key: a list is a choice, `low` and `high` a range.

    A range is of whole numbers where both ends are. Raises ConfigError for anything else.
    """
    if not space:
        raise ConfigError("the space is empty, so there is nothing to search; set space=<file of conf/space>")
    return {key: _distribution(key, values) for key, values in space.items()}


def _distribution(key: str, values: Any) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(values, list) and values:
        return CategoricalDistribution(values)
    if not isinstance(values, dict) or not {"low", "high"} <= values.keys() <= RANGE_KEYS:
        raise ConfigError(
            f"space.{key}={values} is no choice or range; write [a, b] or {{low: 0.1, high: 1.0, log: true}}"
        )
    whole = all(isinstance(values[end], int) for end in ("low", "high"))
    try:
        return IntDistribution(**values) if whole else FloatDistribution(**values)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"space.{key}={values} is no range ({error}); mend conf/space") from None


def candidates(values: Any) -> list[Any]:
    """Return values of a key that between them show whether it can be set: every choice, or an end of the range."""
    return list(values) if isinstance(values, list) else [values["low"]]


def require_known(space: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Raise ConfigError for a key or choice that the training configuration does not have."""
    for key, values in space.items():
        for value in candidates(values):
            try:
                compose("train", overrides=[*overrides, as_override(key, value)])
            except HydraException as error:
                reason = str(error).splitlines()[0]
                raise ConfigError(
                    f"space.{key} cannot be set to {value} ({reason}); mend the file of conf/space"
                ) from None


def as_override(key: str, value: Any) -> str:
    """Return `key=value` for a command line; null for None."""
    return f"{key}={'null' if value is None else value}"


def is_group(key: str) -> bool:
    """Return whether `key`, such as `optim` or `optim@other`, chooses among files."""
    sources = GlobalHydra.instance().config_loader().get_sources()
    return any(source.is_group(key.partition("@")[0]) for source in sources)
