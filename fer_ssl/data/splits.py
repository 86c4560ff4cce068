"""Who is labeled, held out, validation or pool: one draw, frozen by its seed or by a split file."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_ssl.errors import DataError
from fer_ssl.types import Faces, LabelSpace

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class SplitPlan:
    """How the training faces of a labeled source are divided.

    `labels_per_class` faces of each class keep their label (None: all); a `split_file` (JSON with `labeled` and
    `excluded` rows of the official file, or ids) names them instead. `val_fraction` of the training faces become
    validation, `heldout_fraction` of the labeled ones are kept from training to calibrate thresholds.
    `use_all_labels` labels every face that is neither excluded nor validation: the upper bound.
    """

    labels_per_class: int | None = None
    split_seed: int = 0
    split_file: str | None = None
    val_fraction: float = 0.1
    heldout_fraction: float = 0.0
    use_all_labels: bool = False


@dataclass(frozen=True)
class SplitRows:
    """Rows of the training faces by role; no row has two roles."""

    labeled: Rows
    heldout: Rows
    val: Rows
    rest: Rows


def divide(train: Faces, usable: NDArray[np.bool_], space: LabelSpace, plan: SplitPlan) -> SplitRows:
    """Divide the `usable` (bool [N]) training faces by `plan`.

    Raises DataError for a class without labeled faces, for fewer faces than `labels_per_class`, for a held-out fold
    that is asked for and stays empty, and for a split file that names unknown faces.
    """
    labels = train.labels.numpy()
    rng = np.random.default_rng((plan.split_seed, len(train)))
    free = usable.copy()
    labeled = np.empty(0, np.int64)
    if plan.split_file is not None:
        labeled, excluded = read_split_file(Path(plan.split_file), train)
        free[excluded] = False
        labeled = labeled[free[labeled]]
    elif plan.labels_per_class is not None and train.subjects is None:
        labeled = _per_class(labels, free, space, plan.labels_per_class, rng)
    free[labeled] = False
    val = carve(train, free & ~_of_subjects(train, labeled), plan.val_fraction, rng)
    free[val] = False
    free &= ~_of_subjects(train, val)
    if plan.split_file is None and plan.labels_per_class is not None and train.subjects is not None:
        labeled = _per_class(labels, free, space, plan.labels_per_class, rng)  # of the subjects that validation left
        free[labeled] = False
    if plan.use_all_labels or (plan.split_file is None and plan.labels_per_class is None):
        labeled = np.union1d(labeled, np.flatnonzero(free & (labels >= 0)))
        free[labeled] = False
    heldout = carve(train, np.isin(np.arange(len(train)), labeled), plan.heldout_fraction, rng)
    taught = np.setdiff1d(labeled, heldout)
    _require_every_class(labels[taught], space)
    if plan.heldout_fraction > 0 and not len(heldout):
        raise DataError(
            f"data.heldout_fraction={plan.heldout_fraction} of {len(labeled)} labeled faces is less than one of any "
            "class; set data.heldout_fraction=0.2 or more labels"
        )
    return SplitRows(taught, heldout, val, np.flatnonzero(free))


def carve(faces: Faces, free: NDArray[np.bool_], fraction: float, rng: np.random.Generator) -> Rows:
    """Return about `fraction` of the labeled faces: whole subjects where they are known, else stratified by class."""
    rows = np.flatnonzero(free & (faces.labels.numpy() >= 0))
    if fraction <= 0 or len(rows) == 0:
        return np.empty(0, np.int64)
    if faces.subjects is None:
        return _stratified(faces.labels.numpy(), rows, fraction, rng)
    subjects, inverse = np.unique(faces.subjects[rows], return_inverse=True)
    order = rng.permutation(len(subjects))
    covered = np.cumsum(np.bincount(inverse, minlength=len(subjects))[order])
    chosen = order[: int(np.searchsorted(covered, fraction * len(rows))) + 1]
    return rows[np.isin(inverse, chosen)]


def _of_subjects(faces: Faces, rows: Rows) -> NDArray[np.bool_]:
    """Return which faces are of a subject of `rows`: none where subjects are not known."""
    if faces.subjects is None:
        return np.zeros(len(faces), dtype=bool)
    return np.isin(faces.subjects, faces.subjects[rows])


def read_split_file(path: Path, train: Faces) -> tuple[Rows, Rows]:
    """Return the training rows that a split file names as (labeled, excluded)."""
    try:
        content = json.loads(path.read_text())
        named = content["labeled"], content.get("excluded", [])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"split file {path} cannot be read as JSON with a list 'labeled' ({error}); set data.split_file=<file>"
        ) from None
    by_name = {name: row for row, name in enumerate(train.ids.tolist())}
    by_number = {official_row(name): row for name, row in by_name.items()}
    if len(by_number) < len(by_name) and any(isinstance(entry, int) for entries in named for entry in entries):
        raise DataError(
            f"split file {path} names faces by number, but numbers repeat among the ids of the training set; "
            "name them by id, or load the form of the set that keeps official rows (CSV or Parquet)"
        )
    return tuple(_lookup(entries, by_name, by_number, path) for entries in named)  # type: ignore[return-value]


def official_row(image_id: str) -> int | None:
    """Return the row of the official file that ends an id such as `fer2013/00097`, or None."""
    number = re.search(r"(\d+)(?:\.\w+)?$", image_id)
    return int(number.group(1)) if number else None


def _lookup(entries: list[int | str], by_name: dict[str, int], by_number: dict[int | None, int], path: Path) -> Rows:
    rows = [by_name.get(entry) if isinstance(entry, str) else by_number.get(entry) for entry in entries]
    if None in rows:
        missing = entries[rows.index(None)]
        raise DataError(
            f"split file {path} names face {missing!r}, which the training set lacks; "
            "set data.root=<the set it was made for> or data.split_file=null"
        )
    return np.array(rows, dtype=np.int64)


def _per_class(
    labels: NDArray[np.int64], free: NDArray[np.bool_], space: LabelSpace, count: int, rng: np.random.Generator
) -> Rows:
    _require_every_class(labels[free], space)
    members = [np.flatnonzero(free & (labels == label)) for label in range(len(space.classes))]
    scarcest, rows = min(enumerate(members), key=lambda member: len(member[1]))
    if len(rows) < count:  # told of the scarcest, so that what is advised is enough for every class
        raise DataError(
            f"data.labels_per_class={count} is more than the {len(rows)} training faces of class "
            f"{space.classes[scarcest]!r}; set data.labels_per_class={len(rows)} or less, or null for all"
        )
    return np.sort(np.concatenate([rng.permutation(rows)[:count] for rows in members]))


def _stratified(labels: NDArray[np.int64], rows: Rows, fraction: float, rng: np.random.Generator) -> Rows:
    chosen = [np.empty(0, np.int64)]
    for label in np.unique(labels[rows]):
        members = rng.permutation(rows[labels[rows] == label])
        chosen.append(members[: round(fraction * len(members))])
    return np.sort(np.concatenate(chosen))


def _require_every_class(labels: NDArray[np.int64], space: LabelSpace) -> None:
    empty = [name for label, name in enumerate(space.classes) if not (labels == label).any()]
    if empty:
        raise DataError(
            f"no labeled training face of class {', '.join(empty)} in label space {space.name!r}; add faces under "
            "data.root, or list the classes you have: data.classes=[...], with data=mixed data.space=[...]"
        )
