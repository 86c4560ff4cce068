"""Unlabeled faces in InsightFace's RecordIO: MS1MV2, Glint360K, CASIA-WebFace, WebFace."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from fer_ssl.data.decode import Decoder
from fer_ssl.data.ids import NumberedIds
from fer_ssl.data.images import hold
from fer_ssl.data.pools.folder import spaced
from fer_ssl.data.pools.storage import LocalFiles
from fer_ssl.data.sources.folder import found
from fer_ssl.errors import DataError
from fer_ssl.types import Faces

MAGIC = 0xCED7230A
HEAD = struct.Struct("<II")  # magic; 3 bits that say which part of a record this is, 29 bits of length
LABEL = struct.Struct("<IfQQ")  # IRHeader: how many labels follow (0: the next field is the only one), label, id, id2
WHOLE, FIRST, MIDDLE, LAST = range(4)
USUAL = 2**13  # bytes; one read brings all of a smaller record
USUAL_HEAD, ONE_LABEL = struct.Struct("<III"), HEAD.size + LABEL.size
REMEDY = "restore the file, or set unlabeled.root=<dir with train.rec and train.idx>"


class RecordFile:
    """The records of a `.rec` file by their offsets.

    Layout: dmlc-core's RecordIO. A record whose content holds the magic number is stored in parts, without it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = LocalFiles([str(path)])

    def __len__(self) -> int:
        return self.files.size(0)

    def read(self, offset: int) -> bytes:
        """Return the content of the record at a byte offset; raise DataError where there is no whole record."""
        data = self.files.read(0, offset, USUAL)
        kind, length = self._head(data, offset)
        end = HEAD.size + length
        content = data[HEAD.size : end] if end <= len(data) else self._content(offset, length)
        return content if kind == WHOLE else self._joined(kind, content, offset)

    def _head(self, data: bytes, offset: int) -> tuple[int, int]:
        magic, length = HEAD.unpack_from(data) if len(data) >= HEAD.size else (0, 0)
        if magic != MAGIC:
            raise DataError(f"there is no record at byte {offset} of {self.path}; {REMEDY}")
        return length >> 29, length & (2**29 - 1)

    def _content(self, offset: int, length: int) -> bytes:
        if offset + HEAD.size + length > len(self):
            raise DataError(f"the record at byte {offset} of {self.path} is cut off; {REMEDY}")
        return self.files.read(0, offset + HEAD.size, length)

    def _joined(self, kind: int, content: bytes, offset: int) -> bytes:
        parts: list[bytes] = [content]
        expected: tuple[int, ...] = (FIRST,)
        while kind in expected and kind != LAST:
            offset += HEAD.size + (len(parts[-1]) + 3) // 4 * 4
            kind, length = self._head(self.files.read(0, offset, HEAD.size), offset)
            parts.append(self._content(offset, length))
            expected = (MIDDLE, LAST)
        if kind not in expected:
            raise DataError(f"the parts of the record before byte {offset} of {self.path} are out of order; {REMEDY}")
        return MAGIC.to_bytes(4, "little").join(parts)


def unpack(record: bytes) -> tuple[NDArray[np.float32], bytes]:
    """Return the labels of a record and the image file in it; raise DataError for a record too short for them."""
    if len(record) < LABEL.size:
        raise DataError("the record is too short for its labels")
    count, label, _, _ = LABEL.unpack_from(record)
    if count == 0:
        return np.array([label], np.float32), record[LABEL.size :]
    start = LABEL.size + 4 * count
    if start > len(record):
        raise DataError("the record is too short for its labels")
    return np.frombuffer(record, np.float32, count, LABEL.size), record[start:]


class RecordImages:
    """The image files in the records at byte `offsets` int64 [N] of a `.rec` file."""

    def __init__(self, file: RecordFile, offsets: NDArray[np.int64]) -> None:
        self.file, self.offsets = file, offsets

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, row: int) -> bytes:
        offset = self.offsets.item(row)
        data = self.file.files.read(0, offset, USUAL)
        if len(data) >= ONE_LABEL:  # nearly every record is whole, small and has one label: no second copy of it
            magic, length, labels = USUAL_HEAD.unpack_from(data)
            end = HEAD.size + length
            if magic == MAGIC and labels == 0 and ONE_LABEL <= end <= len(data):
                return data[ONE_LABEL:end]
        return unpack(self.file.read(offset))[1]


