"""Several sets of faces as one pool."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_ssl.data.ids import JoinedIds, compact
from fer_ssl.data.images import StreamedImages
from fer_ssl.data.provenance import joined
from fer_ssl.types import Faces, Images


class JoinedImages:
    """Images of several sets behind one another; `rows` [N] index their concatenation.

    `weights` are the sets' shares in a batch, None where each face is drawn as often as every other.
    """

    def __init__(
        self, parts: tuple[Images, ...], rows: Tensor | None = None, weights: tuple[float, ...] | None = None
    ) -> None:
        self.parts = parts
        self.weights = weights
        self.starts = torch.tensor([0, *(len(part) for part in parts)]).cumsum(0)
        self.rows = rows  # None: all

    def __len__(self) -> int:
        return int(self.starts[-1]) if self.rows is None else len(self.rows)

    @property
    def sizes(self) -> list[int]:
        """Return how many faces of each set are among the rows."""
        if self.rows is None:
            return self.starts.diff().tolist()
        return torch.bucketize(self.rows, self.starts[1:], right=True).bincount(minlength=len(self.parts)).tolist()

    def read(self, indices: Tensor) -> Tensor:
        """Return the images at `indices` (int64 [B]) as uint8 [B, C, H, W]."""
        rows = self._rows(indices)
        owner = torch.bucketize(rows, self.starts[1:], right=True)
        images = [part.read(rows[owner == i] - self.starts[i]) for i, part in enumerate(self.parts)]
        joined = torch.cat(images)
        return joined[owner.argsort(stable=True).argsort()]

    def subset(self, indices: Tensor) -> "JoinedImages":
        """Return the images at `indices` (int64 [M]), in that order."""
        return JoinedImages(self.parts, self._rows(indices), self.weights)

    def _rows(self, indices: Tensor) -> Tensor:
        return indices if self.rows is None else self.rows[indices]


def join(*sets: Faces, weights: tuple[float, ...] | None = None) -> Faces:
    """Return the sets as one, without votes; subjects survive where all sets know them.

    `weights` are the sets' shares in a batch, None where each face is drawn as often as every other.
    """
    return Faces(
        images=JoinedImages(tuple(faces.images for faces in sets), weights=weights),
        ids=JoinedIds([faces.ids for faces in sets]),
        labels=torch.cat([faces.labels for faces in sets]),
        subjects=_people([faces.subjects for faces in sets]),
        origins=joined(sets),
    )


def replaced(images: Images) -> NDArray[np.bool_]:
    """Return which faces could not be read so far, bool [N]; where they are streamed, others stood in for them."""
    if isinstance(images, JoinedImages):
        whole = np.concatenate([replaced(part) for part in images.parts])
        return whole if images.rows is None else whole[images.rows.numpy()]
    if not isinstance(images, StreamedImages):
        return np.zeros(len(images), dtype=bool)
    ids = images.ids if images.rows is None else images.ids[images.rows.numpy()]
    return np.isin(ids.tolist(), [name for origin, name in images.decoder.rejects.reasons if origin == images.origin])


def _people(named: list[NDArray[Any] | None]) -> NDArray[Any] | None:
    """Return the people of all sets; a name or number in one set is somebody else than the same in another."""
    known = [subjects for subjects in named if subjects is not None]
    if len(known) < len(named):
        return None
    if all(subjects.dtype.kind in "iu" for subjects in known):
        sizes = np.cumsum([0, *(int(subjects.max(initial=-1)) + 1 for subjects in known)])
        return np.concatenate([subjects + size for subjects, size in zip(known, sizes, strict=False)])
    return compact([f"{number}/{name}" for number, subjects in enumerate(known) for name in subjects.tolist()])
