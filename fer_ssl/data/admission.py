"""Which faces may be learned from: those that neither a policy nor a list leaves out."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from fer_ssl.data.ids import BLOCK
from fer_ssl.data.policy import Policy, read_policy
from fer_ssl.data.provenance import of_set
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.files import whole
from fer_ssl.types import Faces, Ids, LabelSpace, Provenance

log = logging.getLogger(__name__)

LISTED = "the list of data.exclude names it"
LEARNED = ("train", "pool", "unlabeled")  # splits that a run learns from; all others are held out
NAMED = 3  # faces that a message names
COLUMNS = pa.schema([("split", pa.string()), ("id", pa.string()), ("reason", pa.string())])
Mask = NDArray[np.bool_]


class Refused(NamedTuple):
    """The faces of a split that are left out: their ids, and which of the `reasons` is that of each, int32 [N]."""

    ids: Ids
    reasons: Sequence[str]
    rows: NDArray[np.int32]

    def counts(self) -> dict[str, int]:
        """Return how many faces each reason leaves out, the most frequent first."""
        counts: Counter[str] = Counter()
        for reason, count in zip(self.reasons, np.bincount(self.rows, minlength=len(self.reasons)), strict=True):
            counts[reason] += int(count)
        return {reason: count for reason, count in counts.most_common() if count}

    def __str__(self) -> str:
        return ", ".join(f"{count} refused because {reason}" for reason, count in self.counts().items())


class Admission:
    """Leaves out what the `policy` file does not allow and what the file `exclude` lists, and remembers why.

    `exclude` is JSON, lists of ids by split: `train`, `pool` (the source's own) or `unlabeled`, as an audit writes it.
    """

    def __init__(self, policy: str | None, exclude: str | None) -> None:
        self.files = {"policy": policy, "data.exclude": exclude}
        self.policy: Policy | None = None if policy is None else read_policy(Path(policy))
        self.excluded = {} if exclude is None else read_list(Path(exclude))
        self.refused: dict[str, Refused] = {}

    def __call__(self, split: str, faces: Faces) -> Mask:
        """Return which of the faces [N] of a split may be learned from; raise DataError where none may."""
        reasons, numbers = self._judge(split, faces)
        admitted: Mask = numbers < 0
        out = np.flatnonzero(~admitted)
        if len(out):
            self.refused[split] = Refused(faces.ids[out], reasons, numbers[out])
            log.warning("of %s: %s (refused.parquet)", split, self.refused[split])
        if len(faces) and not admitted.any():
            raise DataError(self._none_left(f"no face of {split} is left", split, self.refused[split].ids))
        return admitted

    def of(self, split: str, faces: Faces) -> Faces:
        """Return the faces of a split that may be learned from; raise DataError where none may."""
        admitted = self(split, faces)
        return faces if admitted.all() else faces.subset(torch.from_numpy(np.flatnonzero(admitted)))

    def tell_unmatched(self) -> None:
        """Warn of listed ids that no face of their split has, after all splits were asked about."""
        out = {split: set(refused.ids.tolist()) for split, refused in self.refused.items()} if self.excluded else {}
        absent = [(split, name) for split, ids in self.excluded.items() for name in sorted(ids - out.get(split, set()))]
        if absent:
            log.warning(
                "%d of %d listed ids are in no such split, such as %s of %s; list ids of manifest.parquet in %s "
                "under train for the labeled set, pool for its own unlabeled faces, unlabeled for unlabeled.root",
                *(len(absent), sum(map(len, self.excluded.values())), *reversed(absent[0]), self.files["data.exclude"]),
            )

    def _judge(self, split: str, faces: Faces) -> tuple[list[str], NDArray[np.int32]]:
        """Return reasons, and int32 [N] which of them refuses a face, -1 where none does."""
        told = of_set(faces, Provenance()).origins
        assert told is not None
        verdicts = [None if self.policy is None else self.policy.refusal(record) for record in told.records]
        refusing = [-1 if verdict is None else number for number, verdict in enumerate(verdicts)]
        numbers = np.array(refusing, np.int32)[told.rows]
        listed = self.excluded.get(split, frozenset())
        for rows in torch.arange(len(faces) if listed else 0).split(BLOCK):
            named = [name in listed for name in faces.ids[rows.numpy()].tolist()]
            numbers[rows.numpy()[named]] = len(verdicts)
        return [*(verdict or "" for verdict in verdicts), LISTED], numbers

    def _none_left(self, what: str, split: str, ids: Ids) -> str:
        files = " and ".join(f"{key}={file}" for key, file in self.files.items() if file is not None)
        names = ", ".join(ids[np.arange(min(NAMED, len(ids)))].tolist()) + (", ..." if len(ids) > NAMED else "")
        return f"{what} under {files}: {self.refused[split]} ({names}); change the file or the data"

    def require_classes(self, faces: Faces, admitted: Mask, space: LabelSpace) -> None:
        """Raise DataError for a class of which no face is left."""
        labels = faces.labels.numpy()
        gone = sorted(set(labels[~admitted].tolist()) - set(labels[admitted].tolist()) - {-1})
        if gone:
            names = ", ".join(space.classes[label] for label in gone)
            ids = faces.ids[np.flatnonzero(np.isin(labels, gone))]
            raise DataError(self._none_left(f"no face of {names} is left to learn from", "train", ids))

    def card(self) -> dict[str, dict[str, Any]]:
        """Return what the policy declares, and how many faces were left out, by split and reason."""
        declared = {} if self.policy is None else self.policy.told()
        return {"policy": declared, "refused": {split: refused.counts() for split, refused in self.refused.items()}}

    def digest(self) -> str:
        """Return a SHA-256 over the faces left out, which a resumed run must leave out too."""
        digest = hashlib.sha256()
        for split, refused in sorted(self.refused.items()):
            for rows in torch.arange(len(refused.ids)).split(BLOCK):
                digest.update("".join(f"{split}\0{name}\n" for name in refused.ids[rows.numpy()].tolist()).encode())
        return digest.hexdigest()

    def require_same(self, digest: str | None) -> None:
        """Raise ConfigError where a run left other faces out when it was saved; None: it did not tell."""
        if digest not in (None, self.digest()):
            raise ConfigError(
                "policy, data.exclude or provenance leave out other faces than when this run began; restore them, or "
                "begin anew with hydra.run.dir=<new dir>"
            )

    def write(self, path: Path) -> None:
        """Write `split, id, reason` of every face left out, if there is any."""
        if not self.refused:
            path.unlink(missing_ok=True)  # of an earlier run in this folder
            return
        with whole(path) as partial, pq.ParquetWriter(partial, COLUMNS, compression="zstd") as writer:
            for split, refused in self.refused.items():
                for rows in torch.arange(len(refused.ids)).split(BLOCK):
                    reasons = [refused.reasons[number] for number in refused.rows[rows.numpy()].tolist()]
                    ids = refused.ids[rows.numpy()].tolist()
                    writer.write_table(pa.table([[split] * len(ids), ids, reasons], COLUMNS))


def read_list(path: Path) -> Mapping[str, frozenset[str]]:
    """Return the ids to leave out by split; raise DataError for a file that is no such list, or has other splits."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if not all(isinstance(ids, list) and all(isinstance(name, str) for name in ids) for ids in content.values()):
            raise ValueError("a list of ids is no list of texts")
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read as JSON with lists of ids by split ({error}); set data.exclude=<run>/exclude.json"
        ) from None
    if unknown := sorted(content.keys() - set(LEARNED)):
        raise DataError(
            f"{path} lists ids of {', '.join(unknown)}, and a run learns from {', '.join(LEARNED)} only; list the ids "
            "under the one of these that their faces are loaded in"
        )
    return {split: frozenset(ids) for split, ids in content.items()}
