"""Photos below a folder."""

import os
from pathlib import Path

from fer_ssl.data.sources.folder import SUFFIXES, found
from fer_ssl.errors import DataError


def list_photos(root: Path) -> tuple[list[str], dict[str, str]]:
    """Return the photos below `root` as sorted relative paths, and the folders that were not read with the reason.

    Folders that are links are not followed, so that a loop ends. Raises DataError when there is no photo.
    """
    names: list[str] = []
    skipped: dict[str, str] = {}

    def unreadable(error: OSError) -> None:
        skipped[os.path.relpath(error.filename, root)] = f"unreadable folder: {error.strerror}"

    for parent, folders, files in os.walk(root, onerror=unreadable):
        below = Path(parent).relative_to(root)
        linked = [name for name in folders if (Path(parent) / name).is_symlink()]
        skipped |= {(below / name).as_posix(): "a folder that is a link is not followed" for name in linked}
        photos = [name for name in files if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
        names += [(below / name).as_posix() for name in photos]
    if not names:
        raise DataError(f"expected photos below {root}, but {found(root)}; set input=<dir>")
    return sorted(names), skipped
