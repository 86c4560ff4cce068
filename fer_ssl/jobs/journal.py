"""The journal of a sweep: one line for every change of a job's state, on disk before the next step is taken."""

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fer_ssl.masking import masked_tree

JOURNAL = "jobs.jsonl"

State = Literal["running", "finished", "skipped", "failed", "timed_out", "stopped", "pruned"]
DONE: tuple[State, ...] = ("finished", "skipped", "pruned")


def now() -> str:
    """Return the time in UTC, in a form that sorts as text."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Entry:
    """What is known of a job; `exit` is its status, negative for the signal that killed it."""

    job: str
    state: State
    overrides: list[str]
    start: str = field(default_factory=now)
    end: str | None = None
    exit: int | None = None
    error: str | None = None

    def __str__(self) -> str:
        return f"{self.job}: {self.error or self.state.replace('_', ' ')}"


def record(path: Path, entry: Entry) -> None:
    """Append `entry`, its secrets masked; several processes may write to one journal."""
    # masked before JSON's escapes are there, which a mask could tear apart
    line = json.dumps(masked_tree(asdict(entry))).encode() + b"\n"
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
            line = b"\n" + line  # whoever wrote last was killed in the middle of a line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_journal(path: Path) -> dict[str, Entry]:
    """Return the last entry of every job; half a line that a kill left is passed over, a missing file holds none."""
    entries: dict[str, Entry] = {}
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            entry = Entry(**json.loads(line))
        except (ValueError, TypeError):
            continue
        entries[entry.job] = entry
    return entries
