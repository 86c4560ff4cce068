"""Commands run side by side, each in a process group of its own: no crash, hang or time-out reaches the others."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from fer_ssl.errors import ConfigError
from fer_ssl.jobs.journal import Entry, State, now, record

LOOK_S = 0.1  # between looks at the running jobs
REQUEUE = 75  # exit status of a run that saved itself to be started again (EX_TEMPFAIL of sysexits.h)
IN_SWEEP = "FER_SSL_IN_SWEEP"  # set for a job whose standard input ends when the sweep does
ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


@dataclass(frozen=True)
class Job:
    """A command with its name, the overrides it stands for, and the folder that gets its output."""

    name: str
    command: Sequence[str]
    overrides: Sequence[str]
    folder: Path

    @property
    def console(self) -> Path:
        """The file that all attempts at the job append their output to."""
        return self.folder / "console.log"

    def unwanted(self) -> State | None:
        """Return the state in which the job is to be ended early, None to let it go on."""
        return None


class Attempt:
    """A job while it runs; ending early means SIGTERM, and SIGKILL for its whole group `grace_s` later."""

    def __init__(self, job: Job, environment: Mapping[str, str], timeout_s: float | None, grace_s: float) -> None:
        job.folder.mkdir(parents=True, exist_ok=True)
        self.job, self.grace_s, self.timeout_s = job, grace_s, timeout_s
        self.entry = Entry(job.name, "running", list(job.overrides))
        self.before = job.console.stat().st_size if job.console.exists() else 0
        self.started, self.kill_at = time.monotonic(), inf
        self.asked: State | None = None
        with job.console.open("ab") as console:
            self.process = subprocess.Popen(
                job.command,
                stdin=subprocess.PIPE,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )

    def leave(self, state: State) -> None:
        """Ask the job to save itself and go; it will be counted as `state`."""
        if self.asked is None:
            self.asked, self.kill_at = state, time.monotonic() + self.grace_s
            self.process.terminate()

    def look(self) -> Entry | None:
        """Return the last entry of a job that has ended, None for one that runs."""
        status = self.process.poll()
        if status is None:
            self._enforce()
            return None
        self.kill()  # ranks and data workers that it may have left
        if self.process.stdin:
            self.process.stdin.close()
        state, error = self._outcome(status)
        return replace(self.entry, state=state, end=now(), exit=status, error=error)

    def _enforce(self) -> None:
        elapsed = time.monotonic() - self.started
        unwanted = self.job.unwanted()
        if self.timeout_s is not None and elapsed > self.timeout_s:
            self.leave("timed_out")
        elif unwanted:
            self.leave(unwanted)
        if time.monotonic() > self.kill_at:
            self.kill()

    def kill(self) -> None:
        """End the job and all that it started, now."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _outcome(self, status: int) -> tuple[State, str | None]:
        if status == 0:
            return "finished", None
        if self.asked == "timed_out":
            return "timed_out", f"timed out after {self.timeout_s:.0f} s"
        if self.asked or status == REQUEUE:
            return self.asked or "stopped", None
        if status < 0:
            return "failed", f"killed by {signal.Signals(-status).name}"
        return "failed", self._last_words() or f"exit status {status}"

    def _last_words(self) -> str:
        """Return the sentence of a user's mistake, or the last line of a traceback."""
        with self.job.console.open("rb") as console:
            console.seek(self.before)
            lines = [line.strip() for line in console.read().decode(errors="replace").splitlines()]
        told = [line for line in lines if line and not line.startswith("Set the environment variable HYDRA_FULL_ERROR")]
        return told[-1] if told else ""


@dataclass(frozen=True)
class Pool:
    """How many jobs run at a time, for how long, and which GPUs they share.

    `devices` are divided over the workers as CUDA_VISIBLE_DEVICES; CPU threads are divided where OMP_NUM_THREADS is
    not set. A job past `timeout_s` gets `grace_s` seconds to save itself.
    """

    workers: int = 1
    timeout_s: float | None = None
    grace_s: float = 60.0
    devices: Sequence[int] | None = None

    def run(self, jobs: Iterable[Job], journal: Path, tell: Callable[[Entry], None]) -> None:
        """Run every job and keep the journal; `jobs` is asked for the next one only when a worker is free.

        A signal that asks this process to leave is passed on; once all jobs have left, SystemExit is raised. Raises
        ConfigError where there is no worker.
        """
        if self.workers < 1:
            raise ConfigError(f"{self.workers} workers run nothing; set hydra.launcher.workers=1 (tune.workers=1)")
        waiting, running = iter(jobs), dict[int, Attempt]()

        def changed(entry: Entry) -> None:
            record(journal, entry)
            tell(entry)

        with _listening() as heard, _none_left(running):
            while True:
                for slot, job in zip(self._free(running), () if heard else waiting, strict=False):
                    running[slot] = Attempt(job, self._environment(slot), self.timeout_s, self.grace_s)
                    changed(running[slot].entry)
                if not running:
                    break
                time.sleep(LOOK_S)
                for slot, attempt in list(running.items()):
                    if heard:
                        attempt.leave("stopped")
                    if entry := attempt.look():
                        del running[slot]
                        changed(entry)
        if heard:
            raise SystemExit(130 if heard[0] == signal.SIGINT else REQUEUE)

    def _free(self, running: Mapping[int, Attempt]) -> list[int]:
        return [slot for slot in range(self.workers) if slot not in running]

    def _environment(self, slot: int) -> dict[str, str]:
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        environment = {"OMP_NUM_THREADS": str(threads)} if self.workers > 1 else {}
        environment |= os.environ | {IN_SWEEP: "1"}
        if self.devices:
            mine = self.devices[slot :: self.workers] or [self.devices[slot % len(self.devices)]]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, mine))
        return environment


@contextmanager
def _listening() -> Iterator[list[int]]:
    """Collect the signals that ask this process to leave."""
    heard: list[int] = []
    before = {number: signal.signal(number, lambda number, _: heard.append(number)) for number in ASKING}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _none_left(running: Mapping[int, Attempt]) -> Iterator[None]:
    """End the jobs that still run where an error ends this process."""
    try:
        yield
    finally:
        for attempt in running.values():
            attempt.kill()
        for attempt in running.values():
            with suppress(subprocess.TimeoutExpired):
                attempt.process.wait(timeout=10)
