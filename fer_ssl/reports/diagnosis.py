"""What a table of scores does not tell: which pseudo-labels were made, kept and right, class by class."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fer_ssl.reports.run import Run, Series

LAST_SHARE = 0.1  # of the steps, over which figures of pseudo-labels are averaged, here and in metrics.json
MEASURES = (("share", "count"), ("tau", "tau"), ("kept", "keep"), ("right", "right"))
MEANING = (
    "Pseudo-labels by class over the last tenth of the steps, mean over seeds, in percent: the share of a class among "
    "all pseudo-labels, its threshold tau, the share of its pseudo-labels that was kept, and of those kept the share "
    "that was right (- where none was kept)."
)


def diagnosis(groups: Sequence[Sequence[Run]], title: Callable[[Run], str]) -> Iterator[str]:
    """Yield the lines of a Markdown table, four rows for each group of runs that logged pseudo-labels by class."""
    logged = [group for group in groups if all(run.family("count") for run in group)]
    if not logged:
        return
    classes = logged[0][0].classes
    yield from ("", MEANING, "", _row(["experiment", "measure", *classes]), _row(["---"] * (len(classes) + 2)))
    for group in logged:
        for measure, prefix in MEASURES:
            values = [_by_class(run, prefix, classes) for run in group]
            yield _row([title(group[0]), measure, *(_cell(column) for column in zip(*values, strict=True))])


def _by_class(run: Run, prefix: str, classes: Sequence[str]) -> list[float]:
    family = run.family(prefix)
    end = max((series.steps.max() for series in run.family("count").values()), default=0)
    tails = [_tail(family[name], end) if name in family else np.nan for name in classes]
    scale = float(np.nansum(tails)) if prefix == "count" else 1.0
    return [tail / scale for tail in tails]


def _tail(series: Series, end: int) -> float:
    late = series.steps > (1 - LAST_SHARE) * end
    return float(series.values[late].mean()) if late.any() else np.nan  # a class may be kept early and no more


def _cell(values: Sequence[float]) -> str:
    known = [value for value in values if value == value]
    return f"{100 * sum(known) / len(known):.0f}" if known else "-"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
