"""Several sets of faces as one pool."""

import numpy as np
import torch
from torch import Tensor

from fer_ssl.types import Faces, Images


class JoinedImages:
    """Images of several sets behind one another; `rows` [N] index their concatenation."""

    def __init__(self, parts: tuple[Images, ...], rows: Tensor | None = None) -> None:
        self.parts = parts
        self.starts = torch.tensor([0, *(len(part) for part in parts)]).cumsum(0)
        self.rows = torch.arange(int(self.starts[-1])) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, indices: Tensor) -> Tensor:
        """Return the images at `indices` (int64 [B]) as uint8 [B, C, H, W]."""
        rows = self.rows[indices]
        owner = torch.bucketize(rows, self.starts[1:], right=True)
        images = [part.read(rows[owner == i] - self.starts[i]) for i, part in enumerate(self.parts)]
        joined = torch.cat(images)
        return joined[owner.argsort(stable=True).argsort()]

    def subset(self, indices: Tensor) -> "JoinedImages":
        """Return the images at `indices` (int64 [M]), in that order."""
        return JoinedImages(self.parts, self.rows[indices])


def join(first: Faces, second: Faces) -> Faces:
    """Return both sets as one, without votes; subjects survive where both sets know them."""
    subjects = None
    if first.subjects is not None and second.subjects is not None:
        subjects = np.concatenate([first.subjects, second.subjects])
    return Faces(
        images=JoinedImages((first.images, second.images)),
        ids=np.concatenate([first.ids, second.ids]),
        labels=torch.cat([first.labels, second.labels]),
        subjects=subjects,
    )
