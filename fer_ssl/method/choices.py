"""Refuse a constructor argument outside its choices."""

from typing import Literal

from fer_ssl.errors import ConfigError

Source = Literal["teacher", "student"]
Observed = Literal["heldout", "labeled"]  # folds that the averaged model is asked about
UNLABELED_VIEWS = ("strong", "strong2", "weak", "weak2")


def require_average(key: str, pool: str, source: str) -> None:
    """Raise ConfigError for a `source` other than the averaged model, which alone looks at a whole fold."""
    if pool != "train" and source != "teacher":
        raise ConfigError(
            f"{key}.pool={pool} asks the averaged model, not the {source}; set {key}.source=teacher or {key}.pool=train"
        )


def require_choice(key: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ConfigError unless `value`, given under config key `key`, is one of `allowed`."""
    if value not in allowed:
        raise ConfigError(f"{key}={value} is not a choice; set {key} to one of {', '.join(allowed)}")
