"""What was measured of an experiment, written into the head of its file: it is read where the method is."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from statistics import mean, stdev

from fer_ssl.reports.grouping import drop_repeats, experiments, find_runs, pool_name
from fer_ssl.reports.run import Run

MARK = "# Measured: "
BUDGET = 100  # labels per class


def write_heads(records: Path, folder: Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Write the scores of the FER2013 runs in `records` into the experiments of `folder` that have their names.

    `parts` are the overrides that a method's runs had beside its experiment and the protocol, by its name.
    """
    shown = [run for run in runs_at_home(records) if run.setting("data.labels_per_class") in (BUDGET, None)]
    groups = {group[0].name: group for group in experiments(shown)}
    for path in sorted(folder.glob("*.yaml")):
        group = groups.get(path.stem, [])
        text = path.read_text(encoding="utf-8")
        path.write_text(with_line(text, sentence(group, parts.get(path.stem, ())) if group else None), encoding="utf-8")


def runs_at_home(records: Path) -> list[Run]:
    """Return the runs in `records` whose pool is of the labels' own data, none of them twice."""
    runs, _ = drop_repeats(find_runs([records])[0])
    return [run for run in runs if pool_name(run) in ("same", "none")]


def sentence(group: Sequence[Run], parts: Sequence[str]) -> str:
    """Return one line on the runs of an experiment: labels, score in percent over seeds, cost."""
    scores = [100 * run.score("test.macro_f1") for run in group]
    spread = f" ± {stdev(scores):.2f}" if len(scores) > 1 else ""
    budget = group[0].setting("data.labels_per_class")
    labels = "all labels" if budget is None else f"{budget} labels per class"
    minutes = mean(run.score("train.seconds") for run in group) / 60
    init = group[0].setting("backbone.init")
    start = [] if init is None else [f"from the features of {init}"]
    settings = " ".join(["+protocol=p1", *parts, *start])
    seeds = f"{len(scores)} seed{'s' if len(scores) > 1 else ''}"
    return f"{settings}, {labels}: macro-F1 {mean(scores):.2f}{spread}, {seeds}, {minutes:.1f} min"


def with_line(text: str, measured: str | None) -> str:
    """Return an experiment's text with one line on what was measured at the end of its head, none for None."""
    lines = [line for line in text.splitlines() if not line.startswith(MARK)]
    head = list(takewhile(lambda line: line.startswith("#"), lines))
    line = [] if measured is None else [MARK + measured]
    return "\n".join([*head, *line, *lines[len(head) :]]) + "\n"
