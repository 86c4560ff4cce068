"""`hydra/launcher=jobs`: every job of a multirun is a process of its own."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from fer_ssl.errors import FerError
from fer_ssl.jobs.command import arguments, program
from fer_ssl.jobs.folders import require_own_folders
from fer_ssl.jobs.journal import JOURNAL, Entry, now, record
from fer_ssl.jobs.pool import Job, Pool

log = logging.getLogger(__name__)


class JobsLauncher(Launcher):
    """Run jobs as commands that could be typed by hand, `workers` at a time, each with its console.log."""

    def __init__(
        self,
        workers: int = 1,
        timeout_min: float | None = None,
        grace_s: float = 60.0,
        devices: Sequence[int] | None = None,
    ) -> None:
        timeout_s = None if timeout_min is None else 60 * timeout_min
        self.pool = Pool(workers, timeout_s, grace_s, devices)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        sweep_dir = Path(self.config.hydra.sweep.dir)
        sweep_dir.mkdir(parents=True, exist_ok=True)
        log.info("%d jobs, %d at a time; journal: %s", len(job_overrides), self.pool.workers, sweep_dir / JOURNAL)
        jobs = [self._job(list(overrides), initial_job_idx + n) for n, overrides in enumerate(job_overrides)]
        try:
            self._require_own_folders(jobs)
            self.pool.run(self._unfinished(jobs, sweep_dir / JOURNAL), sweep_dir / JOURNAL, _tell)
        except FerError as error:
            raise CompactHydraException(f"error: {error}") from None
        return [JobReturn(overrides=each, status=JobStatus.COMPLETED) for each in job_overrides]  # Journal tells

    def _require_own_folders(self, jobs: Sequence[tuple[Job, DictConfig]]) -> None:
        sweep = cast(dict[str, Any], OmegaConf.to_container(self.config.hydra.sweep, resolve=False))
        groups = {str(group) for _, config in jobs for group in config.hydra.runtime.choices}
        require_own_folders([job for job, _ in jobs], sweep["subdir"], groups)

    def _unfinished(self, jobs: Sequence[tuple[Job, DictConfig]], journal: Path) -> Iterator[Job]:
        for job, config in jobs:
            if _is_finished(config, job.folder):
                log.info("%s is finished and left as it is", job.name)
                record(journal, Entry(job.name, "skipped", list(job.overrides), end=now()))
            else:
                yield job

    def _job(self, overrides: list[str], number: int) -> tuple[Job, DictConfig]:
        """Return a job and its configuration."""
        config = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = str(number), number
        with _current(config):
            name = str(config.hydra.sweep.subdir)
        folder = Path(config.hydra.sweep.dir) / name
        with read_write(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(folder.absolute())
        hydra = self.config.hydra
        command = [
            *program(),
            *arguments(hydra, hydra.job.config_name, overrides, folder),
            f"hydra.job.num={number}",
        ]
        return Job(name, command, overrides, folder), config


@contextmanager
def _current(config: DictConfig) -> Iterator[None]:
    """Let references such as ${hydra:runtime.output_dir} be those of a job's configuration."""
    outer = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(config)
        yield
    finally:
        HydraConfig.instance().cfg = outer


def _is_finished(config: DictConfig, folder: Path) -> bool:
    """Say whether a job ended before with this very configuration."""
    if config.get("ckpt_path") != "auto" or not (folder / "metrics.json").exists():
        return False
    from fer_ssl.claim import finished  # loads Lightning

    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    with _current(config):
        return finished(folder, task) is not None


def _tell(entry: Entry) -> None:
    if entry.state == "running":
        log.info("%s: started", entry.job)
    else:
        log.log(logging.ERROR if entry.error else logging.INFO, "%s", entry)
