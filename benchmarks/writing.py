"""Measurements as text: lines of a table, the page docs/benchmarks.md, tables within other pages."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HEAD = (
    "| measured | against | unit | ours | reference | ratio | goal |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)
BEGIN, END = "<!-- written by benchmarks/results.py -->", "<!-- end -->"
PREFACE = """# Benchmarks

Written by `make bench`. A ratio is the median over pairs timed in turns in one process, after warm-up, ours over the
reference: of seconds and MiB less is better, of images/s more. `±` is half the distance of its quartiles; the seconds
and rates themselves drift with the machine. The bare loop is the same training step by hand: torch's convolutions,
channels_last, autocast where training uses it, no gradient for the weak view, one fused call each for EMA and
optimizer.
"""


def row(measurement: Mapping[str, Any]) -> str:
    """Return one line of the table."""
    sides = (f"{measurement[side]:.4g}" for side in ("ours", "reference"))
    ratio = f"{measurement['ratio']:.3g}" if measurement["ratio"] < 0.1 else f"{measurement['ratio']:.3f}"
    spread = f" ± {measurement['spread']:.2g}" if measurement["pairs"] > 1 else ""
    cells = (measurement["name"], measurement["against"], measurement["unit"], *sides, ratio + spread)
    return f"| {' | '.join((*cells, measurement['goal']))} |"


def facts(machine: Mapping[str, Any]) -> str:
    """Return the line that says where and from which commit the figures are."""
    device = "" if machine["device"] == "cpu" else f", {machine['device']}"
    return (
        f"{machine['date']}, commit {machine['commit']}: {machine['threads']} threads on {machine['cores']} cores of "
        f"{machine['cpu']} ({'with' if machine['bf16'] else 'without'} bf16){device}"
        f"{', huge pages' * machine['huge_pages']}, torch {machine['torch']}."
    )


def section(name: str, entry: Mapping[str, Any]) -> str:
    """Return one benchmark's part of the page."""
    lines = [f"## {name}", "", entry["about"].replace("Yield ", "", 1).capitalize(), "", facts(entry["machine"]), ""]
    if entry["measurements"]:
        lines += [*HEAD, *map(row, entry["measurements"]), ""]
    if "skipped" in entry:
        lines += [f"Skipped: {entry['skipped']}", ""]
    return "\n".join(lines)


def markdown(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page."""
    return "\n".join([PREFACE, *(section(name, entry) for name, entry in found.items())])


def write_between_marks(page: Path, lines: Iterable[str], begin: str = BEGIN) -> None:
    """Replace what is between the mark `begin` of a `page` and the end mark after it."""
    head, rest = page.read_text(encoding="utf-8").split(begin)
    written = "\n".join([begin, "", *lines, "", END])
    page.write_text(head + written + rest.partition(END)[2], encoding="utf-8")
