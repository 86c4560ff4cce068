"""A sweep directory read and summed up: one row per experiment, paired with the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from statistics import mean

import numpy as np

from fer_ssl.errors import DataError
from fer_ssl.jobs.journal import DONE, JOURNAL, Entry, read_journal
from fer_ssl.places import PLACE_KEYS
from fer_ssl.reports.grouping import (
    DRAW_KEYS,
    GIVEN_KEYS,
    budget,
    draw_of,
    drop_repeats,
    experiments,
    find_runs,
    known_precisions,
    mixture,
    own_settings,
    pool_name,
    test_faces,
)
from fer_ssl.reports.run import Run
from fer_ssl.reports.statistics import ENOUGH_RUNS, Difference, Pair, Spread, over_faces, over_seeds, spread

BASELINES = ("full", "supervised")
PROTOCOL = ("data.", "image_size", "backbone.", "batch.", "epoch_steps", "trainer.max_steps")
FREE = (
    "data.labels_per_class", "data.heldout_fraction", "data.use_all_labels", "data.leak_check", "data.max_rejected",
    "backbone.init", "backbone.pretrained", *PLACE_KEYS, *GIVEN_KEYS,
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """The runs of one experiment, and those of the baseline on the same labels (none for the baseline itself)."""

    title: str
    runs: Sequence[Run]
    baseline: Sequence[Run]

    @property
    def name(self) -> str:
        return self.runs[0].name

    @property
    def labels(self) -> int | None:
        """Labels per class, None where all are used."""
        return self.runs[0].labels_per_class

    @property
    def seeds(self) -> list[str]:
        return sorted({str(run.setting("seed")) for run in self.runs}, key=lambda seed: seed.zfill(9))

    def spread(self, key: str) -> Spread | None:
        """Return the values of metrics.json at `key`, None where a run did not measure it."""
        return spread([run.score(key) for run in self.runs])

    @property
    def right(self) -> Spread | None:
        """Shares of the kept pseudo-labels that were right, None where the truth is not known."""
        return spread([run.right for run in self.runs])

    def per_class_f1(self) -> dict[str, float]:
        """Return the mean F1 of every class."""
        scores = [run.score("test.per_class_f1") for run in self.runs]
        return {name: mean(each[name] for each in scores) for name in self.runs[0].classes}

    @cached_property
    def pairs(self) -> list[tuple[Run, Run]]:
        """Runs of the row beside those of the baseline with the same seed and split."""
        theirs = {draw_of(run): run for run in self.baseline}
        return [(run, theirs[draw_of(run)]) for run in self.runs if draw_of(run) in theirs]

    @cached_property
    def by_seeds(self) -> Difference | None:
        """Difference of macro-F1 to the baseline over paired runs."""
        return over_seeds([ours.score("test.macro_f1") - theirs.score("test.macro_f1") for ours, theirs in self.pairs])

    @cached_property
    def by_faces(self) -> Difference | None:
        """Difference of macro-F1 to the baseline over the faces of the test split, None without predictions."""
        pairs = [_paired_faces(*pair) for pair in self.pairs]
        known = [pair for pair in pairs if pair is not None]
        return over_faces(known, len(self.runs[0].classes)) if known and len(known) == len(pairs) else None

    @property
    def difference(self) -> tuple[Difference, str] | None:
        """The difference to report and what it is paired over: runs where they are enough, else faces."""
        unlike = any(len(known_precisions(pair)) > 1 for pair in self.pairs)
        runs = f"{len(self.pairs)} run{'s' if len(self.pairs) > 1 else ''}{' of two precisions' if unlike else ''}"
        if len(self.pairs) >= ENOUGH_RUNS or self.by_faces is None:
            return (self.by_seeds, runs) if self.by_seeds else None
        return self.by_faces, f"faces, {runs}"


@dataclass(frozen=True)
class Sweep:
    """The finished runs of a directory as rows, and what did not finish."""

    path: Path
    rows: Sequence[Row]
    baseline: str | None
    missing: Sequence[str]

    @property
    def runs(self) -> list[Run]:
        return [run for row in self.rows for run in row.runs]

    @property
    def classes(self) -> list[str]:
        return self.runs[0].classes

    @property
    def budgets(self) -> list[int | None]:
        """Labels per class that occur, in order, None for all."""
        return list(dict.fromkeys(row.labels for row in self.rows))


def read_sweep(path: Path, baseline: str | None = None) -> Sweep:
    """Read the runs below `path`.

    Raises DataError where none is finished, where runs follow different protocols, so that no mean or difference
    would mean anything, and for a `baseline` that is not there.
    """
    found, unfinished = find_runs([path])
    runs, missing = _settled(path, found, unfinished)
    if not runs:
        told = f" ({'; '.join(missing)})" if missing else ""
        raise DataError(f"{path} holds no finished run{told}: start its sweep once more, or train with fer_ssl.train")
    _require_one_protocol(path, runs)
    kept, repeats = drop_repeats(runs)
    missing += [f"{run.path.name}: left out, a repeat of the same configuration and seed" for run in repeats]
    groups = list(experiments(kept))
    names = [group[0].name for group in groups]
    if baseline is not None and baseline not in names:
        raise DataError(
            f"{path} has no runs of the baseline {baseline}; set --baseline {' or '.join(sorted(set(names)))}"
        )
    chosen = baseline or next((name for name in BASELINES if name in names and len(set(names)) > 1), None)
    groups.sort(key=lambda group: (budget(group[0]), group[0].name != chosen))
    rows = [Row(_title(group, groups), group, _theirs(group, groups, chosen)) for group in groups]
    return Sweep(path, rows, chosen, missing)


def _alike(name: str | None, group: Sequence[Run], groups: Sequence[Sequence[Run]]) -> list[Sequence[Run]]:
    """Return the experiments called `name` on as many labels as `group`."""
    return [each for each in groups if each[0].name == name and budget(each[0]) == budget(group[0])]


def _title(group: Sequence[Run], groups: Sequence[Sequence[Run]]) -> str:
    """Return the name, with labels per class and pool where the name alone would not tell experiments apart."""
    first, several = group[0], len({budget(each[0]) for each in groups}) > 1
    labels = first.labels_per_class if several else None
    pool = pool_name(first) if len(_alike(first.name, group, groups)) > 1 else None
    told = ", ".join(str(mark) for mark in (labels, pool) if mark is not None)
    return f"{first.name} ({told})" if told else first.name


def _theirs(group: Sequence[Run], groups: Sequence[Sequence[Run]], baseline: str | None) -> Sequence[Run]:
    """Return the runs of the baseline on as many labels: those with the group's pool, or the only ones."""
    if group[0].name == baseline:
        return []
    alike = _alike(baseline, group, groups)
    own = [each for each in alike if pool_name(each[0]) == pool_name(group[0])]
    chosen = own or (alike if len(alike) == 1 else [])
    return chosen[0] if chosen else []


