"""Unlabeled faces as image files below a folder."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_ssl.data.decode import Decoder
from fer_ssl.data.ids import compact
from fer_ssl.data.images import ImageFiles, hold
from fer_ssl.data.sources.folder import found, image_names
from fer_ssl.errors import DataError
from fer_ssl.types import Faces


class FolderPool:
    """The images below `root` at any depth; the ids are their paths.

    With `identities` the first folder below `root` names the person; a file with lines `<image> <person>`, as
    CelebA's identity_CelebA.txt, names the person of every image. `limit` takes that many, evenly spaced over the
    sorted paths.
    """

    def __init__(self, root: str | Path, limit: int | None = None, identities: bool | str | Path = False) -> None:
        self.root = Path(root)
        self.limit = limit
        self.identities = identities

    def load(self, decoder: Decoder) -> Faces:
        """Return the faces without labels; raise DataError when there is no image, or one of nobody's."""
        names = image_names(self.root)
        if not names:
            raise DataError(f"expected images below {self.root}, but {found(self.root)}; set unlabeled.root=<dir>")
        ids = compact(names)[spaced(len(names), self.limit)]
        return hold(ImageFiles(self.root, ids), ids, decoder, str(self.root), subjects=self._people(ids.tolist()))

    def _people(self, names: list[str]) -> NDArray[np.str_] | None:
        if self.identities is False:
            return None
        if self.identities is True:
            if nobody := next((name for name in names if "/" not in name), None):
                raise DataError(
                    f"{self.root / nobody} is in the folder of no person; move it to one, or set "
                    "unlabeled.identities=<a list of who is who>"
                )
            return compact([name.split("/")[0] for name in names])
        people = read_identities(Path(self.identities))
        missing = [name for name in names if name.split("/")[-1] not in people]
        if missing:
            raise DataError(
                f"{self.identities} has no line for {missing[0]}; set unlabeled.identities=<the list of it>"
            )
        return compact([people[name.split("/")[-1]] for name in names])


def read_identities(path: Path) -> dict[str, str]:
    """Return the person of each image that a list names; raise DataError for a line that is not `<image> <person>`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no list of people ({error}); set unlabeled.identities=<file>") from error
    people = {}
    for number, words in enumerate(map(str.split, lines), 1):
        if len(words) not in (0, 2):
            raise DataError(f"line {number} of {path} is not '<image> <person>'; mend it")
        if words:
            people[words[0]] = words[1]
    return people


def spaced(count: int, limit: int | None) -> NDArray[np.int64]:
    """Return `limit` row numbers, evenly spaced over `count`, or all of them."""
    kept = count if limit is None else min(limit, count)
    return np.arange(kept) * count // max(kept, 1)
