"""Runs found, told apart and put together: the seeds of one experiment, and the protocol that runs share."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from fer_ssl.errors import DataError, FerError
from fer_ssl.places import PLACE_KEYS, POOL_KEYS, folder_name
from fer_ssl.reports.run import Run
from fer_ssl.since import SINCE
from fer_ssl.trees import flat

FOLD_KEYS = ("data.fold", "data.source.fold")
# may differ between the seeds of one experiment
DRAW_KEYS = frozenset({"seed", "data.split_seed", "data.split_file", "run_dir", "ckpt_path", *FOLD_KEYS})
GIVEN_KEYS = frozenset({"data.pseudo_labels"})  # files that every run may have of its own, but that it has or has not
TASK_KEYS = ("labels", "test_split", "space", "classes", "score_on")  # of data: which labels of which faces are scored


class Protocol(NamedTuple):
    """What runs must share to stand in one table; `unlabeled` is None for a run without a pool.

    `test` tells test splits of one name apart; as text it is told only where that is needed.
    """

    data: object
    test: str
    image_size: object
    steps: object
    backbone: object
    labeled: object
    unlabeled: object

    def __str__(self) -> str:
        batch = f"{self.labeled} labeled" + ("" if self.unlabeled is None else f" + {self.unlabeled} unlabeled")
        return f"data {self.data}, {self.image_size} px, {self.steps} steps, batch {batch}, backbone {self.backbone}"


def run_folders(root: Path) -> Iterator[Path]:
    """Yield the folders at or below `root` that hold a config.yaml, other than Hydra's and W&B's own.

    Links are followed, and each folder is visited once.
    """
    seen: set[Path] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        place, is_run = Path(folder).resolve(), "config.yaml" in files
        if is_run and place not in seen:
            yield Path(folder)
        others = {".hydra", "wandb"} if is_run else {".hydra"}
        below[:] = [] if place in seen else sorted(set(below) - others)
        seen.add(place)


def find_runs(paths: Sequence[Path]) -> tuple[list[Run], list[Path]]:
    """Return the runs that were scored on a test split, and the directories of those that were not."""
    found = {folder.resolve(): folder for path in paths for folder in sorted(run_folders(path))}
    runs = {path: _finished(path) for path in found.values()}
    scored = {path: run for path, run in runs.items() if run and run.score("test.macro_f1") is not None}
    return list(scored.values()), [path for path in runs if path not in scored]


def why_left_out(path: Path) -> str:
    """Return why a directory is none of those that were scored on a test split."""
    return "not scored on the test split" if _finished(path) else "unfinished"


def _finished(path: Path) -> Run | None:
    try:
        return Run(path)
    except FerError:
        return None


def protocol(run: Run) -> Protocol:
    """Return the protocol of a run."""
    image_size, steps = (run.setting(key) for key in ("image_size", "trainer.max_steps"))
    batch = (run.setting(key) for key in ("batch.labeled", "batch.unlabeled"))
    shared = Protocol(_task(run), test_faces(run), image_size, steps, run.backbone, *batch)
    return shared if pool_name(run) != "none" else shared._replace(unlabeled=None)


def _task(run: Run) -> str:
    """Return the data a run is scored on, with what tells its labels and test faces apart from others of that name."""
    settings = {key: run.setting(f"data.{key}") for key in TASK_KEYS}
    told = ", ".join(f"{key} {value}" for key, value in settings.items() if value is not None)
    return f"{run.setting('data.name')} ({told})" if told else str(run.setting("data.name"))


def test_faces(run: Run) -> str:
    """Return the classes and how many faces of each the test split has; of a fold, which has its own, that it is one.

    Runs whose data.json was not kept have the counts that they scored.
    """
    if run.setting("data.fold") is not None:
        return "folds"
    counts = (run.data or {}).get("per_class", {}).get("test")
    if counts is None:
        counts = dict(zip(run.classes, map(sum, run.score("test.confusion") or []), strict=False))
    return ", ".join(f"{name} {counts[name]}" if name in counts else name for name in run.classes)


def config_hash(run: Run) -> str:
    """Return 8 hex digits of the configuration, the draw of seeds and splits left out."""
    shared = settings(run)
    return hashlib.sha256(json.dumps(shared, sort_keys=True, default=str).encode()).hexdigest()[:8]


def settings(run: Run) -> dict[str, Any]:
    """Return what the seeds of one experiment share: every setting but draws and places, of a pool's the name alone."""
    own = dict(own_settings(run))
    told = {key: value for key, value in own.items() if key not in DRAW_KEYS.union(PLACE_KEYS)}
    told |= {key: folder_name(own[key]) for key in POOL_KEYS if key in own}
    return told | {key: told[key] is not None for key in GIVEN_KEYS & told.keys()}


def pool_name(run: Run) -> str:
    """Return the name of the unlabeled faces, `none` where there are none."""
    return str(run.setting("unlabeled.name") or "none")


