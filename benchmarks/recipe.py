"""The table of docs/recipe.md: what was tried for `best`, and how it scored."""

from collections.abc import Iterator
from pathlib import Path

from trials import TRIED, TRIED_ALONE, TRIED_FROM_FEATURES, TRIED_LONG, TRIED_ON_PROCEDURAL, TRIED_WITH_250
from writing import write_between_marks

from fer_ssl.reports.run import Run

PROCEDURAL = "scratch, procedural faces"
EARLY = 300  # the step of 1,000 by which one class is many pseudo-labels, or none is


def write_recipe(records: Path, page: Path) -> None:
    """Put the table of the trials recorded in `records` between the marks of `page`."""
    write_between_marks(page, table(records))


def table(records: Path) -> Iterator[str]:
    """Yield the lines of a table: what was tried, scores and, of pseudo-labels, shares in percent, cost, commits."""
    largest = f"largest class, step {EARLY}"
    yield f"| from | tried | seeds | macro-F1 | accuracy | {largest} | right of all | minutes | commit |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    groups = {
        "scratch": TRIED,
        "scratch, 400 steps of InfoNCE alone": TRIED_ALONE,
        "scratch, 250 labels": TRIED_WITH_250,
        "scratch, 4,000 steps": TRIED_LONG,
        "features": TRIED_FROM_FEATURES,
        PROCEDURAL: TRIED_ON_PROCEDURAL,
    }
    for start, tried in groups.items():
        for name, (what, _) in tried.items():
            runs = [Run(folder) for folder in sorted(records.glob(f"{name}_seed*"))]
            if runs:
                yield _row(start, what, runs)


def _row(start: str, what: str, runs: list[Run]) -> str:
    seeds = ", ".join(str(run.setting("seed")) for run in runs)
    held_out = "val" if start == PROCEDURAL else "test"
    scores = [_each(runs, f"{held_out}.{name}", 100, 2) for name in ("macro_f1", "accuracy")]
    scores.append(", ".join(map(_largest_class, runs)))
    facts = [_each(runs, "pseudo.accuracy_all", 100, 1), _each(runs, "train.seconds", 1 / 60, 1)]
    commits = ", ".join(sorted({run.score("environment.commit") for run in runs}))
    return f"| {' | '.join([start, what, seeds, *scores, *facts, commits])} |"


def _each(runs: list[Run], score: str, times: float, digits: int) -> str:
    values = [run.score(score) for run in runs]
    return ", ".join("-" if value is None else f"{times * value:.{digits}f}" for value in values)


def _largest_class(run: Run) -> str:
    """Return the class that had most pseudo-labels at step EARLY, and its share of them in percent."""
    counts = {name: float(series.values[series.steps == EARLY].sum()) for name, series in run.family("count").items()}
    if not any(counts.values()):
        return "-"
    most = max(counts, key=counts.__getitem__)
    return f"{most} {100 * counts[most] / sum(counts.values()):.0f}"
