"""`hydra/launcher=jobs`: every job of a multirun is a process of its own."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from fer_ssl.errors import FerError
from fer_ssl.jobs.command import arguments, program
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
        jobs = (self._job(list(overrides), initial_job_idx + n) for n, overrides in enumerate(job_overrides))
        try:
            self.pool.run(self._unfinished(jobs, sweep_dir / JOURNAL), sweep_dir / JOURNAL, _tell)
        except FerError as error:
            raise CompactHydraException(f"error: {error}") from None
        return [JobReturn(overrides=each, status=JobStatus.COMPLETED) for each in job_overrides]  # Journal tells

    def _unfinished(self, jobs: Iterator[tuple[Job, bool]], journal: Path) -> Iterator[Job]:
        for job, finished in jobs:
            if finished:
                log.info("%s is finished and left as it is", job.name)
                record(journal, Entry(job.name, "skipped", list(job.overrides), end=now()))
            else:
                yield job

    def _job(self, overrides: list[str], number: int) -> tuple[Job, bool]:
        """Return a job, and whether it ended before with this very configuration."""
        outer = HydraConfig.instance().cfg
        config = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = str(number), number
        try:
            HydraConfig.instance().set_config(config)
            name = str(config.hydra.sweep.subdir)
            folder = Path(config.hydra.sweep.dir) / name
            with read_write(config.hydra.runtime):
                config.hydra.runtime.output_dir = str(folder.absolute())
            HydraConfig.instance().set_config(config)
            hydra = self.config.hydra
            command = [
                *program(),
                *arguments(hydra, hydra.job.config_name, overrides, folder),
                f"hydra.job.num={number}",
            ]
            return Job(name, command, overrides, folder), _is_finished(config, folder)
        finally:
            HydraConfig.instance().cfg = outer


def _is_finished(config: DictConfig, folder: Path) -> bool:
    if config.get("ckpt_path") != "auto" or not (folder / "metrics.json").exists():
        return False
    from fer_ssl.claim import finished  # loads Lightning

    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return finished(folder, task) is not None


def _tell(entry: Entry) -> None:
    if entry.state == "running":
        log.info("%s: started", entry.job)
    else:
        log.log(logging.ERROR if entry.error else logging.INFO, "%s", entry)
