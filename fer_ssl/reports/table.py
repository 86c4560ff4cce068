"""One Markdown table over many runs: mean and sample standard deviation over seeds."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from math import inf
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from fer_ssl.errors import DataError, FerError
from fer_ssl.reports.diagnosis import diagnosis
from fer_ssl.reports.run import Run

# may differ between the seeds of one experiment
DRAW_KEYS = frozenset({"seed", "data.split_seed", "data.split_file", "run_dir", "ckpt_path"})
SETTINGS = ("experiment", "labels per class", "pool", "steps", "seeds")
BASELINE = "supervised"
HEAD = (*SETTINGS, "macro-F1", f"over {BASELINE}", "accuracy", "kept", "right", "minutes", "config")


class Protocol(NamedTuple):
    """What runs must share to stand in one table; `unlabeled` is None for a run without a pool."""

    data: object
    image_size: object
    steps: object
    backbone: object
    labeled: object
    unlabeled: object

    def __str__(self) -> str:
        batch = f"{self.labeled} labeled" + ("" if self.unlabeled is None else f" + {self.unlabeled} unlabeled")
        return f"data {self.data}, {self.image_size} px, {self.steps} steps, batch {batch}, backbone {self.backbone}"


def write_table(paths: Sequence[Path], target: Path) -> Path:
    """Write the table of all runs at or below `paths` to `target` and return it.

    Raises DataError when no finished run is found.
    """
    runs, unfinished = find_runs(paths)
    if not runs:
        raise DataError(f"no finished run at or below {', '.join(map(str, paths))}: train one with fer_ssl.train")
    kept, repeats = _drop_repeats(runs)
    notes = [f"Left out, unfinished: `{path}`." for path in unfinished]
    notes += [f"Left out, a repeat of the same configuration and seed: `{run.path}`." for run in repeats]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join([*_preamble(kept), *_tables(kept), *_bullets(notes)]) + "\n", encoding="utf-8")
    return target


def find_runs(paths: Sequence[Path]) -> tuple[list[Run], list[Path]]:
    """Return the runs that were scored on a test split, and the directories of those that were not."""
    files = [file for path in paths for file in sorted(path.rglob("config.yaml")) if file.parent.name != ".hydra"]
    found = {file.parent.resolve(): file.parent for file in files}
    runs = {path: _scored(path) for path in found.values()}
    return [run for run in runs.values() if run], [path for path, run in runs.items() if run is None]


def _scored(path: Path) -> Run | None:
    try:
        run = Run(path)
    except FerError:
        return None
    return None if run.score("test.macro_f1") is None else run


def protocol(run: Run) -> Protocol:
    """Return the protocol of a run."""
    data, image_size, steps = (run.setting(key) for key in ("data.name", "image_size", "trainer.max_steps"))
    batch = (run.setting(key) for key in ("batch.labeled", "batch.unlabeled"))
    shared = Protocol(data, image_size, steps, run.backbone, *batch)
    return shared if _pool(run) != "none" else shared._replace(unlabeled=None)


def config_hash(run: Run) -> str:
    """Return 8 hex digits of the configuration, the draw of seeds and splits left out."""
    shared = {key: value for key, value in _flat(run.config) if key not in DRAW_KEYS}
    return hashlib.sha256(json.dumps(shared, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _pool(run: Run) -> str:
    return str(run.setting("unlabeled.name") or "none")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if prefix and name == "run_dir":
            continue  # parts that write files are told the run's directory, which differs from run to run
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _draw(run: Run) -> str:
    return ", ".join(str(run.setting(key)) for key in sorted(DRAW_KEYS - {"run_dir", "ckpt_path"}))


def _drop_repeats(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Keep the newest of runs that differ in nothing, so that no seed counts twice."""
    newest: dict[tuple[str, str], Run] = {}
    for run in sorted(runs, key=lambda run: (run.path / "metrics.json").stat().st_mtime):
        newest[config_hash(run), _draw(run)] = run
    kept = {id(run) for run in newest.values()}
    return [run for run in runs if id(run) in kept], [run for run in runs if id(run) not in kept]


