"""The data card: what a run learned from and was scored on, counted from the faces themselves."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np
import torch

from fer_ssl.data.ids import BLOCK
from fer_ssl.types import Faces, LabelSpace, Provenance

Person = tuple[str | None, str | int]  # the set and the name or number there

LEARNED = ("labeled", "pseudo", "heldout", "pool")
SCORED = ("val", "test")
TOLD = ("source", "licence", "consent", "collected")


def data_card(roles: Mapping[str, Faces], space: LabelSpace) -> dict[str, Any]:
    """Return counts by class, source, licence, consent, allowed use and date, people, and known biases.

    Every part is by role. The classes of the pool are left out: they are not known to the run.
    """
    people = {role: _people(faces) for role, faces in roles.items() if faces.subjects is not None}
    return {
        "faces": {role: len(faces) for role, faces in roles.items()},
        "classes": {role: _classes(faces, space) for role, faces in roles.items() if role != "pool"},
        "imbalance": {role: _imbalance(faces, space) for role, faces in roles.items() if role != "pool"},
        **{name: {role: _told(faces, name) for role, faces in roles.items()} for name in TOLD},
        "allowed use": {role: _uses(faces) for role, faces in roles.items()},
        "people": {role: len(found) for role, found in people.items()},
        "shared people": _shared_people(people),
        "known biases": _biases(roles.values()),
    }


def _classes(faces: Faces, space: LabelSpace) -> dict[str, int]:
    counts = torch.bincount(faces.labels[faces.labels >= 0], minlength=len(space)).tolist()
    return dict(zip(space.classes, counts, strict=True))


def _imbalance(faces: Faces, space: LabelSpace) -> float | None:
    """Return how many faces the largest class has for each of the smallest, None where one has none."""
    counts = _classes(faces, space).values()
    return max(counts) / min(counts) if min(counts) else None


def _counted(faces: Faces) -> list[tuple[Provenance, int]]:
    """Return each record of provenance, and how many faces have it."""
    if faces.origins is None:
        return [(Provenance(), len(faces))]
    counts = np.bincount(faces.origins.rows, minlength=len(faces.origins.records)).tolist()
    return list(zip(faces.origins.records, counts, strict=True))


def _records(faces: Faces) -> list[tuple[Provenance, int]]:
    return [(record, count) for record, count in _counted(faces) if count]


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


def _people(faces: Faces) -> set[Person]:
    """Return everybody who is known, each with the set that names them."""
    assert faces.subjects is not None
    sources = [record.source for record, _ in _counted(faces)]
    found: set[Person] = set()
    for block in torch.arange(len(faces)).split(BLOCK):
        rows = block.numpy()
        origins = [0] * len(rows) if faces.origins is None else faces.origins.rows[rows].tolist()
        named = zip(origins, faces.subjects[rows].tolist(), faces.ids[rows].tolist(), strict=True)
        # in a mixture a face of somebody unknown is a person of its own, called like the face
        found |= {(sources[origin], person) for origin, person, name in named if person != name}
    return found


def _shared_people(people: Mapping[str, set[Person]]) -> dict[str, int]:
    """Return how many people two roles share, one learned from and the other scored on, where both know people."""
    pairs = [(one, other) for one, other in product(LEARNED, SCORED) if one in people and other in people]
    return {f"{one} and {other}": sum(map(_told_apart, people[one] & people[other])) for one, other in pairs}


def _told_apart(person: Person) -> bool:
    """Say whether nobody else is called so: without the name of a set, a number may be somebody of another set."""
    source, name = person
    return source is not None or isinstance(name, str)


def _biases(sets: Iterable[Faces]) -> dict[str, str]:
    records = {record for faces in sets for record, _ in _records(faces)}
    return {record.source or "unknown": record.bias for record in sorted(records, key=repr) if record.bias}