class RecordPool:
    """The faces of `root`, a folder with one `.rec` file (or that file) and the `.idx` beside it.

    With `identities` the labels are people: from the ranges that a header record announces, else from every record.
    The ids are `<file>/<key>`; `limit` takes that many faces, evenly spaced.
    """

    def __init__(self, root: str | Path, identities: bool = False, limit: int | None = None) -> None:
        self.root = Path(root)
        self.identities = identities
        self.limit = limit

    def load(self, decoder: Decoder) -> Faces:
        """Return the faces without labels; raise DataError for files that are missing, broken or do not belong."""
        path = self._record_file()
        file = RecordFile(path)
        keys, offsets = read_index(path.with_suffix(".idx"), len(file))
        labels = unpack(file.read(int(offsets[0])))[0]
        people: NDArray[np.int64] | None = None
        if len(labels) == 2:  # InsightFace's record 0: where the images end, and where the people do
            keys, offsets, people = _divide(keys, offsets, labels)
        rows = slice(None) if self.limit is None else spaced(len(offsets), self.limit)
        encoded = RecordImages(file, offsets[rows])
        subjects = None
        if self.identities:
            subjects = _each(file, offsets[rows]) if people is None else _ranges(file, people, keys)[rows]
        return hold(encoded, NumberedIds(f"{path.stem}/", keys[rows]), decoder, str(path), subjects=subjects)

    def _record_file(self) -> Path:
        files = [self.root] if self.root.is_file() else sorted(self.root.glob("*.rec"))
        if len(files) != 1 or not files[0].with_suffix(".idx").is_file():
            raise DataError(
                f"expected train.rec and train.idx at {self.root}, but {found(self.root)}; set unlabeled.root=<dir>"
            )
        return files[0]


def read_index(path: Path, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the keys and byte offsets of an `.idx` file, by ascending key.

    Raises DataError for a file that is not lines of `<key> tab <offset>`, or points outside the `size` bytes of data.
    """
    try:
        blocks = list(_index_blocks(path))
        keys, offsets = (np.concatenate(column) for column in zip(*blocks, strict=True))
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{path} is not lines of a key, a tab and an offset ({error}); {REMEDY}") from error
    if offsets.min(initial=size) < 0 or offsets.max(initial=0) + HEAD.size > size:
        raise DataError(f"{path} points outside its .rec file of {size} bytes; {REMEDY}")
    if not len(keys):
        raise DataError(f"{path} lists no record; {REMEDY}")
    if (np.diff(keys) <= 0).any():
        order = np.argsort(keys, kind="stable")
        keys, offsets = keys[order], offsets[order]
    return keys, offsets


def _index_blocks(path: Path) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield keys and offsets, a block of the file at a time: the whole as a table would be held twice."""
    reader = pa.csv.open_csv(
        path,
        pa.csv.ReadOptions(column_names=["key", "offset"], block_size=2**20, use_threads=False),
        pa.csv.ParseOptions(delimiter="\t"),
        pa.csv.ConvertOptions(column_types={"key": pa.int64(), "offset": pa.int64()}),
    )
    for batch in reader:
        if any(column.null_count for column in batch.columns):
            raise ValueError("a line lacks its offset")
        yield batch["key"].to_numpy().copy(), batch["offset"].to_numpy().copy()
    pa.default_memory_pool().release_unused()


def _divide(
    keys: NDArray[np.int64], offsets: NDArray[np.int64], labels: NDArray[np.float32]
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Return keys and offsets of the images, and offsets of the records that describe people."""
    images = slice(1, int(np.searchsorted(keys, int(labels[0]))))
    people = slice(images.stop, int(np.searchsorted(keys, int(labels[1]))))
    return keys[images].astype(np.int32), offsets[images], offsets[people]


def _ranges(file: RecordFile, people: NDArray[np.int64], keys: NDArray[Any]) -> NDArray[np.int32]:
    """Return who each key belongs to, int32 [N]: a person's record names the first key and the one after the last."""
    owners = np.full(len(keys), -1, np.int32)
    for person, offset in enumerate(people.tolist()):
        labels = unpack(file.read(offset))[0]
        if len(labels) != 2:
            raise DataError(f"the record at byte {offset} of {file.path} names no range of faces; {REMEDY}")
        first, last = np.searchsorted(keys, labels.astype(np.int64))
        owners[first:last] = person
    if (owners < 0).any():
        raise DataError(
            f"{file.path} tells nobody's name for face {keys[owners < 0][0]}; set unlabeled.identities=false"
        )
    return owners


def _each(file: RecordFile, offsets: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.array([unpack(file.read(offset))[0][0] for offset in offsets.tolist()], np.int32)
