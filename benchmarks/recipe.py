"""What each part of the recipe is worth: runs scored on a validation fold, as a table inside docs/recipe.md."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev

from fer_ssl.reports.run import Run

SOFT = ["+experiment=soft_teacher", "threshold.alignment=none"]
# each line adds to the one before it
PARTS = {
    "labels alone": ["+experiment=supervised"],
    "soft pseudo-labels, aligned to uniform": ["+experiment=soft_teacher"],
    "not aligned": SOFT,
    "labels taught for the frequencies of the pool": [*SOFT, "loss=[supervised_pool_adjusted,pseudo_label]"],
    "InfoNCE on all faces": ["+experiment=best"],
}
FOLD = ["data.val_fraction=0.125", "score=[val]"]  # of the training faces that have no label
BEGIN, END = "<!-- written by benchmarks/results.py -->", "<!-- end -->"


def variants(init: Path | None) -> Iterator[tuple[str, list[str]]]:
    """Yield name and overrides of every part, from scratch and from the features of `init`."""
    for number, (part, overrides) in enumerate(PARTS.items()):
        yield f"{number}_scratch", [*overrides, f"name='{part}'"]
        if init is not None and "infonce" not in part.lower():
            yield f"{number}_pretrained", [*overrides, f"name='{part}'", f"backbone.init={init}"]


def write_recipe(records: Path, page: Path) -> None:
    """Put the table of the runs in `records` between the marks of `page`."""
    runs = [Run(path.parent) for path in sorted(records.glob("*/metrics.json"))]
    head, rest = page.read_text(encoding="utf-8").split(BEGIN)
    lines = [BEGIN, "", *table(runs), "", END]
    page.write_text(head + "\n".join(lines) + rest.split(END)[1], encoding="utf-8")


def table(runs: Sequence[Run]) -> Iterator[str]:
    """Yield the lines of a table: parts, start, scores of the validation fold in percent, pseudo-labels, cost."""
    commits = ", ".join(sorted({str(run.score("environment.commit")) for run in runs}))
    seeds = ", ".join(sorted({str(run.setting("seed")) for run in runs}))
    yield f"Validation fold, seed {seeds}, commit {commits}. In percent, mean ± sample deviation."
    yield ""
    yield "| parts | start | macro-F1 | accuracy | pseudo-labels right | minutes |"
    yield "| --- | --- | --- | --- | --- | --- |"

    def key(run: Run) -> tuple[bool, int]:
        return run.setting("backbone.init") is not None, list(PARTS).index(run.name)

    for (pretrained, _), group in groupby(sorted(runs, key=key), key):
        yield _row(list(group), "features" if pretrained else "scratch")


def _row(group: Sequence[Run], start: str) -> str:
    scores = [_spread([100 * run.score(f"val.{name}") for run in group]) for name in ("macro_f1", "accuracy")]
    right = [run.score("pseudo.accuracy_all") for run in group]
    known = "-" if None in right else f"{100 * mean(right):.1f}"
    minutes = mean(run.score("train.seconds") for run in group) / 60
    plus = "+ " if list(PARTS).index(group[0].name) > 1 else ""
    return f"| {' | '.join([plus + group[0].name, start, *scores, known, f'{minutes:.1f}'])} |"


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")
