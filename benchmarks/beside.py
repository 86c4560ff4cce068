"""Our runs of the peers beside runs of the peers' own public code on the same labels: a table of docs/peers.md."""

from collections.abc import Iterator
from pathlib import Path
from statistics import stdev

from writing import write_between_marks

from fer_ssl.reports.run import Run

# accuracy and macro-F1 on PublicTest in percent, split 0, by microsoft/Semi-supervised-learning@1ef4cbe and
# hangyu94/Ada-CM@aca2b35 under the same protocols; the records of our runs that do the same
THEIRS = {
    "supervised, 100": (32.32, 28.43, "p1/supervised_100"),
    "FixMatch, 100": (28.70, 25.75, "p1/fixmatch_100"),
    "FixMatch, 100, the student in training mode labels": (28.70, 25.75, "p1/fixmatch_student_100"),
    "FlexMatch, 25": (26.19, 23.42, "p1/flexmatch_25"),
    "FreeMatch, 25": (28.59, 25.76, "p1/freematch_25"),
    "SoftMatch, 25": (27.86, 24.90, "p1/softmatch_25"),
    "Ada-CM with a linear head, 25": (29.12, 24.84, "p1/adacm_25"),
    "Ada-CM with a linear head, 100": (30.87, 27.28, "p1/adacm_100"),
    "all labels, batches as they come": (48.87, 37.77, "p1/fully_supervised_natural_100"),
    "supervised, 100, 4,000 steps": (34.66, 31.61, "p2/supervised_100"),
    "FixMatch, 100, 4,000 steps": (41.82, 36.99, "p2/fixmatch_100"),
}


def write_beside(records: Path, page: Path) -> None:
    """Put the comparison with the runs in `records` between the marks of `page`."""
    write_between_marks(page, table(records))


def table(records: Path) -> Iterator[str]:
    """Yield the lines of a table: their scores, ours on the same labels, how ours spread over splits and seeds."""
    yield "| method, labels per class | accuracy: theirs | ours | spread | macro-F1: theirs | ours | spread |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for method, (accuracy, macro_f1, name) in THEIRS.items():
        if runs := [Run(folder) for folder in sorted(records.glob(f"{name}_seed?"))]:
            cells = [*_cells(runs, "accuracy", accuracy), *_cells(runs, "macro_f1", macro_f1)]
            yield f"| {method} | {' | '.join(cells)} |"


def _cells(runs: list[Run], score: str, theirs: float) -> list[str]:
    ours = [100 * run.score(f"test.{score}") for run in runs]
    return [f"{theirs:.2f}", f"{ours[0]:.2f}", f"{stdev(ours):.2f}" if len(ours) > 1 else "-"]