def _preamble(runs: Sequence[Run]) -> list[str]:
    commits = sorted({str(run.score("environment.commit") or "unknown") for run in runs})
    when, source = f"Written {datetime.now(UTC):%Y-%m-%d}", "`python -m fer_ssl.report --table`"
    meaning = (
        "Scores of the test split in percent, mean ± sample standard deviation over seeds (- for one seed); "
        f"over {BASELINE}: the difference to it on the same labels and seeds, paired. Kept and "
        "right: share of pseudo-labels kept, and the accuracy of those kept where the truth is known, in percent. "
        "Config: hash of all settings but the seeds."
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
        yield from ("", f"Protocol: {each}.", "", _row(HEAD), _row(["---"] * len(HEAD)))
        groups = list(_groups(members))
        yield from (_row(_cells(group, _baseline(group, groups))) for group in groups)
        yield from _bullets([note for group in groups for note in [*_mixture(group), *_start(group)]])
        yield from diagnosis(groups, lambda run: f"{run.name} ({_text(run, 'data.labels_per_class', 'all')})")


def _groups(runs: Sequence[Run]) -> Iterator[list[Run]]:
    def key(run: Run) -> tuple[float, str, str, str]:
        labels = run.setting("data.labels_per_class")
        return (inf if labels is None else float(labels), run.name, _pool(run), _text(run, "trainer.max_steps"))

    for _, group in groupby(sorted(runs, key=key), key):
        yield list(group)


def _text(run: Run, key: str, otherwise: str = "-") -> str:
    value = run.setting(key)
    return otherwise if value is None else str(value)


def _baseline(group: Sequence[Run], groups: Sequence[Sequence[Run]]) -> Sequence[Run]:
    """Return the supervised runs on as many labels, none where `group` is itself the baseline."""
    labels = group[0].setting("data.labels_per_class")
    found = [each for each in groups if each[0].name == BASELINE and each[0].setting("data.labels_per_class") == labels]
    return [] if not found or group[0].name == BASELINE else found[0]


def _gain(group: Sequence[Run], baseline: Sequence[Run]) -> str:
    """Return the paired difference of macro-F1 over the seeds that both have."""
    ours, theirs = ({_draw(run): 100 * run.score("test.macro_f1") for run in runs} for runs in (group, baseline))
    differences = [ours[draw] - theirs[draw] for draw in ours.keys() & theirs.keys()]
    if not differences:
        return "-"
    spread = f"{stdev(differences):.2f}" if len(differences) > 1 else "-"
    return f"{mean(differences):+.2f} ± {spread}"


def _cells(group: Sequence[Run], baseline: Sequence[Run]) -> list[str]:
    first = group[0]
    seeds = ", ".join(sorted({_text(run, "seed") for run in group}, key=lambda text: text.zfill(9)))
    return [
        first.name,
        _text(first, "data.labels_per_class", "all"),
        _pool(first),
        _text(first, "trainer.max_steps"),
        f"{len(group)} ({seeds})",
        _spread(group, "test.macro_f1"),
        _gain(group, baseline),
        _spread(group, "test.accuracy"),
        _mean(group, "pseudo.keep_rate", 100),
        _mean(group, "pseudo.accuracy", 100),
        _mean(group, "train.seconds", 1 / 60),
        ", ".join(sorted({f"`{config_hash(run)}`" for run in group})),
    ]


def _spread(group: Sequence[Run], key: str) -> str:
    values = [100 * run.score(key) for run in group]
    return f"{mean(values):.2f} ± {f'{stdev(values):.2f}' if len(values) > 1 else '-'}"


def _mean(group: Sequence[Run], key: str, scale: float) -> str:
    values = [run.score(key) for run in group]
    return f"{scale * mean(values):.1f}" if None not in values else "-"


def _mixture(group: Sequence[Run]) -> list[str]:
    """Name the settings, beyond the seeds, in which the runs of one row differ."""
    flats = [{key: repr(value) for key, value in _flat(run.config)} for run in group]
    keys = sorted(set().union(*flats) - DRAW_KEYS)
    differing = [f"`{key}`" for key in keys if len({flat.get(key) for flat in flats}) > 1]
    return [f"The row {group[0].name} mixes settings: {', '.join(differing)}."] if differing else []


def _start(group: Sequence[Run]) -> list[str]:
    """Say what the runs' backbones were trained on before."""
    starts = sorted({_text(run, "backbone.init") for run in group} - {"-"})
    return [f"The row {group[0].name} starts from the backbone of {', '.join(starts)}."] if starts else []


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _bullets(sentences: Sequence[str]) -> list[str]:
    return ["", *(f"- {sentence}" for sentence in sentences)] if sentences else []
