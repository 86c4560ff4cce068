"""A pool of commands: whatever one does, the others end well and the journal tells what it was."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from fer_ssl.errors import ConfigError
from fer_ssl.jobs.journal import Entry, State, read_journal
from fer_ssl.jobs.pool import REQUEUE, Job, Pool

HANG = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
POLITE = f"import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit({REQUEUE})); time.sleep(60)"


def job(folder: Path, name: str, program: str) -> Job:
    return Job(name, [sys.executable, "-c", program], [f"seed={name}"], folder / name)


def run(folder: Path, pool: Pool, **programs: str) -> dict[str, Entry]:
    pool.run((job(folder, *each) for each in programs.items()), folder / "jobs.jsonl", lambda entry: None)
    return read_journal(folder / "jobs.jsonl")


FAULTS: dict[str, tuple[str, State, str]] = {
    "raises": ("raise ValueError('no such face')", "failed", "ValueError: no such face"),
    "exits": ("import os; os._exit(3)", "failed", "exit status 3"),
    "killed": ("import os; os.kill(os.getpid(), 9)", "failed", "killed by SIGKILL"),
    "crashes": ("import os; os.abort()", "failed", "killed by SIGABRT"),
    "deaf": (HANG, "timed_out", "timed out after 1 s"),
    "polite": (POLITE, "timed_out", "timed out after 1 s"),
    "leaves": (f"raise SystemExit({REQUEUE})", "stopped", ""),
}


def test_no_fault_reaches_another_job(tmp_path: Path) -> None:
    programs = {name: program for name, (program, _, _) in FAULTS.items()}
    entries = run(tmp_path, Pool(workers=3, timeout_s=1, grace_s=0.3), **programs, well="print('done')")
    assert entries.pop("well").state == "finished"
    assert {name: (each.state, each.error or "") for name, each in entries.items()} == {
        name: (state, error) for name, (_, state, error) in FAULTS.items()
    }
    assert entries["killed"].exit == -signal.SIGKILL
    assert all(each.end and each.end > each.start for each in entries.values())
    assert (tmp_path / "well" / "console.log").read_text() == "done\n"


def test_no_worker_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"0 workers run nothing; set hydra\.launcher\.workers"):
        run(tmp_path, Pool(workers=0), a="")


def test_workers_bound_how_many_run(tmp_path: Path) -> None:
    count = textwrap.dedent(f"""
        import os, time, pathlib
        mine = pathlib.Path({str(tmp_path)!r}, f"here{{os.getpid()}}")
        mine.touch()
        print(len(list(mine.parent.glob("here*"))))
        time.sleep(0.3)
        mine.unlink()
    """)
    run(tmp_path, Pool(workers=2), **dict.fromkeys("abcde", count))
    seen = {int((tmp_path / name / "console.log").read_text()) for name in "abcde"}
    assert max(seen) == 2


def test_workers_share_devices_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    show = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS']); time.sleep(.5)"
    run(tmp_path, Pool(workers=2, devices=[0, 1, 2]), a=show, b=show)
    threads = max(1, (os.cpu_count() or 1) // 2)
    assert {(tmp_path / name / "console.log").read_text() for name in "ab"} == {f"0,2 {threads}\n", f"1 {threads}\n"}


def test_what_a_job_started_ends_with_it(tmp_path: Path) -> None:
    leaving = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)"
    run(tmp_path, Pool(), a=leaving)
    left = int((tmp_path / "a" / "console.log").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{left}").exists() and "Z" not in Path(f"/proc/{left}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_unwanted_job_is_ended_as_what_it_is_unwanted_for(tmp_path: Path) -> None:
    class Hopeless(Job):
        def unwanted(self) -> State | None:
            return "pruned"

    hopeless = Hopeless("a", [sys.executable, "-c", "import time; time.sleep(60)"], [], tmp_path / "a")
    Pool(grace_s=5).run([hopeless], tmp_path / "jobs.jsonl", lambda entry: None)
    assert read_journal(tmp_path / "jobs.jsonl")["a"].state == "pruned"


def test_an_error_leaves_no_job_behind(tmp_path: Path) -> None:
    def broken(entry: Entry) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Pool().run([job(tmp_path, "a", f"{HANG} # {tmp_path}")], tmp_path / "jobs.jsonl", broken)
    assert subprocess.run(["pgrep", "-f", f"{tmp_path}"], capture_output=True, check=False).stdout == b""


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, REQUEUE), (signal.SIGINT, 130)])
def test_a_signal_is_passed_on_and_no_further_job_is_started(tmp_path: Path, sent: int, status: int) -> None:
    pool = f"""
        import sys
        from pathlib import Path
        from fer_ssl.jobs.pool import Job, Pool
        folder = Path({str(tmp_path)!r})
        jobs = [Job(name, [sys.executable, "-c", {POLITE!r}], [], folder / name) for name in ("first", "second")]
        Pool(grace_s=20).run(jobs, folder / "jobs.jsonl", lambda entry: print(entry.state, flush=True))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(pool)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "running\n"
    time.sleep(0.3)
    process.send_signal(sent)
    assert process.wait(timeout=20) == status
    assert {name: each.state for name, each in read_journal(tmp_path / "jobs.jsonl").items()} == {"first": "stopped"}
