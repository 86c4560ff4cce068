"""What was measured of an experiment, written into the head of its file: it is read where the method is."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from statistics import mean

import yaml
from ablation import BUDGET

from fer_ssl.reports.grouping import drop_repeats, experiments, find_runs, pool_name
from fer_ssl.reports.run import Run
from fer_ssl.reports.statistics import Spread

MARK = "# Measured: "
PROTOCOLS = ("p1", "p2")
CONF = Path(__file__).parent.parent / "conf"


def write_heads(records: Path, folder: Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Write the scores of the runs in `records` into the experiments of `folder` that have their names.

    A head tells of its command as it stands, on procedural faces, of FER2013 at BUDGET, and of features alone there.
    `parts` are the overrides that a method's runs on FER2013 had beside its experiment and the protocol, by its name.
    """
    procedural = by_name(runs_at_home(records / "synthetic"))
    rounds = runs_at_home(records / "rounds")
    features = by_name(drop_repeats(find_runs([records / "pretraining"])[0])[0])
    real = {protocol: by_name(of_budget(records / protocol)) for protocol in PROTOCOLS}
    for path in sorted(folder.glob("*.yaml")):
        lines = []
        if group := procedural.get(path.stem):
            lines.append(f"procedural faces: {outcome(group)}")
        if group := [run for run in rounds if run.name.startswith(f"{path.stem}_round")]:
            lines.append(f"procedural faces: {outcome_of_rounds(group)}")
        if group := features.get(path.stem):
            lines.append(f"{settings(group[0], pool(group[0]))}, nearest class mean: {outcome(group)}")
        for protocol, groups in real.items():
            if group := groups.get(path.stem):
                lines.append(f"{settings(group[0], parts.get(path.stem, ()), protocol)}: {outcome(group)}")
        text = path.read_text(encoding="utf-8")
        path.write_text(with_lines(text, lines), encoding="utf-8")


def by_name(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of every experiment by its name."""
    return {group[0].name: group for group in experiments(runs)}


def runs_at_home(records: Path) -> list[Run]:
    """Return the runs in `records` whose pool is of the labels' own data, none of them twice."""
    runs, _ = drop_repeats(find_runs([records])[0])
    return [run for run in runs if pool_name(run) in ("same", "none")]


def of_budget(records: Path) -> list[Run]:
    """Return the runs in `records` with BUDGET labels of a class, or with all."""
    return [run for run in runs_at_home(records) if run.setting("data.labels_per_class") in (BUDGET, None)]


def settings(run: Run, parts: Sequence[str], protocol: str = "p1") -> str:
    """Return what a run on FER2013 had beside its experiment: overrides, features, labels."""
    budget = run.setting("data.labels_per_class")
    labels = "all labels" if budget is None else f"{budget} labels per class"
    steps = run.setting("trainer.max_steps")
    usual = yaml.safe_load((CONF / "protocol" / f"{protocol}.yaml").read_text(encoding="utf-8"))["trainer"]["max_steps"]
    length = [] if steps == usual else [f"trainer.max_steps={steps}"]
    init = run.setting("backbone.init")
    start = [] if init is None else [f"from the features of {init}"]
    return f"{' '.join([f'+protocol={protocol}', *length, *parts, *start])}, {labels}"


def pool(run: Run) -> list[str]:
    """Return the override of a pool that is not of the labels' own data."""
    return [] if pool_name(run) == "same" else [f"unlabeled={pool_name(run)}"]


def outcome_of_rounds(group: Sequence[Run]) -> str:
    """Return the scores in percent of teachers and of their last students over seeds, and the cost of all rounds."""
    by_seed: dict[object, list[Run]] = {}
    for run in sorted(group, key=lambda run: int(run.name.rpartition("round")[2])):
        by_seed.setdefault(run.setting("seed"), []).append(run)
    teachers, students = ([runs[place] for runs in by_seed.values()] for place in (0, -1))
    minutes = sum(run.score("train.seconds") for run in group) / 60 / len(by_seed)
    last = students[0].name.rpartition("round")[2]
    teacher, student = f"{score(teachers)} of the teacher", f"{score(students)} of student {last}"
    return f"macro-F1 {teacher}, {student}, {seeds(len(by_seed))}, {minutes:.1f} min"


def score(group: Sequence[Run]) -> str:
    """Return the score in percent over seeds."""
    return Spread(run.score("test.macro_f1") for run in group).text(alone="")


def outcome(group: Sequence[Run]) -> str:
    """Return score in percent over seeds and cost of the runs of an experiment."""
    minutes = mean(run.score("train.seconds") for run in group) / 60
    return f"macro-F1 {score(group)}, {seeds(len(group))}, {minutes:.1f} min"


def seeds(number: int) -> str:
    """Return a number of seeds in words."""
    return f"{number} seed{'s' if number > 1 else ''}"


def with_lines(text: str, measured: Sequence[str]) -> str:
    """Return an experiment's text with these lines on what was measured at the end of its head, and no others."""
    lines = [line for line in text.splitlines() if not line.startswith(MARK)]
    head = list(takewhile(lambda line: line.startswith("#"), lines))
    return "\n".join([*head, *(MARK + line for line in measured), *lines[len(head) :]]) + "\n"
