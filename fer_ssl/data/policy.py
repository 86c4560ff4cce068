"""What a model may be trained on: the use that is declared, and the licences and consent that allow it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from fer_ssl.errors import ConfigError
from fer_ssl.types import Provenance

ANY = "any"  # in an allowed use: every use
UNKNOWN = ("refuse", "allow")
_DATE = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")


@dataclass(frozen=True)
class Policy:
    """Says of a face whether it may be learned from for the declared `use`.

    The use must be among those the face allows. Where `licences` or `consent` are lists, the face's own must be in
    them; where `collected_from` or `collected_until` are dates, it must have been collected from, or until, then. What
    is not known of a face refuses it, unless `unknown` is `allow`. Raises ConfigError for anything else.
    """

    use: str
    licences: Sequence[str] | None = None
    consent: Sequence[str] | None = None
    collected_from: date | None = None
    collected_until: date | None = None
    unknown: str = "refuse"

    def __post_init__(self) -> None:
        if not isinstance(self.use, str) or not self.use:
            raise ConfigError(f"use is {self.use!r}, no name of a use; write use: research")
        for name in ("licences", "consent"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
                raise ConfigError(f"{name} is {value!r}, no list of names; write {name}: [<name>], or leave it out")
        for name in ("collected_from", "collected_until"):
            value = getattr(self, name)
            if value is not None and type(value) is not date:
                raise ConfigError(f"{name} is {value!r}, no date; write {name}: 2020-01-31, or leave it out")
        if self.unknown not in UNKNOWN:
            raise ConfigError(f"unknown is {self.unknown!r}, none of {', '.join(UNKNOWN)}; write unknown: refuse")

    def told(self) -> dict[str, str]:
        """Return what was declared, for people to read."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        lists = {name: ", ".join(value) for name, value in values.items() if isinstance(value, list)}
        return {name: str(value) for name, value in (values | lists).items() if value is not None}

    def refusal(self, face: Provenance) -> str | None:
        """Return why a face of this provenance is refused, None where it is not."""
        uses = None if ANY in face.allowed_use else (face.allowed_use or (None,))
        if uses is not None and self.use not in uses and not (uses == (None,) and self.unknown == "allow"):
            return "its allowed use is unknown" if uses == (None,) else f"it allows {', '.join(map(str, uses))} only"
        for name, known, allowed in (
            ("licence", face.licence, self.licences),
            ("consent", face.consent, self.consent),
        ):
            if allowed is not None and known not in allowed and not (known is None and self.unknown == "allow"):
                return f"its {name} is {known or 'unknown'}"
        return self._date_refusal(face.collected)

    def _date_refusal(self, collected: str | None) -> str | None:
        if self.collected_from is None and self.collected_until is None:
            return None
        span = _span(collected)
        if span is None:
            return None if self.unknown == "allow" else "its date of collection is unknown"
        early = self.collected_from is not None and span[0] < self.collected_from.isoformat()
        late = self.collected_until is not None and span[1] > self.collected_until.isoformat()
        return f"it was collected {collected}" if early or late else None


def _span(collected: str | None) -> tuple[str, str] | None:
    """Return the first and last day, in ISO form, of a date that may lack its day or month."""
    match = _DATE.fullmatch(collected or "")
    if match is None:
        return None
    year, month, day = match.groups()
    return f"{year}-{month or '01'}-{day or '01'}", f"{year}-{month or '12'}-{day or '31'}"


def read_policy(path: Path) -> Policy:
    """Return the policy that a YAML file declares; raise ConfigError for one that cannot be read or means nothing."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"policy {path} cannot be read as YAML ({reason}); set policy=<file>") from None
    if not isinstance(content, dict) or "use" not in content:
        raise ConfigError(f"policy {path} declares no use; write a line such as use: research")
    _require_known(content, path)
    try:
        return Policy(**content)
    except ConfigError as error:
        raise ConfigError(f"policy {path}: {error}") from None


def _require_known(content: dict[Any, Any], path: Path) -> None:
    known = [field.name for field in fields(Policy)]
    for key in content:
        if key not in known:
            nearest = get_close_matches(str(key), known, 1, 0.0)[0]
            raise ConfigError(f"policy {path} has the key {key!r}, which means nothing; did you mean {nearest}?")
