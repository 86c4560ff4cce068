"""The space of a search: which values a dotted key or a config group may take."""

from collections.abc import Mapping, Sequence
from itertools import product
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
    """Raise ConfigError for a key or choice that the training configuration does not have, alone or beside another."""
    first = {key: candidates(values)[0] for key, values in space.items()}
    _require(first, list(first), overrides)
    for key, values in space.items():
        for value in candidates(values)[1:]:
            _require(first | {key: value}, [key], overrides)


def _require(chosen: Mapping[str, Any], suspects: Sequence[str], overrides: Sequence[str]) -> None:
    """Raise ConfigError where the `chosen` values cannot be set; one of the `suspects` is at fault, maybe with another.

    One composition where they can: what is at fault is looked for only then.
    """
    reason = _refusal(chosen, overrides)
    if reason is None:
        return
    # the same reason, for a key may lack nothing but another of the chosen ones
    for key in suspects:
        if _refusal({key: chosen[key]}, overrides) == reason:
            raise ConfigError(f"space.{key} cannot be set to {chosen[key]} ({reason}); mend the file of conf/space")
    pairs = ({key: chosen[key], other: chosen[other]} for key, other in product(suspects, chosen) if other != key)
    together = next((pair for pair in pairs if _refusal(pair, overrides) == reason), chosen)
    told = " and ".join(f"space.{key}={value}" for key, value in together.items())
    raise ConfigError(f"{told} cannot be set together ({reason}); leave one of them out of the file of conf/space")


def _refusal(chosen: Mapping[str, Any], overrides: Sequence[str]) -> str | None:
    """Return why the training configuration cannot be composed with the `chosen` values, None where it can."""
    try:
        compose("train", overrides=[*overrides, *(as_override(key, value) for key, value in chosen.items())])
    except HydraException as error:
        return str(error).splitlines()[0]
    return None


def as_override(key: str, value: Any) -> str:
    """Return `key=value` for a command line; null for None."""
    return f"{key}={'null' if value is None else value}"


def is_group(key: str) -> bool:
    """Return whether `key`, such as `optim` or `optim@other`, chooses among files."""
    sources = GlobalHydra.instance().config_loader().get_sources()
    return any(source.is_group(key.partition("@")[0]) for source in sources)
