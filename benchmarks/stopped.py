"""A trial that was stopped, beside the run it was to beat as far as it came: a table of docs/recipe.md.

At commit 16def52bd5, 2 cores in fp32, stopped at step 1,265:
python -m fer_ssl.train +experiment=best_refitted +protocol=p2 refit.each_epoch=true refit.pool_faces=5000 \\
  data.root=outputs/fold data.labels_per_class=100 data.split_seed=10 seed=10
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from writing import write_between_marks

BEGIN = "<!-- a stopped trial, written by benchmarks/results.py -->"
STRETCH = 200  # steps
STOPPED, WHOLE = Path("stopped/refitted_teacher_seed10.csv"), Path("recipe/long_best_seed10/history.csv")
MEASURES = {"pool labeled rightly": "pseudo/accuracy_all", "weight of its labels": "pseudo/keep_rate"}


def write_stopped(records: Path, page: Path) -> None:
    """Put the table of the histories in `records` between the marks of `page`."""
    write_between_marks(page, table(records), BEGIN)


def table(records: Path) -> Iterator[str]:
    """Yield the lines of a table: means in percent over stretches of steps, of the trial and of `best`."""
    yield "| steps | " + " | ".join(f"{told} | `best`" for told in MEASURES) + " |"
    yield "| --- |" + " --- | --- |" * len(MEASURES)
    trial, best = (history(records / file) for file in (STOPPED, WHOLE))
    for start in range(0, max(trial), STRETCH):
        steps = [step for step in trial if start < step <= start + STRETCH]
        means = [mean(float(run[step][key]) for step in steps) for key in MEASURES.values() for run in (trial, best)]
        yield f"| {start:,} - {steps[-1]:,} | {' | '.join(f'{100 * value:.1f}' for value in means)} |"


def history(file: Path) -> dict[int, dict[str, str]]:
    """Return the lines of a history by step."""
    with file.open(newline="", encoding="utf-8") as lines:
        return {int(line["step"]): line for line in csv.DictReader(lines)}
