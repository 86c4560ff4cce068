"""Settings that say where faces lie and how they are read; they may differ between machines and change no result."""

from pathlib import Path

POOL_KEYS = ("unlabeled.root", "unlabeled.pool.root")
PLACE_KEYS = ("data.root", "data.source.root", "data.resident", "data.workers", "data.batch_eval", *POOL_KEYS)


def folder_name(root: object) -> object:
    """Return the last part of a root, above which other machines have other folders; no text is left as it is."""
    return Path(root).name if isinstance(root, str) else root
