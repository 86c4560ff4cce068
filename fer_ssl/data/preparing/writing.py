"""Files that are whole on the disk or absent, whenever the process or the machine stops."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fer_ssl.errors import DataError
from fer_ssl.files import on_disk, whole


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path to write to; its file takes the name `path` once it is on the disk, or is removed on an error.

    Raises DataError when the disk is full or refuses.
    """
    try:
        with whole(path) as partial:
            yield partial
            on_disk(partial)
        on_disk(path.parent)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error}); free space, then run the same command again") from error
