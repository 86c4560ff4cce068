"""Ends at chosen moments: Ctrl-C, a scheduler's signal or a kill in every phase of a run."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from comparing import assert_same_run
from running import TINY, trained

from fer_ssl import run as running_code
from fer_ssl.callbacks.checkpoint import DirectIO
from fer_ssl.checkpoints import read_checkpoint
from fer_ssl.data.module import FaceData
from fer_ssl.module import SemiSupervised

OPTIONS = (
    "epoch_steps=3", "trainer.max_steps=8", "callback.checkpoint.every_n_steps=2", "callback.checkpoint.best=true",
    "threshold.floor=0.1", "threshold.init=0.1", "ckpt_path=auto",
)  # fmt: skip
PHASES: dict[str, tuple[Any, str, int]] = {  # where, and at which call of it
    "data loading": (FaceData, "setup", 1),
    "the first step": (SemiSupervised, "training_step", 1),
    "a step in the middle": (SemiSupervised, "training_step", 5),
    "the last step of an epoch": (SemiSupervised, "training_step", 6),
    "validation": (SemiSupervised, "validation_step", 2),
    "writing a checkpoint": (DirectIO, "save_checkpoint", 3),
    "scoring at the end": (running_code, "_score_splits", 1),
    "writing the report": (running_code, "write_report", 1),
}
FAST = ("a step in the middle", "validation")


class KilledError(Exception):
    """Stands for the end of the process."""


def before(patch: pytest.MonkeyPatch, phase: str, fault: Callable[[], None]) -> None:
    """Have `fault` happen at the beginning of a phase."""
    owner, name, call = PHASES[phase]
    original, calls = getattr(owner, name), iter(range(1, 1000))

    def broken(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            fault()
        return original(*args, **kwargs)

    patch.setattr(owner, name, broken)


def killed() -> None:
    raise KilledError


@pytest.fixture(autouse=True)
def hears_ctrl_c() -> Iterator[None]:
    """Let tests hear Ctrl-C that run behind `&`, which a shell starts deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    trained(folder, *OPTIONS)
    return folder


@pytest.mark.parametrize(
    "phase", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in PHASES]
)
def test_ctrl_c_leaves_a_run_that_goes_on(phase: str, whole: Path, tmp_path: Path, found: Callable[..., None]) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        before(patch, phase, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, *OPTIONS)
    assert signal.getsignal(signal.SIGINT) == handler
    assert not list(tmp_path.rglob("*.partial"))
    trained(tmp_path, *OPTIONS)
    assert_same_run(whole, tmp_path)
    found(f"Ctrl-C: {phase}", 1, "0", "ends clean, goes on to the same result")


@pytest.mark.parametrize("phase", ["validation", pytest.param("writing a checkpoint", marks=pytest.mark.slow)])
def test_a_kill_between_two_phases_is_made_good(phase: str, whole: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        before(patch, phase, killed)
        with pytest.raises(KilledError):
            trained(tmp_path, *OPTIONS)
    trained(tmp_path, *OPTIONS)
    assert_same_run(whole, tmp_path)


@pytest.mark.slow
def test_ctrl_c_on_the_command_line(tmp_path: Path, found: Callable[..., None]) -> None:
    long = ("trainer.max_steps=100000", "callback.checkpoint.every_n_steps=100000", f"hydra.run.dir={tmp_path}")
    command = [sys.executable, "-m", "fer_ssl.train", *(each for each in TINY if "max_steps" not in each), *long]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = []
        for line in process.stdout or ():
            lines.append(line)
            if line.startswith("step 3/"):
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130, lines
    assert "Traceback" not in "".join(lines)
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["global_step"] >= 3
    found("Ctrl-C on the command line", 1, "0", "exit status 130, saved at the end of the step, no traceback")


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(whole: Path, tmp_path: Path) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        before(patch, "a step in the middle", twice)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, *OPTIONS)
    trained(tmp_path, *OPTIONS)
    assert_same_run(whole, tmp_path)
