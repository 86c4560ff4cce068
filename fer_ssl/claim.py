"""A run directory belongs to one run at a time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from fer_ssl.errors import ConfigError
from fer_ssl.jobs.lock import held


@contextmanager
def claimed(run_dir: Path, cfg: DictConfig) -> Iterator[None]:
    """Hold `run_dir` and write the resolved configuration into it, before anything is loaded.

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
            (run_dir / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))
        except OSError as error:
            raise _unwritable(run_dir, error) from None
        yield


def finished(run_dir: Path, cfg: DictConfig) -> dict[str, Any] | None:
    """Return the metrics of a run that ended in `run_dir` with this very configuration, None where there is none."""
    metrics, config = run_dir / "metrics.json", run_dir / "config.yaml"
    if not metrics.exists() or not config.exists() or config.read_text() != OmegaConf.to_yaml(cfg, resolve=True):
        return None
    results: dict[str, Any] = json.loads(metrics.read_text())
    return results


def _unwritable(run_dir: Path, error: OSError) -> ConfigError:
    return ConfigError(f"run directory {run_dir} cannot be written ({error}); set hydra.run.dir=<dir>")
