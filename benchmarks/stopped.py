"""Trials that were stopped, beside the run they were to beat as far as they came: a table of docs/recipe.md.

2 cores, stopped at step 1,265, commit 16def52bd5 in fp32, and at step 720, commit faf3610dea in bf16:
python -m fer_ssl.train +experiment=best_refitted +protocol=p2 refit.each_epoch=true refit.pool_faces=5000 \\
  data.root=outputs/fold data.labels_per_class=100 data.split_seed=10 seed=10
python -m fer_ssl.train +experiment=best_refitted +protocol=p2 \\
  'loss.infonce.views=[strong,strong2,strong3,strong4,weak]' \\
  data.root=outputs/fold data.labels_per_class=100 data.split_seed=10 seed=10
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from writing import write_between_marks

BEGIN = "<!-- stopped trials, written by benchmarks/results.py -->"
STRETCH = 200  # steps
BEST = Path("recipe/long_best_seed10/history.csv")
STOPPED = {
    "a teacher fitted anew": Path("stopped/refitted_teacher_seed10.csv"),
    "five views": Path("stopped/five_views_seed10.csv"),
}
MEASURES = ("pseudo/accuracy_all", "pseudo/keep_rate")


def write_stopped(records: Path, page: Path) -> None:
    """Put the table of the histories in `records` between the marks of `page`."""
    write_between_marks(page, table(records), BEGIN)


def table(records: Path) -> Iterator[str]:
    """Yield the lines of a table: means in percent over stretches of steps, of `best` and of each trial."""
    runs = {told: history(records / file) for told, file in {"`best`": BEST, **STOPPED}.items()}
    yield f"| steps | {' | '.join(runs)} |"
    yield "| --- |" + " --- |" * len(runs)
    for start in range(0, max(runs["`best`"]), STRETCH):
        cells = [stretch(run, start) for run in runs.values()]
        if any(cells[1:]):
            yield f"| {start:,} - {start + STRETCH:,} | {' | '.join(cells)} |"


def stretch(run: dict[int, dict[str, str]], start: int) -> str:
    """Return the means over a stretch of steps that the run went through, else nothing."""
    lines = [line for step, line in run.items() if start < step <= start + STRETCH]
    whole = start + STRETCH in run
    return ", ".join(f"{100 * mean(float(line[key]) for line in lines):.1f}" for key in MEASURES) if whole else ""


def history(file: Path) -> dict[int, dict[str, str]]:
    """Return the lines of a history by step."""
    with file.open(newline="", encoding="utf-8") as lines:
        return {int(line["step"]): line for line in csv.DictReader(lines)}
