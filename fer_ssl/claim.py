"""A run directory belongs to one run at a time."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from fer_ssl.errors import ConfigError, StorageError
from fer_ssl.files import FULL, LOCKED, whole
from fer_ssl.jobs.lock import held
from fer_ssl.masking import masked_tree
from fer_ssl.since import SINCE
from fer_ssl.trees import flat

log = logging.getLogger(__name__)

KEPT = ("metrics.json", "checkpoints/last.ckpt")  # what would be a loss
# of an earlier run in the folder; the metrics first: with them a run looks finished
OF_THE_END = (
    "metrics.json", "report.html", "predictions.parquet", "pseudo_labels.parquet", "views.png", "rejected.csv",
)  # fmt: skip


@contextmanager
def claimed(run_dir: Path, cfg: DictConfig) -> Iterator[None]:
    """Hold `run_dir`, before anything is loaded, and write the resolved configuration into it if no run is there.

    The first rank holds it for all. Raises ConfigError for a directory that cannot be written or that a living run
    holds; the hold of a run that was killed ends with it.
    """
    if getattr(rank_zero_only, "rank", 0):
        yield
        return
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = (run_dir / ".lock").open("w")
    except OSError as error:
        raise _unwritable(run_dir, error) from None
    with lock:
        if not held(lock.fileno()):
            raise ConfigError(f"another run is writing to {run_dir}; wait for its end, or set hydra.run.dir=<dir>")
        try:
            if not _holds_run(run_dir):
                _write_config(run_dir, cfg)
        except OSError as error:
            raise _unwritable(run_dir, error) from None
        with _storage_told(run_dir):
            yield


def begin(run_dir: Path, cfg: DictConfig) -> None:
    """Remove the results of an earlier run in `run_dir`, with a warning where none is resumed, and write `config.yaml`.

    Nothing may be left by then that could refuse the run: a mistake must not cost the results of another.
    """
    if cfg.ckpt_path is None and _holds_run(run_dir):
        log.warning("%s holds an earlier run, which this one replaces; hydra.run.dir=<dir> keeps it", run_dir)
    for name in OF_THE_END:
        (run_dir / name).unlink(missing_ok=True)
    _write_config(run_dir, cfg)


def finished(run_dir: Path, cfg: DictConfig) -> dict[str, Any] | None:
    """Return the metrics of a run that ended in `run_dir` with this very configuration, None where there is none.

    What it was to resume from does not count: a first run, typed again with `ckpt_path=auto`, is finished.
    """
    files = [run_dir / name for name in ("config.yaml", "metrics.json", "report.html")]
    if not all(file.exists() for file in files):
        return None
    if _without_start(files[0].read_text()) != _without_start(written(cfg)):
        return None
    results: dict[str, Any] = json.loads(files[1].read_text())
    return results


def written(cfg: DictConfig) -> str:
    """Return the resolved configuration as a run directory holds it: YAML without secrets."""
    return OmegaConf.to_yaml(OmegaConf.create(masked_tree(OmegaConf.to_container(cfg, resolve=True))))


def _holds_run(run_dir: Path) -> bool:
    return any((run_dir / name).exists() for name in KEPT)


def _write_config(run_dir: Path, cfg: DictConfig) -> None:
    with whole(run_dir / "config.yaml") as partial:
        partial.write_text(written(cfg))


def _without_start(text: str) -> dict[str, Any]:
    settings = SINCE | dict(flat(yaml.safe_load(text)))
    return {key: value for key, value in settings.items() if key.rpartition(".")[2] != "ckpt_path"}


@contextmanager
def _storage_told(run_dir: Path) -> Iterator[None]:
    """Raise StorageError for a disk that is full or can no longer be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL + LOCKED:
            raise
        state = "is full" if error.errno in FULL else "can no longer be written"
        raise StorageError(
            f"the disk of {run_dir} {state} ({error}); mend that, then go on from the last checkpoint with "
            f"ckpt_path=auto hydra.run.dir={run_dir}"
        ) from None


def _unwritable(run_dir: Path, error: OSError) -> ConfigError:
    return ConfigError(f"run directory {run_dir} cannot be written ({error}); set hydra.run.dir=<dir>")
