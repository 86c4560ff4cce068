"""Refuse a constructor argument outside its choices."""

from typing import Literal

from fer_ssl.errors import ConfigError

Source = Literal["teacher", "student"]
UNLABELED_VIEWS = ("strong", "strong2", "weak", "weak2")


def require_choice(key: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ConfigError unless `value`, given under config key `key`, is one of `allowed`."""
    if value not in allowed:
        raise ConfigError(f"{key}={value} is not a choice; set {key} to one of {', '.join(allowed)}")
