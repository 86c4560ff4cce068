"""Which faces may be learned from: those that neither a policy nor a list leaves out."""

import json
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from fer_ssl.data.ids import BLOCK
from fer_ssl.data.manifest import write_table
from fer_ssl.data.policy import Policy, read_policy
from fer_ssl.data.provenance import of_set
from fer_ssl.errors import DataError
from fer_ssl.types import Faces, LabelSpace, Provenance

log = logging.getLogger(__name__)

LISTED = "the list of data.exclude names it"
Mask = NDArray[np.bool_]


class Admission:
    """Leaves out what the `policy` file does not allow and what the file `exclude` lists, and remembers why.

    `exclude` is JSON, lists of ids by split: `train`, `pool` (the source's own) or `unlabeled`, as an audit writes it.
    """

    def __init__(self, policy: str | None, exclude: str | None) -> None:
        self.path = policy
        self.policy: Policy | None = None if policy is None else read_policy(Path(policy))
        self.excluded = {} if exclude is None else read_list(Path(exclude))
        self.refused: dict[str, list[tuple[str, str]]] = {}

    def __call__(self, split: str, faces: Faces) -> Mask:
        """Return which of the faces [N] of a split may be learned from; raise DataError where none may."""
        reasons = self._reasons(faces)
        listed = self._listed(split, faces)
        refused = reasons >= 0
        texts = [] if self.policy is None else [self.policy.refusal(each) or "" for each in _records(faces)]
        self.refused[split] = [
            (str(faces.ids[row]), LISTED if listed[row] else texts[reasons[row]])
            for row in np.flatnonzero(refused | listed).tolist()
        ]
        self._tell(split)
        admitted: Mask = ~(refused | listed)
        if len(faces) and not admitted.any():
            raise DataError(f"no face of {split} is left: {self._told(split)}; change policy or data.exclude")
        return admitted

    def _reasons(self, faces: Faces) -> NDArray[np.int32]:
        """Return int32 [N]: the record that refuses a face, -1 where none does."""
        if self.policy is None:
            return np.full(len(faces), -1, np.int32)
        told = of_set(faces, Provenance()).origins
        assert told is not None
        numbers = [-1 if self.policy.refusal(each) is None else number for number, each in enumerate(told.records)]
        return np.array(numbers, np.int32)[told.rows]

    def _listed(self, split: str, faces: Faces) -> Mask:
        ids = self.excluded.get(split, frozenset())
        if not ids:
            return np.zeros(len(faces), bool)
        blocks = torch.arange(len(faces)).split(BLOCK)
        return np.concatenate([np.array([name in ids for name in faces.ids[rows.numpy()].tolist()]) for rows in blocks])

    def _told(self, split: str) -> str:
        counts = Counter(reason for _, reason in self.refused[split])
        return ", ".join(f"{count} refused because {reason}" for reason, count in counts.most_common())

    def _tell(self, split: str) -> None:
        if self.refused[split]:
            log.warning("of %s: %s (refused.parquet)", split, self._told(split))

    def require_classes(self, faces: Faces, admitted: Mask, space: LabelSpace) -> None:
        """Raise DataError for a class of which no face is left."""
        before, after = (set(faces.labels[torch.from_numpy(mask)].tolist()) for mask in (admitted | True, admitted))
        gone = sorted(before - after - {-1})
        if gone:
            names = ", ".join(space.classes[label] for label in gone)
            raise DataError(f"no face of {names} is left to learn from: {self._told('train')}; change policy or data")

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many faces were left out, by split and reason."""
        return {split: dict(Counter(reason for _, reason in rows)) for split, rows in self.refused.items() if rows}

    def write(self, path: Path) -> None:
        """Write `split, id, reason` of every face left out, if there is any."""
        rows = [
            {"split": split, "id": face, "reason": reason}
            for split, refused in self.refused.items()
            for face, reason in refused
        ]
        if rows:
            write_table(path, pa.Table.from_pylist(rows))


def _records(faces: Faces) -> tuple[Provenance, ...]:
    return (Provenance(),) if faces.origins is None else faces.origins.records


def read_list(path: Path) -> Mapping[str, frozenset[str]]:
    """Return the ids to leave out by split; raise DataError for a file that is no such list."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if not all(isinstance(name, str) for ids in content.values() for name in ids):
            raise ValueError("an id is no text")
        return {split: frozenset(ids) for split, ids in content.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read as JSON with lists of ids by split ({error}); set data.exclude=<run>/exclude.json"
        ) from None
