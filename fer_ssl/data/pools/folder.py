"""Unlabeled faces as image files below a folder."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import ImageFiles, hold
from fer_ssl.data.sources.folder import found, image_names
from fer_ssl.errors import DataError
from fer_ssl.types import Faces


class FolderPool:
    """The images below `root` at any depth; the ids are their paths.

    With `identities` the first folder below `root` names the person. `limit` takes that many, evenly spaced over the
    sorted paths.
    """

    def __init__(self, root: str | Path, limit: int | None = None, identities: bool = False) -> None:
        self.root = Path(root)
        self.limit = limit
        self.identities = identities

    def load(self, decoder: Decoder) -> Faces:
        """Return the faces without labels; raise DataError when there is no image."""
        names = image_names(self.root)
        if not names:
            raise DataError(f"expected images below {self.root}, but {found(self.root)}; set unlabeled.root=<dir>")
        ids = np.array(names)[spaced(len(names), self.limit)]
        subjects = np.array([name.split("/")[0] for name in ids.tolist()]) if self.identities else None
        return hold(ImageFiles(self.root, ids), ids, decoder, str(self.root), subjects=subjects)


def spaced(count: int, limit: int | None) -> NDArray[np.int64]:
    """Return `limit` row numbers, evenly spaced over `count`, or all of them."""
    kept = count if limit is None else min(limit, count)
    return np.arange(kept) * count // max(kept, 1)
