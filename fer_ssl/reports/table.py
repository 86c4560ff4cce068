"""One Markdown table over many runs: mean and sample standard deviation over seeds."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from fer_ssl.errors import DataError
from fer_ssl.reports.diagnosis import KEPT, diagnosis
from fer_ssl.reports.grouping import (
    Protocol,
    budget,
    config_hash,
    draw_of,
    drop_repeats,
    experiments,
    find_runs,
    folds,
    mixture,
    pool_name,
    precisions,
    protocol,
    setting_text,
    why_left_out,
)
from fer_ssl.reports.markdown import line
from fer_ssl.reports.run import Run
from fer_ssl.reports.statistics import Spread, spread

SETTINGS = ("experiment", "labels per class", "pool", "steps", "seeds")
BASELINE = "supervised"
HEAD = (*SETTINGS, "macro-F1", f"over {BASELINE}", "accuracy", "kept", "right", "minutes", "precision", "config")


def write_table(paths: Sequence[Path], target: Path) -> Path:
    """Write the table of all runs at or below `paths` to `target` and return it.

    Raises DataError when no finished run with scores of a test split is found.
    """
    runs, others = find_runs(paths)
    left_out = [(path, why_left_out(path)) for path in others]
    if not runs:
        told = "".join(f" ({path}: {why})" for path, why in left_out[:1])
        raise DataError(
            f"no finished run with scores of a test split at or below {', '.join(map(str, paths))}{told}: train one "
            "with fer_ssl.train score=null"
        )
    kept, repeats = drop_repeats(runs)
    notes = [f"Left out, {why}: `{path}`." for path, why in left_out]
    notes += [f"Left out, a repeat of the same configuration and seed: `{run.path}`." for run in repeats]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join([*_preamble(kept), *_tables(kept), *_bullets(notes)]) + "\n", encoding="utf-8")
    return target


def _preamble(runs: Sequence[Run]) -> list[str]:
    commits = sorted({str(run.score("environment.commit") or "unknown") for run in runs})
    when, source = f"Written {datetime.now(UTC):%Y-%m-%d}", "`python -m fer_ssl.report --table`"
    meaning = (
        "Scores of the test split in percent, mean ± sample standard deviation over seeds (- for one seed); "
        f"over {BASELINE}: the difference to it on the same labels and seeds, paired, and of how many runs where some "
        f"have no pair. Kept and right: {KEPT}, and the accuracy of what was kept, where the truth is known. "
        "Precision: what `trainer.precision` came to on the run's machine, - where that was not noted; rows of two are "
        "no fair pair. Config: hash of all settings but the seeds."
    )
    return ["# Results", "", f"{when} by {source}, from runs at commit {', '.join(commits)}.", "", meaning]


def _tables(runs: Sequence[Run]) -> Iterator[str]:
    """Yield one table per protocol; runs without a pool join every table that differs in the unlabeled batch alone."""
    protocols = dict.fromkeys(protocol(run) for run in runs)
    pooled = {each[:-1] for each in protocols if each.unlabeled is not None}
    for each in protocols:
        if each.unlabeled is None and each[:-1] in pooled:
            continue
        members = [run for run in runs if protocol(run) in (each, each._replace(unlabeled=None))]
        yield from ("", f"Protocol: {_told(each, protocols)}.", "", line(HEAD), line(["---"] * len(HEAD)))
        groups = list(experiments(members))
        yield from (line(_cells(group, _baseline(group, groups))) for group in groups)
        yield from _bullets([note for group in groups for note in [*_mixture(group), *_folds(group), *_start(group)]])
        yield from diagnosis(groups, _told_apart)


def _told(each: Protocol, protocols: Iterable[Protocol]) -> str:
    """Return a protocol as text, with the faces of its test split where those of another of that text are others."""
    alike = [other for other in protocols if str(other) == str(each)]
    return f"{each}, test split {each.test}" if len(alike) > 1 else str(each)


def _baseline(group: Sequence[Run], groups: Sequence[Sequence[Run]]) -> Sequence[Run]:
    """Return the supervised runs on as many labels, none where `group` is itself the baseline."""
    found = [each for each in groups if each[0].name == BASELINE and budget(each[0]) == budget(group[0])]
    return [] if not found or group[0].name == BASELINE else found[0]


def _gain(group: Sequence[Run], baseline: Sequence[Run]) -> str:
    """Return the paired difference of macro-F1 over the runs whose seed the baseline has."""
    theirs = {draw_of(run): run.score("test.macro_f1") for run in baseline}
    paired = [run for run in group if draw_of(run) in theirs]
    if not paired:
        return "-"
    differences = Spread(run.score("test.macro_f1") - theirs[draw_of(run)] for run in paired)
    return differences.text("+") + ("" if len(paired) == len(group) else f" ({len(paired)} of {len(group)})")


def _cells(group: Sequence[Run], baseline: Sequence[Run]) -> list[str]:
    first = group[0]
    seeds = ", ".join(sorted({setting_text(run, "seed") for run in group}, key=lambda text: text.zfill(9)))
    return [
        first.name,
        _labels(first),
        pool_name(first),
        setting_text(first, "trainer.max_steps"),
        f"{len(group)} ({seeds})",
        Spread(run.score("test.macro_f1") for run in group).text(),
        _gain(group, baseline),
        Spread(run.score("test.accuracy") for run in group).text(),
        _mean([run.score("pseudo.keep_rate") for run in group], 100),
        _mean([run.right for run in group], 100),
        _mean([run.score("train.seconds") for run in group], 1 / 60),
        ", ".join(precisions(group)),
        ", ".join(sorted({f"`{config_hash(run)}`" for run in group})),
    ]


def _told_apart(run: Run) -> str:
    """Return a row's experiment with its labels per class, and its pool where that is not of the labels' own data."""
    pool = [] if pool_name(run) in ("same", "none") else [pool_name(run)]
    return f"{run.name} ({', '.join([_labels(run), *pool])})"


def _labels(run: Run) -> str:
    return "all" if run.labels_per_class is None else str(run.labels_per_class)


def _mean(values: Sequence[float | None], scale: float) -> str:
    known = spread(values)
    return "-" if known is None else f"{scale * known.mean:.1f}"


def _mixture(group: Sequence[Run]) -> list[str]:
    """Name the settings, beyond the seeds, in which the runs of one row differ."""
    differing = [f"`{key}`" for key in mixture(group)]
    return [f"The row {group[0].name} mixes settings: {', '.join(differing)}."] if differing else []


def _folds(group: Sequence[Run]) -> list[str]:
    found = folds(group)
    return [f"The row {group[0].name} is over the folds {', '.join(found)}."] if found else []


def _start(group: Sequence[Run]) -> list[str]:
    """Say what the runs' backbones were trained on before."""
    starts = sorted({setting_text(run, "backbone.init") for run in group} - {"-"})
    return [f"The row {group[0].name} starts from the backbone of {', '.join(starts)}."] if starts else []


def _bullets(sentences: Sequence[str]) -> list[str]:
    return ["", *(f"- {sentence}" for sentence in sentences)] if sentences else []