def own_settings(run: Run) -> Iterator[tuple[str, Any]]:
    """Yield every setting of a run under its dotted key, but what parts were told of where it lies and resumes from.

    What is new and changes nothing is left out too, so that older runs are like those of today.
    """
    for key, value in flat(run.config):
        if not key.endswith((".run_dir", ".ckpt_path")) and (key not in SINCE or value != SINCE[key]):
            yield key, value


def draw_of(run: Run) -> str:
    """Return the seeds and splits of a run, equal for runs that can be paired, wherever their split files lie."""
    return ", ".join(Path(str(run.setting(key))).name for key in sorted(DRAW_KEYS - {"run_dir", "ckpt_path"}))


def drop_repeats(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Keep the newest of runs that differ in nothing, so that no seed counts twice.

    Raises DataError for runs that differ in their data alone.
    """
    alike: dict[tuple[object, ...], list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.path / "metrics.json").stat().st_mtime):
        same = alike.setdefault((config_hash(run), draw_of(run), run.labels_per_class, test_faces(run)), [])
        for other in same:
            _require_same_data(other, run)
        same.append(run)
    kept = {id(same[-1]) for same in alike.values()}
    return [run for run in runs if id(run) in kept], [run for run in runs if id(run) not in kept]


def _require_same_data(*runs: Run) -> None:
    folders = {Path(str(run.setting("data.root"))).name for run in runs}  # other machines have other folders above it
    faces = zip(*map(_faces, runs), strict=True)
    if len(folders) > 1 or any(one != other for one, other in faces if None not in (one, other)):
        told = (f"{run.path} (data.root={run.setting('data.root')} {_split(run)}{_pool_root(run)})" for run in runs)
        raise DataError(
            f"{' and '.join(told)} are runs of {runs[0].name} of one seed, but on different data, so neither repeats "
            "the other; report them from separate directories, or give each data its own name=<name>"
        )


def _split(run: Run) -> str:
    return f"data.split_file={setting_text(run, 'data.split_file', 'null')}"


def _pool_root(run: Run) -> str:
    return "" if (root := run.setting("unlabeled.root")) is None else f" unlabeled.root={root}"


def _faces(run: Run) -> tuple[object, object]:
    """Return what data.json tells of a run's faces, None where that is nothing that repeats must share."""
    data = run.data or {}
    whole = None if run.setting("data.pseudo_labels") else data.get("manifest_sha256")  # has their labels in it
    return whole, data.get("per_class", {}).get("labeled")


def experiments(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Yield the runs of every experiment, by labels per class, name and pool."""

    def key(run: Run) -> tuple[float, str, str, str]:
        return budget(run), run.name, pool_name(run), setting_text(run, "trainer.max_steps")

    for _, group in groupby(sorted(runs, key=key), key):
        yield list(group)


def budget(run: Run) -> float:
    """Return the labels per class of a run, infinite where all are used."""
    return inf if run.labels_per_class is None else float(run.labels_per_class)


def folds(runs: Sequence[Run]) -> list[str]:
    """Return the folds that runs were scored on, in order; none where the test split is no fold."""
    return sorted({setting_text(run, FOLD_KEYS[0]) for run in runs} - {"-"}, key=lambda fold: fold.zfill(9))


def known_precisions(runs: Sequence[Run]) -> set[str]:
    """Return the precisions in which runs noted to be computed; those of two are no fair pair."""
    return {str(run.score("train.precision")) for run in runs} - {"None"}


def precisions(runs: Sequence[Run]) -> list[str]:
    """Return the precisions in which runs were computed, `-` for one that did not note it."""
    return sorted({str(run.score("train.precision") or "-") for run in runs})


def setting_text(run: Run, key: str, otherwise: str = "-") -> str:
    """Return a setting as text, `otherwise` where it is null or absent."""
    value = run.setting(key)
    return otherwise if value is None else str(value)


def mixture(runs: Sequence[Run]) -> list[str]:
    """Return the settings, beyond the seeds, in which runs differ."""
    flats = [{key: repr(value) for key, value in settings(run).items()} for run in runs]
    keys = set().union(*flats)
    differing = {key for key in keys if len({each.get(key) for each in flats}) > 1}
    return sorted(differing | ({"unlabeled.root"} if _other_pools(runs) else set()))


def _other_pools(runs: Sequence[Run]) -> bool:
    """Say whether pools at several roots cannot be one: no number of faces is all runs' before leaks were dropped."""
    roots = {setting_text(run, "unlabeled.root") for run in runs}
    told = [data for run in runs if (data := run.data) and "pool" in data.get("faces", {})]
    held, leaked = [data["faces"]["pool"] for data in told], [data.get("leaked", 0) for data in told]
    return len(roots) > 1 and max(held, default=0) > min(map(sum, zip(held, leaked, strict=True)), default=0)
