"""The data card of a run, as Markdown beside it and as a part of its page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fer_ssl.files import whole
from fer_ssl.reports.markdown import line
from fer_ssl.reports.markup import Html, table, tag
from fer_ssl.reports.run import Run
from fer_ssl.reports.sections import figure, grid, remark

ABOUT = {
    "faces": "Faces by role.",
    "classes": "Faces by class; what the pool shows is not known to the run.",
    "imbalance": "Faces of the largest class for each of the smallest.",
    "source": "Faces by the set they come from.",
    "licence": "Faces by licence.",
    "consent": "Faces by what their owners agreed to.",
    "allowed use": "Faces by the use that their licence allows.",
    "collected": "Faces by when they were collected.",
    "people": "How many people are known by name or number; a role without any knows none.",
    "shared people": "People who are learned from and scored on, compared within a set.",
    "known biases": "Who or what the faces show too often, as far as their sets tell.",
    "left out": "Faces left out for what they show.",
    "policy": "What was declared.",
    "refused": "Faces left out by policy or list, by reason; refused.parquet names each.",
}
Grid = tuple[Sequence[str], list[list[str]]]


def write_card(path: Path, data: Mapping[str, Any]) -> None:
    """Write the data card that `data`, the content of data.json, holds as Markdown."""
    lines = ["# Data card", ""]
    for name, (head, rows) in _grids(data):
        lines += [f"## {name.capitalize()}", "", ABOUT[name], ""]
        lines += [line(head), line(["---"] * len(head)), *map(line, rows), ""] if rows else ["None.", ""]
    with whole(path) as partial:
        partial.write_text("\n".join(lines), encoding="utf-8")


def data_card(run: Run) -> Html:
    """Return the data card as a folded section."""
    title = tag("h2", "Data card")
    if run.data is None or "card" not in run.data:
        return tag("section", title, remark("No data card was kept."))
    parts = [
        figure(name.capitalize(), ABOUT[name], table(head, rows, class_="told") if rows else remark("None."))
        for name, (head, rows) in _grids(run.data)
    ]
    return tag("section", title, tag("details", tag("summary", "What was learned from, and scored on"), grid(parts)))


def _grids(data: Mapping[str, Any]) -> Iterator[tuple[str, Grid]]:
    out = {"pixel-identical to a face across a split": data["leaked"], "unreadable": data["rejected"]}
    for name, content in (data["card"] | {"left out": out}).items():
        yield name, _grid(name, content)


def _grid(name: str, content: Mapping[str, Any]) -> Grid:
    """Return head and rows: a column for each key below the first level, if there is such a level."""
    nested = [row for row in content.values() if isinstance(row, Mapping)]
    columns = list(dict.fromkeys(column for row in nested for column in row))
    if not nested:
        return [name, ""], [[key, _text(value)] for key, value in content.items()]
    return [name, *columns], [[key, *(_text(row.get(column, 0)) for column in columns)] for key, row in content.items()]


def _text(value: object) -> str:
    return "-" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)
