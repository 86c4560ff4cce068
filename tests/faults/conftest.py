"""The table of faults, docs/reliability.md: written by `make test-faults` from what its tests found."""

import datetime
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fer_ssl.results import environment

Rows = dict[str, list[str]]  # by test: fault, times, steps lost, outcome, date, commit

HEAD = """# Reliability

Written by `make test-faults`, which breaks tiny runs in every way of this table and fails where one loses or changes
anything. *Steps lost* were done again: those since the last checkpoint, one of which is written every
`callback.checkpoint.every_n_steps`; in brackets, where counted, how many of them a whole checkpoint already held. A row
is of the last run in which its test passed.

| fault | times | steps lost | outcome | date | commit |
| --- | --- | --- | --- | --- | --- |
"""


@pytest.fixture(scope="session")
def rows() -> Iterator[Rows]:
    """Give the rows of earlier runs, to be replaced; write them to $FER_SSL_RELIABILITY (.md, .json), where set."""
    page = os.environ.get("FER_SSL_RELIABILITY")
    kept = Path(page or os.devnull).with_suffix(".json")
    known: Rows = json.loads(kept.read_text()) if page and kept.exists() else {}
    yield known
    if page:
        ordered = dict(sorted(known.items()))
        kept.write_text(json.dumps(ordered, indent=1) + "\n")
        Path(page).write_text(HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in ordered.values()))


@pytest.fixture
def found(rows: Rows, request: pytest.FixtureRequest) -> Callable[[str, int, str, str], None]:
    """Return what notes a fault that was survived: its name, how often, steps lost, outcome."""
    test = request.node.nodeid.partition("faults/")[2]
    rows.pop(test, None)

    def note(fault: str, times: int, lost: str, outcome: str) -> None:
        commit = str(environment()["commit"])
        rows[test] = [fault, str(times), lost, outcome, str(datetime.date.today()), commit]

    return note
