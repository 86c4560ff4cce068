"""Unlabeled faces in tar shards."""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import hold
from fer_ssl.data.pools.folder import spaced
from fer_ssl.data.sources.folder import SUFFIXES, found
from fer_ssl.errors import DataError
from fer_ssl.types import Faces

BEFORE_LAST_UNDERSCORE = r"(.+)_[^_]*"


@dataclass(frozen=True)
class ShardImages:
    """The image files at byte `offsets` int64 [N] of uncompressed tar `shards`, each read by one seek."""

    shards: tuple[Path, ...]
    shard_rows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, row: int) -> bytes:
        with self.shards[self.shard_rows[row]].open("rb") as file:
            file.seek(self.offsets[row])
            data: bytes = file.read(self.sizes[row])
            return data


class ShardPool:
    """The images in uncompressed tar shards: `root` is a folder of `*.tar`, a glob of tars or one tar.

    The first group of `identity_pattern`, matched against a member's name without folder and suffix, is the person;
    a face that does not match is a person of its own, None knows nobody. The ids are `<shard>/<member>`. `limit`
    takes that many faces, evenly spaced.
    """

    def __init__(
        self,
        root: str | Path,
        identity_pattern: str | None = BEFORE_LAST_UNDERSCORE,
        limit: int | None = None,
    ) -> None:
        self.root = Path(root)
        self.identity_pattern = identity_pattern
        self.limit = limit

    def load(self, decoder: Decoder) -> Faces:
        """Return the faces without labels.

        Raises DataError for missing or compressed shards and for members that are links or point outside.
        """
        shards = self._shards()
        entries = [(row, *entry) for row, shard in enumerate(shards) for entry in index_shard(shard)]
        if not entries:
            raise DataError(f"no image in the {len(shards)} tar shards at {self.root}; set unlabeled.root=<dir>")
        entries = [entries[row] for row in spaced(len(entries), self.limit)]
        ids = np.array([f"{shards[row].stem}/{name}" for row, name, _, _ in entries])
        places = np.array([(row, offset, size) for row, _, offset, size in entries])
        encoded = ShardImages(shards, *places.T.copy())
        return hold(encoded, ids, decoder, str(self.root), subjects=self._subjects(ids))

    def _shards(self) -> tuple[Path, ...]:
        if self.root.is_file():
            return (self.root,)
        folder, pattern = (self.root, "*.tar") if self.root.is_dir() else (self.root.parent, self.root.name)
        shards = tuple(sorted(folder.glob(pattern)))
        if not shards:
            raise DataError(f"expected *.tar shards at {self.root}, but {found(self.root)}; set unlabeled.root=<dir>")
        return shards

    def _subjects(self, ids: NDArray[np.str_]) -> NDArray[np.str_] | None:
        if self.identity_pattern is None:
            return None
        pattern = re.compile(self.identity_pattern)
        matches = [(face, pattern.fullmatch(PurePosixPath(face).stem)) for face in ids.tolist()]
        return np.array([match[1] if match else face for face, match in matches])


def index_shard(shard: Path) -> Iterator[tuple[str, int, int]]:
    """Yield name, offset and size of each image in an uncompressed tar; raise DataError for an unsafe member."""
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                _require_safe(member, shard)
                if member.isfile() and member.name.lower().endswith(SUFFIXES):
                    yield PurePosixPath(member.name).as_posix(), member.offset_data, member.size
    except tarfile.TarError as error:
        raise DataError(
            f"{shard} is not an uncompressed tar ({error}); unpack or restore it, or set unlabeled.root=<dir>"
        ) from error


def _require_safe(member: tarfile.TarInfo, shard: Path) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()) or member.issparse():
        raise DataError(f"member {member.name!r} of {shard} is a link or points outside; write the shard anew without")
