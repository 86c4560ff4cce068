"""Photos, and frames of videos, below a folder."""

import os
from pathlib import Path

from fer_ssl.data import video
from fer_ssl.data.preparing.photos import frame_name
from fer_ssl.data.sources.folder import SUFFIXES, found, is_text, shown
from fer_ssl.errors import DataError


def list_photos(root: Path, every_seconds: float) -> tuple[list[str], dict[str, str]]:
    """Return the photos below `root` as sorted relative paths, and what was not read with the reason.

    Videos are sampled: their frames are named `<path>/<milliseconds>`. Folders that are links are not followed, so that
    a loop ends. Raises DataError when there is neither photo nor video, ConfigError for a video without PyAV.
    """
    names: list[str] = []
    skipped: dict[str, str] = {}

    def unreadable(error: OSError) -> None:
        skipped[os.path.relpath(error.filename, root)] = f"unreadable folder: {error.strerror}"

    for parent, folders, files in os.walk(root, onerror=unreadable):
        below = Path(parent).relative_to(root)
        folders[:] = shown(folders)
        linked = [name for name in folders if (Path(parent) / name).is_symlink()]
        skipped |= {(below / name).as_posix(): "a folder that is a link is not followed" for name in linked}
        for name in ((below / name).as_posix() for name in shown(files)):
            try:
                if not is_text(name):
                    raise DataError("its name is no UTF-8")
                names += _names(root, name, every_seconds)
            except DataError as error:
                skipped[os.fsencode(name).decode(errors="backslashreplace")] = f"unreadable: {error}"
    if not names:
        seen = "; ".join(f"{name}: {reason}" for name, reason in skipped.items()) or found(root)
        raise DataError(f"expected photos or videos below {root}, but {seen}; set input=<dir>")
    return sorted(names), skipped


def _names(root: Path, name: str, every_seconds: float) -> list[str]:
    """Return the names of the pictures in a file: one of a photo, those of the frames of a video, none of others."""
    if name.lower().endswith(video.SUFFIXES):
        return [frame_name(name, time) for time in video.times_of(root / name, every_seconds).tolist()]
    return [name] if name.lower().endswith(SUFFIXES) else []
