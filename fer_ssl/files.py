"""Files that are written whole or not at all, and read without running what they hold."""

import errno
import os
import pickle
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LOCKED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)


def partial_of(path: Path) -> Path:
    """Return where `path` is written before it takes its place."""
    return path.with_suffix(".partial")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a place to write to, and put what was written there in place of `path`.

    Where writing fails, `path` is as it was and nothing else is left.
    """
    partial = partial_of(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def on_disk(path: Path) -> None:
    """Have what was written to a file or folder on the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_checksums(path: Path) -> None:
    """Raise BadZipFile unless every record matches the CRC-32 that torch.save wrote: torch.load reads past them.

    A TorchScript program is refused likewise, for torch.load would advise to run it.
    """
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise zipfile.BadZipFile("it is a TorchScript program; save its state_dict")
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of its record {damaged} does not hold")


def refusal(error: pickle.UnpicklingError) -> str:
    """Return why torch.load took a file for no plain tensors, without its advice to read it all the same."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named is None:
        return "it holds more than tensors and plain values, or is no file of them"
    return f"it names {named[1]}, and reading it could run code"
