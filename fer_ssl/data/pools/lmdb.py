"""Unlabeled faces in an LMDB database."""

import threading
from itertools import islice
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import hold
from fer_ssl.data.pools.folder import spaced
from fer_ssl.data.pools.shards import people_of
from fer_ssl.data.sources.folder import found
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import Faces

BLOCK = 2**16  # keys
NOT_FACES = (b"__", b"length", b"num-samples", b"num_samples", b"keys")  # how other tools' notes on a set begin

_open: WeakValueDictionary[tuple[int, int], Any] = WeakValueDictionary()  # environments by their file, while in use
_opening = threading.Lock()


class LmdbImages:
    """The image files under `keys` bytes [N] of an LMDB database.

    Each is read in a transaction of its own, which threads need not share; a forked process reads on in what it
    inherits, where nothing is locked, and another one opens the database anew.
    """

    def __init__(self, path: Path, keys: NDArray[np.bytes_]) -> None:
        self.path, self.keys = path, keys
        self.environment = open_database(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return LmdbImages, (self.path, self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, row: int) -> bytes:
        with self.environment.begin() as transaction:
            return transaction.get(self.keys[row].item()) or b""


class KeyIds:
    """Keys as text; a byte that is no UTF-8 is written as an escape."""

    def __init__(self, keys: NDArray[np.bytes_]) -> None:
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, rows: Any) -> Any:
        """Return the id at a row number, or the ids at rows int64 [M]."""
        keys = self.keys[rows]
        return KeyIds(keys) if keys.ndim else _text(keys.item())

    def tolist(self) -> list[str]:
        return [_text(key) for key in self.keys.tolist()]


class LmdbPool:
    """The values of the database `root` (a folder with data.mdb, or one file), each the bytes of an image file.

    Keys that note something of the whole set (`length`, `__keys__`, ...) are left out. The ids are the keys; the first
    group of `identity_pattern`, matched against the last part of a key, is the person. `limit` takes that many faces,
    evenly spaced.
    """

    def __init__(self, root: str | Path, identity_pattern: str | None = None, limit: int | None = None) -> None:
        self.root = Path(root)
        self.identity_pattern = identity_pattern
        self.limit = limit

    def load(self, decoder: Decoder) -> Faces:
        """Return the faces without labels.

        Raises DataError for a folder without a database, ConfigError where lmdb is not installed.
        """
        keys = read_keys(self.root)
        if not len(keys):
            raise DataError(f"the database {self.root} holds no image; set unlabeled.root=<dir with data.mdb>")
        keys = keys if self.limit is None else keys[spaced(len(keys), self.limit)]
        ids = KeyIds(keys)
        subjects = people_of(ids, self.identity_pattern)
        return hold(LmdbImages(self.root, keys), ids, decoder, str(self.root), subjects=subjects)


def open_database(path: Path) -> Any:
    """Return the LMDB environment of this process for reading a database, which needs no lock of the file system."""
    try:
        import lmdb
    except ImportError as error:
        raise ConfigError("unlabeled=lmdb needs the package lmdb: pip install 'fer-ssl[lmdb]'") from error
    try:
        with _opening:  # LMDB opens no file twice in one process
            facts = (path / "data.mdb" if path.is_dir() else path).stat()
            file = (facts.st_dev, facts.st_ino)
            if (environment := _open.get(file)) is None:
                environment = lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False)
                _open[file] = environment
            return environment
    except (OSError, lmdb.Error) as error:
        raise DataError(
            f"expected an LMDB database at {path}, but {found(path)} ({error}); set unlabeled.root=<dir with data.mdb>"
        ) from error


def read_keys(path: Path) -> NDArray[np.bytes_]:
    """Return the keys of images, bytes [N], in the database's order."""
    blocks = []
    with open_database(path).begin() as transaction:
        keys = (key for key in transaction.cursor().iternext(values=False) if not key.startswith(NOT_FACES))
        while block := list(islice(keys, BLOCK)):
            # an array of bytes would drop them
            if any(key.endswith(b"\0") for key in block):
                raise DataError(
                    f"keys of {path} end in zero bytes, which are no names; write it anew with text as keys"
                )
            blocks.append(np.array(block))
    return np.concatenate(blocks) if blocks else np.empty(0, "S1")


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
