"""The table of the README: scores of the short FER2013 protocol by method and labels per class."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev

from heads import runs_at_home
from writing import write_between_marks

from fer_ssl.reports.grouping import experiments
from fer_ssl.reports.run import Run

BUDGETS = (25, 100, 250)
METHODS = {
    "supervised": "supervised",
    "fixmatch": "FixMatch",
    "flexmatch": "FlexMatch",
    "freematch": "FreeMatch",
    "softmatch": "SoftMatch",
    "adamatch": "AdaMatch",
    "adacm": "Ada-CM, plain linear head",
    "dtm_infonce": "`dtm_infonce`",
    "dtm_infonce_two_views": "`dtm_infonce_faces` with two views of a face",
    "dtm_infonce_faces": "`dtm_infonce_faces`",
    "best_whole_prior": "`best` with the pool's frequencies from the first step on",
    "best": "our recipe, `best`",
    "supervised_pretrained": "supervised, from features learned on the pool",
    "best_pretrained": "`best_pretrained`, from features learned on the pool",
}


def write_summary(records: Path, page: Path) -> None:
    """Put the scores of the runs in `records` between the marks of `page`."""
    write_between_marks(page, table(records))


def table(records: Path) -> Iterator[str]:
    """Yield the lines of a table of PublicTest macro-F1 in percent, mean and sample deviation over seeds."""
    found = experiments(runs_at_home(records))
    groups = {(group[0].name, group[0].setting("data.labels_per_class")): group for group in found}
    yield "| labels per class | " + " | ".join(map(str, BUDGETS)) + " |"
    yield "| --- |" + " --- |" * len(BUDGETS)
    for name, shown in METHODS.items():
        if any((name, budget) in groups for budget in BUDGETS):
            cells = [score(groups.get((name, budget), [])) for budget in BUDGETS]
            yield f"| {shown} | {' | '.join(cells)} |"


def score(group: Sequence[Run]) -> str:
    """Return mean and deviation over the seeds; one that has fewer than three says so."""
    scores = [100 * run.score("test.macro_f1") for run in group]
    if len(scores) < 2:
        return f"{scores[0]:.2f} (1 seed)" if scores else ""
    return f"{mean(scores):.2f} ± {stdev(scores):.2f}" + (" (2 seeds)" if len(scores) == 2 else "")
