"""The table of faults, docs/reliability.md: written by `make test-faults` from what its tests found."""

import datetime
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fer_ssl.results import environment

Found = Callable[[str, int, str, str], None]

HEAD = """# Reliability

Written by `make test-faults`, which breaks tiny runs in every way of this table and fails where one loses or changes
anything. *Lost* counts steps that were done again: those since the last checkpoint, of which there is one every
`callback.checkpoint.every_n_steps`; in brackets, what of that a whole checkpoint already held.

| fault | times | steps lost | outcome |
| --- | --- | --- | --- |
"""


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Collect the rows; write the page to $FER_SSL_RELIABILITY, where that is set and nothing failed."""
    found: list[str] = []
    yield found
    page = os.environ.get("FER_SSL_RELIABILITY")
    if page and not request.session.testsfailed:
        facts = environment()
        where = f"{datetime.date.today()}, commit {facts['commit']}, torch {facts['torch']}, Python {facts['python']}."
        Path(page).write_text(HEAD + "\n".join(found) + f"\n\n{where}\n")


@pytest.fixture
def found(rows: list[str]) -> Found:
    """Return what notes a fault that was survived: its name, how often, steps lost, outcome."""

    def note(fault: str, times: int, lost: str, outcome: str) -> None:
        rows.append(f"| {fault} | {times} | {lost} | {outcome} |")

    return note