def _settled(path: Path, runs: Sequence[Run], unfinished: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Return the runs whose scores count, and a line for every job and run that did not come to an end.

    Scores beside an attempt that failed or still runs are of an earlier one, maybe with other settings, unless they
    are newer than it: those are of a run that was finished outside the sweep, as its last words may advise.
    """
    journal = read_journal(path / JOURNAL)
    places = {(path / name).resolve(): entry for name, entry in journal.items()}
    settled = [run for run in runs if _counts(run, places.get(run.path.resolve()))]
    scored = {run.path.resolve() for run in settled}
    within = scored.union(*(place.parents for place in scored))  # of a job in rounds, whose folder holds their runs
    named = [
        _told(entry)
        for place, entry in places.items()
        if place not in scored and not (place in within and entry.state in DONE)
    ]
    return settled, named + [f"{each.name}: unfinished" for each in unfinished if each.resolve() not in places]


def _counts(run: Run, entry: Entry | None) -> bool:
    if entry is None or entry.state in DONE:
        return True
    return (run.path / "metrics.json").stat().st_mtime > datetime.fromisoformat(entry.end or entry.start).timestamp()


def _told(entry: Entry) -> str:
    if entry.state in DONE:
        return f"{entry.job}: {entry.state}, but without scores of the test split"
    if entry.error:
        return " ".join(str(entry).split())  # of several lines only the first would be a comment in LaTeX
    return f"{entry.job}: unfinished ({entry.state})"


def _require_one_protocol(path: Path, runs: Sequence[Run]) -> None:
    for key, values in _protocols(runs).items():
        if len(values) > 1:
            told = ", ".join(f"{value} in {_some(names)}" for value, names in values.items())
            raise DataError(
                f"{path} mixes protocols, and no mean or difference spans them: {key} is {told}; report them from "
                "separate directories, or list them side by side with --table FILE"
            )
    for group in experiments(runs):
        if differing := mixture(group):
            raise DataError(
                f"{path} has runs of {group[0].name} that differ in {', '.join(differing)}, so they are not seeds of "
                "one experiment; give each its own name=<name>"
            )


def _protocols(runs: Sequence[Run]) -> dict[str, dict[str, list[str]]]:
    """Return, for every setting of the protocol, its values with the runs that have them."""
    found: dict[str, dict[str, list[str]]] = {}
    settings = [
        {key: str(value) for key, value in own_settings(run) if _is_protocol(key)} | {"the test split": test_faces(run)}
        for run in runs
    ]
    for key in dict.fromkeys(chain.from_iterable(settings)):
        for run, each in zip(runs, settings, strict=True):
            if not (key == "batch.unlabeled" and pool_name(run) == "none"):
                found.setdefault(key, {}).setdefault(each.get(key, "unset"), []).append(run.path.name)
    return found


def _is_protocol(key: str) -> bool:
    return key.startswith(PROTOCOL) and key not in DRAW_KEYS and not key.startswith(FREE)


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _paired_faces(ours: Run, theirs: Run) -> Pair | None:
    """Return both runs' predictions of the test faces that both scored, None where a run kept none."""
    tables = []
    for run in (ours, theirs):
        if run.predictions is None:
            return None
        rows = (run.predictions["split"] == "test") & (run.predictions["label"] >= 0)
        tables.append({name: run.predictions[name][rows] for name in ("id", "label", "prediction")})
    ids, left, right = np.intersect1d(tables[0]["id"], tables[1]["id"], return_indices=True)
    if not len(ids):
        return None
    return Pair(ids, tables[0]["label"][left], tables[0]["prediction"][left], tables[1]["prediction"][right])
