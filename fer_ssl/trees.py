"""Nested mappings, such as a configuration or metrics.json, by dotted keys."""

from collections.abc import Iterator, Mapping
from typing import Any


def flat(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a tree under its dotted key, behind `prefix`."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def at(tree: Mapping[str, Any], key: str) -> Any:
    """Return the value at dotted `key` of nested mappings; None where a part of the way is absent."""
    value: Any = tree
    for part in key.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value
