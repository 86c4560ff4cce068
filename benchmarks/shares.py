"""How much of the pool a run labels rightly as it goes on, by trial of 4,000 steps: a table of docs/recipe.md.

Whole trials are those of benchmarks/trials.py. Stopped were, on 2 cores, at step 1,265, commit 16def52bd5 in fp32, and
at steps 720 and 2,120, commit faf3610dea in bf16, the last of which goes on from the mixed trial's step 1,600:
python -m fer_ssl.train +experiment=best_refitted +protocol=p2 refit.each_epoch=true refit.pool_faces=5000 \\
  data.root=outputs/fold data.labels_per_class=100 data.split_seed=10 seed=10
python -m fer_ssl.train +experiment=best_refitted +protocol=p2 \\
  'loss.infonce.views=[strong,strong2,strong3,strong4,weak]' \\
  data.root=outputs/fold data.labels_per_class=100 data.split_seed=10 seed=10
python -m fer_ssl.train <overrides of the mixed trial> target.temperature=1.0 ckpt_path=last
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from writing import write_between_marks

BEGIN = "<!-- shares labeled rightly, written by benchmarks/results.py -->"
ENDS, STRETCH = (400, 600, 800, *range(1200, 4001, 400)), 200  # steps
WHOLE = {
    "`best`": "best",
    "labels taught on strong views": "best_strong_labels",
    "labels moved, scaled and turned a little": "best_moved_labels",
    "labels and a strong view of the pool taught in mixtures too: *mixed*": "best_mixed",
    "InfoNCE alone until half-way": "best_features_first",
    "`dtm_infonce`": "dtm_infonce",
}
STOPPED = {
    "*mixed*, pseudo-labels not sharpened from step 1,600 on": "mixed_soft_late",
    "a teacher whose classifier is fitted anew every epoch": "refitted_teacher",
    "contrast between five views": "five_views",
}


def write_shares(records: Path, page: Path) -> None:
    """Put the table of the histories in `records` between the marks of `page`."""
    write_between_marks(page, table(records), BEGIN)


def table(records: Path) -> Iterator[str]:
    """Yield the lines of a table: the share in percent of the pool's faces over some stretches of steps, by trial."""
    files = {told: records / f"recipe/long_{name}_seed10/history.csv" for told, name in WHOLE.items()}
    files |= {told: records / f"stopped/{name}_seed10.csv" for told, name in STOPPED.items()}
    yield f"| to step | {' | '.join(f'{end:,}' for end in ENDS)} |"
    yield "| --- |" + " --- |" * len(ENDS)
    for told, file in files.items():
        rightly = shares(file)
        yield f"| {told} | {' | '.join(over(rightly, end) for end in ENDS)} |"


def over(rightly: dict[int, float], end: int) -> str:
    """Return the mean share over the stretch up to step `end`, nothing where the run did not come so far."""
    stretch = [share for step, share in rightly.items() if end - STRETCH < step <= end]
    return f"{100 * mean(stretch):.1f}" if end in rightly else ""


def shares(file: Path) -> dict[int, float]:
    """Return the share of the pool's faces that is labeled rightly, by step of a history."""
    with file.open(newline="", encoding="utf-8") as lines:
        return {int(line["step"]): float(line["pseudo/accuracy_all"]) for line in csv.DictReader(lines)}
