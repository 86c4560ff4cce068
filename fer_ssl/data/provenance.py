"""Where faces come from: told of a whole set, or face by face by a manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow as pa

from fer_ssl.types import Faces, Origins, Provenance

COLUMNS = tuple(field.name for field in fields(Provenance) if field.name != "bias")  # of a manifest


def to_provenance(known: Mapping[str, Any]) -> Provenance:
    """Return what a configuration or a row of a manifest tells; a date may be a date or a year as a number."""
    told = {name: value for name, value in known.items() if value is not None}
    if "collected" in told:
        told["collected"] = str(told["collected"])
    return Provenance(**told | {"allowed_use": tuple(told.get("allowed_use", ()))})


def of_set(faces: Faces, provenance: Provenance) -> Faces:
    """Return the faces with the provenance of their set, where they do not know their own."""
    if faces.origins is not None:
        return faces
    return replace(faces, origins=Origins((provenance,), np.zeros(len(faces), np.int32)))


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
