"""Where the images of a tar lie."""

import io
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from fer_ssl.data.cache import cached
from fer_ssl.data.pools.storage import BLOCK, LocalFiles, RemoteFiles, RemoteStream
from fer_ssl.data.sources.folder import SUFFIXES
from fer_ssl.errors import DataError

VERSION = 1
COLUMNS = pa.schema({"name": pa.string(), "offset": pa.int64(), "size": pa.int64()})


def index_of(files: LocalFiles | RemoteFiles, number: int) -> pa.Table:
    """Return name, offset and size of each image in an uncompressed tar, from the cache where it is known.

    Raises DataError for a file that is no such tar or has an unsafe member.
    """
    shard = files.paths[number]

    def write(path: Path) -> None:
        with _opened(files, number) as file:
            pq.write_table(index_tar(file, shard), path, compression="zstd")

    path = cached("shards", (VERSION, shard, files.version(number)), ".parquet", write)
    return pq.read_table(path, schema=COLUMNS)


def _opened(files: LocalFiles | RemoteFiles, number: int) -> IO[bytes]:
    if isinstance(files, LocalFiles):
        return Path(files.paths[number]).open("rb")
    return io.BufferedReader(RemoteStream(files, number), BLOCK)


def index_tar(file: IO[bytes], shard: str) -> pa.Table:
    """Return name, offset and size of each image in an open tar."""
    names: list[str] = []
    offsets: list[int] = []
    sizes: list[int] = []
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                _require_safe(member, shard)
                if member.isfile() and member.name.lower().endswith(SUFFIXES):
                    names.append(PurePosixPath(member.name).as_posix())
                    offsets.append(member.offset_data)
                    sizes.append(member.size)
                archive.members.clear()  # type: ignore[attr-defined]  # it keeps every header it has read
    except (tarfile.TarError, UnicodeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{shard} is not a whole uncompressed tar ({error}); unpack or restore it, or set unlabeled.root=<dir>"
        ) from error
    return pa.table([_whole(names, shard), offsets, sizes], COLUMNS)


def _whole(names: list[str], shard: str) -> list[str]:
    """Return names as text can hold them; raise DataError for one that is no UTF-8."""
    for name in names:
        if not name.isprintable() and not _encodes(name):
            raise DataError(f"member {name!r} of {shard} has a name that is not UTF-8; write the shard anew")
    return names


def _encodes(name: str) -> bool:
    try:
        name.encode()
    except UnicodeError:
        return False
    return True


def _require_safe(member: tarfile.TarInfo, shard: Any) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()) or member.issparse():
        raise DataError(f"member {member.name!r} of {shard} is a link or points outside; write the shard anew without")
