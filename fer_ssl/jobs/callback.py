"""The journal of a sweep under any launcher of Hydra, and the jobs of ours that end with their sweep."""

import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from fer_ssl.jobs.journal import DONE, JOURNAL, Entry, now, read_journal, record
from fer_ssl.jobs.pool import IN_SWEEP

log = logging.getLogger(__name__)


class Journal(Callback):
    """Write what becomes of every job into the sweep directory; a failed job stops no other.

    At the end the jobs that did not succeed are named, and the exit status is 1.
    """

    def __init__(self) -> None:
        self.began = now()
        self.entry: Entry | None = None

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        if os.environ.get(IN_SWEEP):
            Thread(target=_end_with_sweep, daemon=True).start()

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        if config.hydra.mode is RunMode.MULTIRUN:
            self.entry = Entry(config.hydra.sweep.subdir, "running", list(config.hydra.overrides.task))
            record(_journal(config), self.entry)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        if self.entry is None:
            return
        failed = job_return.status is JobStatus.FAILED
        error = str(job_return._return_value) if failed else None
        self.entry = replace(self.entry, state="failed" if failed else "finished", end=now(), error=error)
        record(_journal(config), self.entry)
        if failed:
            log.error("%s", self.entry)
            # Hydra would raise the first failure once all jobs are through, and name no other
            job_return.status, job_return.return_value = JobStatus.COMPLETED, None

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        entries = read_journal(_journal(config)).values()
        failed = [entry for entry in entries if (entry.end or entry.start) >= self.began and entry.state not in DONE]
        if failed:
            print("\n".join([f"{len(failed)} jobs failed:", *map(str, failed)]), file=sys.stderr)
            raise SystemExit(1)


def _journal(config: DictConfig) -> Path:
    return Path(config.hydra.sweep.dir) / JOURNAL


def _end_with_sweep() -> None:
    """Wait for the end of the sweep, which holds the other side of standard input, and end this job's processes."""
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)
