"""What a table of scores does not tell: which pseudo-labels were made, kept and right, class by class."""

from collections.abc import Callable, Iterator, Sequence

from fer_ssl.reports.markdown import line
from fer_ssl.reports.run import Run

# by measure: its columns of the history, and those by which their lines weigh
MEASURES = {
    "share": ("count", ()),
    "tau": ("tau", ()),
    "kept": ("keep", ("count",)),
    "right": ("right", ("count", "keep")),
}
KEPT = "share of pseudo-labels kept, or their mean weight where they are weighed"
MEANING = (
    "Pseudo-labels by class over the last tenth of the steps, mean over seeds, in percent: the share of a class among "
    f"all pseudo-labels, its threshold tau, the {KEPT}, and of what was kept the share that was right (- where none "
    "was kept)."
)


def diagnosis(groups: Sequence[Sequence[Run]], title: Callable[[Run], str]) -> Iterator[str]:
    """Yield the lines of a Markdown table, four rows for each group of runs that logged pseudo-labels by class."""
    logged = [group for group in groups if all(run.family("count") for run in group)]
    if not logged:
        return
    classes = logged[0][0].classes
    yield from ("", MEANING, "", line(["experiment", "measure", *classes]), line(["---"] * (len(classes) + 2)))
    for group in logged:
        for measure in MEASURES:
            values = [_by_class(run, measure, classes) for run in group]
            yield line([title(group[0]), measure, *(_cell(column) for column in zip(*values, strict=True))])


def _by_class(run: Run, measure: str, classes: Sequence[str]) -> list[float | None]:
    column, weights = MEASURES[measure]
    tails = [run.tail(f"{column}/{name}", [f"{weight}/{name}" for weight in weights]) for name in classes]
    scale = sum(tail or 0 for tail in tails) if measure == "share" else 1.0
    return [None if tail is None else tail / scale for tail in tails]


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{100 * sum(known) / len(known):.0f}" if known else "-"
