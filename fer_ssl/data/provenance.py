"""Where faces come from: told of a whole set, or face by face by a manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa

from fer_ssl.errors import ConfigError
from fer_ssl.masking import masked
from fer_ssl.types import Faces, Origins, Provenance

FIELDS = [field.name for field in fields(Provenance)]
COLUMNS = [name for name in FIELDS if name != "bias"]  # of a manifest


def to_provenance(known: Mapping[str, Any]) -> Provenance:
    """Return what a configuration or a row of a manifest tells, without secrets; a date may be a year as a number.

    Raises ConfigError for a key that means nothing and for an allowed use that is no list.
    """
    for key in known:
        if key not in FIELDS:
            nearest = get_close_matches(str(key), FIELDS, 1, 0.0)[0]
            raise ConfigError(f"a provenance has no {key!r}; did you mean {nearest}?")
    uses = known.get("allowed_use") or ()
    if isinstance(uses, str):
        raise ConfigError(f"the allowed_use of a provenance is {uses!r}, no list; set allowed_use=[{uses}]")
    told = {name: masked(str(value)) for name, value in known.items() if value is not None and name != "allowed_use"}
    return Provenance(**told, allowed_use=tuple(map(str, uses)))


def of_set(faces: Faces, provenance: Provenance) -> Faces:
    """Return the faces with the provenance of their set, where they do not know their own."""
    if faces.origins is not None:
        return faces
    return replace(faces, origins=Origins((provenance,), np.broadcast_to(np.int32(0), len(faces))))


def of_rows(table: pa.Table) -> Origins:
    """Return the origins that the rows of a manifest tell."""
    numbers: dict[Provenance, int] = {}
    told = (to_provenance(row) for row in table.select(COLUMNS).to_pylist())
    rows = np.array([numbers.setdefault(each, len(numbers)) for each in told], np.int32)
    return Origins(tuple(numbers), rows)


def joined(sets: Sequence[Faces]) -> Origins | None:
    """Return the origins of several sets behind one another, None where none of them knows any."""
    if all(faces.origins is None for faces in sets):
        return None
    numbers: dict[Provenance, int] = {}
    rows = []
    for faces in (of_set(each, Provenance()) for each in sets):
        assert faces.origins is not None
        own = [numbers.setdefault(record, len(numbers)) for record in faces.origins.records]
        rows.append(np.array(own, np.int32)[faces.origins.rows])
    return Origins(tuple(numbers), np.concatenate(rows))
