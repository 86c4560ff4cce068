"""kill -9 at random moments: the run that goes on ends as the one that nobody killed."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from comparing import assert_same_run
from faulting import Started, start

from fer_ssl.checkpoints import newest_whole, read_checkpoint

EVERY = 3
OPTIONS = (
    "epoch_steps=10", f"callback.checkpoint.every_n_steps={EVERY}", "trainer.log_every_n_steps=4",
    "threshold.floor=0.1", "threshold.init=0.1", "callback.checkpoint.best=true", "ckpt_path=auto",
)  # fmt: skip


def saved_step(run_dir: Path) -> int:
    path = newest_whole(run_dir / "checkpoints")
    return 0 if path is None else int(read_checkpoint(path)["global_step"])


def killed_at_random(run: Started, moment: random.Random) -> bool:
    """Kill the run as it starts or some steps after its first, however fast it is; say whether it still lived."""
    starting = time.monotonic() + (moment.uniform(0, 1) if moment.random() < 0.2 else 60)
    while run.process.is_alive() and run.steps[0] < 0 and time.monotonic() < starting:
        time.sleep(0.002)
    if run.steps[0] >= 0:
        last = run.steps[0] + moment.randint(0, 2 * EVERY)
        while run.process.is_alive() and run.steps[0] < last:
            time.sleep(0.002)
        time.sleep(moment.uniform(0, 0.01))
    run.process.kill()
    return run.wait() == -9


def survive(folder: Path, steps: int, kills: int) -> tuple[int, list[int], list[int]]:
    """Kill a run `kills` times, let it end; return the kills, the steps lost and those a checkpoint had held."""
    moment, lost, held, count = random.Random(0), [], [], 0
    options = (*OPTIONS, f"trainer.max_steps={steps}")
    assert start(folder / "whole", *options).wait(600) == 0
    broken = folder / "broken"
    while count < kills:
        run = start(broken, *options)
        if not killed_at_random(run, moment):
            break
        count += 1
        resumes = saved_step(broken)
        if run.steps[0] >= 0:
            lost.append(max(0, run.steps[0] - resumes))
            held.append(max(0, run.steps[1] - resumes))
    assert start(broken, *options).wait(600) == 0
    assert_same_run(folder / "whole", broken)
    return count, lost, held


def test_a_few_kills_change_nothing(tmp_path: Path) -> None:
    kills, lost, held = survive(tmp_path, steps=60, kills=4)
    assert kills == 4
    assert max(lost) <= EVERY
    assert max(held) == 0


@pytest.mark.slow
def test_fifty_kills_change_nothing(tmp_path: Path, found: Callable[..., None]) -> None:
    kills, lost, held = survive(tmp_path, steps=600, kills=60)
    assert kills >= 50
    assert max(lost) <= EVERY
    assert sum(held) == 0
    found(
        "`kill -9` at random moments of one run, checkpoint every 3 steps", kills,
        f"{sum(lost)} in all, {max(lost)} at most ({sum(held)})",
        "resumed with `ckpt_path=auto`: weights, thresholds, optimizer, history, scores, predictions equal the "
        "unbroken run's bit for bit",
    )  # fmt: skip
