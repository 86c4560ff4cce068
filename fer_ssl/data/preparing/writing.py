"""Files that are whole or absent, whenever the process is killed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fer_ssl.errors import DataError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path to write to; its file takes the name `path` once it is on the disk, or is removed on an error.

    Raises DataError when the disk is full or refuses.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error}); free space, then run the same command again") from error
    finally:
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # elsewhere a folder cannot be opened
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
