"""The data card: what a run learned from and was scored on, counted from the faces themselves."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np
import torch

from fer_ssl.types import Faces, LabelSpace, Provenance

LEARNED = ("labeled", "pseudo", "heldout", "pool")
SCORED = ("val", "test")
TOLD = ("source", "licence", "consent", "collected")


def data_card(roles: Mapping[str, Faces], space: LabelSpace) -> dict[str, Any]:
    """Return counts by class, source, licence, consent, allowed use and date, shared people, and known biases.

    Every part is by role. The classes of the pool are left out: they are not known to the run.
    """
    return {
        "classes": {role: _classes(faces, space) for role, faces in roles.items() if role != "pool"},
        "imbalance": {role: _imbalance(faces, space) for role, faces in roles.items() if role != "pool"},
        **{name: {role: _told(faces, name) for role, faces in roles.items()} for name in TOLD},
        "allowed use": {role: _uses(faces) for role, faces in roles.items()},
        "people": {role: len(np.unique(faces.subjects)) for role, faces in roles.items() if faces.subjects is not None},
        "shared people": _shared_people(roles),
        "known biases": _biases(roles.values()),
    }


def _classes(faces: Faces, space: LabelSpace) -> dict[str, int]:
    counts = torch.bincount(faces.labels[faces.labels >= 0], minlength=len(space)).tolist()
    return dict(zip(space.classes, counts, strict=True))


def _imbalance(faces: Faces, space: LabelSpace) -> float | None:
    """Return how many faces the largest class has for each of the smallest, None where one has none."""
    counts = _classes(faces, space).values()
    return max(counts) / min(counts) if min(counts) else None


def _records(faces: Faces) -> list[tuple[Provenance, int]]:
    if faces.origins is None:
        return [(Provenance(), len(faces))]
    counts = np.bincount(faces.origins.rows, minlength=len(faces.origins.records)).tolist()
    return [(record, count) for record, count in zip(faces.origins.records, counts, strict=True) if count]


def _told(faces: Faces, name: str) -> dict[str, int]:
    found: Counter[str] = Counter()
    for record, count in _records(faces):
        found[getattr(record, name) or "unknown"] += count
    return dict(found.most_common())


def _uses(faces: Faces) -> dict[str, int]:
    found: Counter[str] = Counter()
    for record, count in _records(faces):
        found[", ".join(record.allowed_use) or "unknown"] += count
    return dict(found.most_common())


def _shared_people(roles: Mapping[str, Faces]) -> dict[str, int]:
    """Return how many people two roles share, one learned from and the other scored on, where both know names."""
    # numbers are those of one set: the same number in another is somebody else
    known = {role: faces.subjects for role, faces in roles.items() if faces.subjects is not None}
    named = {role: np.unique(people) for role, people in known.items() if people.dtype.kind in "US"}
    pairs = [(one, other) for one, other in product(LEARNED, SCORED) if one in named and other in named]
    return {f"{one} and {other}": len(np.intersect1d(named[one], named[other])) for one, other in pairs}


def _biases(sets: Iterable[Faces]) -> dict[str, str]:
    records = {record for faces in sets for record, _ in _records(faces)}
    return {record.source or "unknown": record.bias for record in sorted(records, key=repr) if record.bias}
