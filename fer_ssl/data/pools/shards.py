"""Unlabeled faces in tar shards, on a disk or behind URLs."""

import glob
import logging
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_ssl.data.decode import Decoder
from fer_ssl.data.ids import compact
from fer_ssl.data.images import hold
from fer_ssl.data.pools.folder import spaced
from fer_ssl.data.pools.storage import LocalFiles, RemoteFiles, filesystem
from fer_ssl.data.pools.tars import index_of
from fer_ssl.data.sources.folder import found
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import Faces, Ids

log = logging.getLogger(__name__)

BEFORE_LAST_UNDERSCORE = r"(.+)_[^_]*"
INDEXED_TOGETHER = 8  # remote shards
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


class _Fetched(threading.local):
    """The faces that each thread has fetched for itself; another process gets none of them."""

    def __init__(self) -> None:
        self.faces: dict[int, bytes] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _Fetched, ()


class ShardImages:
    """The image files at byte `offsets` int64 [N] of uncompressed tar shards, each read by one request.

    Any face can be read at any time, so a batch's position is all that a resumed run or another rank has to know; a
    batch of a remote pool is one round of requests at once.
    """

    def __init__(
        self,
        files: LocalFiles | RemoteFiles,
        shards: NDArray[np.int64],
        offsets: NDArray[np.int64],
        sizes: NDArray[np.int64],
    ) -> None:
        self.files, self.shards, self.offsets, self.sizes = files, shards, offsets, sizes
        self._fetched = _Fetched()

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, row: int) -> bytes:
        if (face := self._fetched.faces.get(row)) is not None:
            return face
        return self.files.read(int(self.shards[row]), int(self.offsets[row]), int(self.sizes[row]))

    def ask(self, rows: list[int]) -> None:
        """Fetch the faces at `rows` together where they are remote."""
        if isinstance(self.files, RemoteFiles):
            places = (column[rows].tolist() for column in (self.shards, self.offsets, self.sizes))
            self._fetched.faces = dict(zip(rows, self.files.read_many(*places), strict=True))


class ShardPool:
    """The images in uncompressed tar shards: `root` is a folder of `*.tar`, a glob of tars, one tar, or URLs of tars.

    `{000..009}` in `root` counts up. The first group of `identity_pattern`, matched against a member's name without
    folder and suffix, is the person; a face that does not match is a person of its own, None knows nobody. The ids
    are `<shard>/<member>`. `limit` takes that many faces, evenly spaced. Where members lie is read once for each
    shard and kept in the cache.
    """

    def __init__(
        self,
        root: str | Path,
        identity_pattern: str | None = BEFORE_LAST_UNDERSCORE,
        limit: int | None = None,
    ) -> None:
        self.root = str(root)
        self.identity_pattern = identity_pattern
        self.limit = limit

    def load(self, decoder: Decoder) -> Faces:
        """Return the faces without labels.

        Raises DataError for missing or compressed shards, for members that are links or point outside, and for a
        server that does not answer.
        """
        files = self._files()
        log.info("looking up where the images of %d shards lie", len(files.paths))
        with ThreadPoolExecutor(INDEXED_TOGETHER if isinstance(files, RemoteFiles) else 1) as pool:
            tables = list(pool.map(lambda number: index_of(files, number), range(len(files.paths))))
        counts = [len(table) for table in tables]
        rows = spaced(sum(counts), self.limit)
        if not len(rows):
            raise DataError(f"no image in the {len(counts)} tar shards at {self.root}; set unlabeled.root=<dir>")
        shards = np.repeat(np.arange(len(counts)), counts)[rows]
        offsets, sizes = (
            np.concatenate([table[key].to_numpy() for table in tables])[rows] for key in ("offset", "size")
        )
        stems = [PurePosixPath(path).stem for path in files.paths]
        names = (
            f"{stem}/{name}" for stem, table in zip(stems, tables, strict=True) for name in table["name"].to_pylist()
        )
        ids = compact(list(names))[rows]
        encoded = ShardImages(files, shards, offsets, sizes)
        return hold(encoded, ids, decoder, self.root, subjects=people_of(ids, self.identity_pattern))

    def _files(self) -> LocalFiles | RemoteFiles:
        roots = expanded(self.root)
        if "://" in self.root:
            return RemoteFiles([path for root in roots for path in _remote(root)])
        paths = [str(path) for root in roots for path in _local(Path(root))]
        if not paths:
            raise DataError(
                f"expected *.tar shards at {self.root}, but {found(Path(self.root))}; set unlabeled.root=<dir>"
            )
        return LocalFiles(paths)


def expanded(root: str) -> list[str]:
    """Return the names that a range such as `{000..009}` in `root` stands for; several count up one in the other."""
    match = RANGE.search(root)
    if match is None:
        return [root]
    first, last = match.groups()
    width = len(first) if first.startswith("0") else 0
    numbers = (f"{number:0{width}d}" for number in range(int(first), int(last) + 1))
    return [name for number in numbers for name in expanded(root[: match.start()] + number + root[match.end() :])]


def people_of(ids: Ids, identity_pattern: str | None) -> NDArray[Any] | None:
    """Return the person of each face [N]: the first group of the pattern in its name, else the face itself.

    Where it finds nobody in any name, and without a pattern, there are none. Raises ConfigError for a pattern that is
    no expression with a group.
    """
    if identity_pattern is None:
        return None
    pattern = _with_group(identity_pattern)
    faces = ids.tolist()
    matches = (pattern.fullmatch(PurePosixPath(face).stem) for face in faces)
    people = [match and match[1] for match in matches]
    if not any(people):
        return None
    return compact([person or face for person, face in zip(people, faces, strict=True)])


def _with_group(identity_pattern: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(identity_pattern)
    except re.error as error:
        raise ConfigError(
            f"identity_pattern {identity_pattern!r} is no regular expression ({error}); set "
            "unlabeled.identity_pattern to one"
        ) from None
    if not pattern.groups:
        raise ConfigError(
            f"identity_pattern {identity_pattern!r} has no group that holds the person; set "
            "unlabeled.identity_pattern, its person in parentheses"
        )
    return pattern


def _local(root: Path) -> Sequence[Path]:
    if root.is_dir():
        return sorted(root.glob("*.tar"))
    return [root] if root.is_file() else [Path(path) for path in sorted(glob.glob(str(root)))]  # noqa: PTH207


def _remote(root: str) -> Sequence[str]:
    if "*" not in root:
        return [root]
    fs = filesystem(root)
    return [fs.unstrip_protocol(path) for path in sorted(fs.glob(root))]
