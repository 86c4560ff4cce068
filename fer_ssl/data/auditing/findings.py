"""What an audit tells: counts, every pair by id, people in several splits, and the faces not to train on."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import pyarrow as pa

from fer_ssl.data.admission import LEARNED
from fer_ssl.data.auditing.pairs import Pair
from fer_ssl.data.auditing.prints import Part, Printed

PAIRS = pa.schema(
    [
        ("kind", pa.string()),
        ("split", pa.string()),
        ("id", pa.string()),
        ("label", pa.string()),
        ("twin_split", pa.string()),
        ("twin", pa.string()),
        ("twin_label", pa.string()),
        ("conflict", pa.bool_()),
        ("same_file", pa.bool_()),
        ("distance", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Overlap:
    """People that two splits of one set share, and how many faces of theirs each has."""

    split: str
    other: str
    subjects: list[str]
    faces: int
    other_faces: int


def pair_table(pairs: Sequence[Pair], printed: Printed) -> pa.Table:
    """Return the pairs by id, with the columns PAIRS."""
    return pa.Table.from_pylist([_record(pair, printed) for pair in pairs], PAIRS)


def _record(pair: Pair, printed: Printed) -> dict[str, Any]:
    (part, row), (other, twin) = printed.place(pair.row), printed.place(pair.twin)
    files = printed.prints["file"][[pair.row, pair.twin]]
    return {
        "kind": pair.kind,
        "split": part.name,
        "id": str(part.ids[row]),
        "label": part.label(row),
        "twin_split": other.name,
        "twin": str(other.ids[twin]),
        "twin_label": other.label(twin),
        "conflict": pair.conflict,
        "same_file": bool(files[0] and files[0] == files[1]),
        "distance": pair.distance,
    }


def count_pairs(pairs: pa.Table) -> list[dict[str, Any]]:
    """Return, for each kind and two splits: the pairs, and how many faces of the first have a twin in the second.

    `twins` are the faces of the second that have one in the first; within one split they are the same. `conflicts` are
    faces of either with a twin of another label, `same_file` pairs whose files are equal byte for byte.
    """
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in pairs.to_pylist():
        found[row["kind"], row["split"], row["twin_split"]].append(row)
    return [_counted(*key, rows) for key, rows in found.items()]


def _counted(kind: str, split: str, other: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    faces, twins = ({row[key] for row in rows} for key in ("id", "twin"))
    if split == other:
        faces = twins = faces | twins
    conflicts = {(row[place], row[key]) for row in rows if row["conflict"] for place, key in SIDES}
    return {
        "kind": kind,
        "split": split,
        "twin_split": other,
        "pairs": len(rows),
        "faces": len(faces),
        "twins": len(twins),
        "conflicts": len(conflicts),
        "same_file": sum(row["same_file"] for row in rows),
    }


SIDES = (("split", "id"), ("twin_split", "twin"))


def count_parts(printed: Printed) -> dict[str, dict[str, int]]:
    """Return the faces of each split, and how many of them are blank: of one value everywhere."""
    blank = [printed.prints["blank"][start:end].sum() for start, end in pairwise(printed.starts)]
    return {
        part.name: {"faces": len(part.ids), "blank": int(count)}
        for part, count in zip(printed.parts, blank, strict=True)
    }


def find_overlaps(parts: Sequence[Part]) -> list[Overlap]:
    """Return the people whom two splits of one set share; names of different sets do not mean the same people."""
    named = [part for part in parts if part.subjects is not None]
    pairs = [(one, other) for one, other in combinations(named, 2) if _set(one.name) == _set(other.name)]
    return [overlap for one, other in pairs if (overlap := _overlap(one, other)).subjects]


def _set(name: str) -> str:
    return name if name == "unlabeled" else name.rpartition("/")[0]


def _overlap(one: Part, other: Part) -> Overlap:
    people, others = one.subjects.tolist(), other.subjects.tolist()  # type: ignore[union-attr]
    shared = set(people) & set(others)
    counts = [sum(name in shared for name in names) for names in (people, others)]
    return Overlap(one.name, other.name, sorted(map(str, shared)), *counts)


def is_leak(split: str, other: str) -> bool:
    """Say whether what two splits share spoils a score: they differ, and one of them is held out."""
    return split != other and not {split, other} <= set(LEARNED)


def excluded(pairs: pa.Table) -> dict[str, list[str]]:
    """Return the ids of the faces to learn from that have a twin in a held-out split, by their split."""
    leaks = [row for row in pairs.to_pylist() if is_leak(row["split"], row["twin_split"])]
    found: dict[str, set[str]] = defaultdict(set)
    for row in leaks:
        for place, key in SIDES:
            if row[place] in LEARNED:
                found[row[place]].add(row[key])
    return {split: sorted(ids) for split, ids in sorted(found.items())}
