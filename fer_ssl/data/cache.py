"""What is derived from the user's files and kept in the user's cache: $XDG_CACHE_HOME/fer_ssl or ~/.cache/fer_ssl."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from fer_ssl.errors import DataError


def cache_folder(kind: str) -> Path:
    """Return the folder of the user's cache that holds files of one kind."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fer_ssl" / kind


def cached(kind: str, recipe: Iterable[object], suffix: str, write: Callable[[Path], None]) -> Path:
    """Return the file that `write` makes of what `recipe` lists; it is made once, whole or not at all.

    Raises DataError where the cache cannot be written.
    """
    root = cache_folder(kind)
    name = hashlib.sha256("\0".join(map(str, recipe)).encode()).hexdigest()[:24]
    path = root / f"{name}{suffix}"
    if path.exists():
        return path
    partial = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=root, suffix=".part", delete=False) as file:
            partial = Path(file.name)
        write(partial)
        partial.replace(path)
    except OSError as error:
        raise DataError(
            f"{root} cannot be written ({error.strerror or error}); make room, or set the environment's "
            "XDG_CACHE_HOME=<writable dir>"
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
    return path
