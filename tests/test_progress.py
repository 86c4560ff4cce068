"""The lines of progress in a log file."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from fer_ssl.callbacks.progress import LineProgress


@pytest.mark.parametrize(("steps", "told"), [(100_000, "27:46:39 left"), (76, "00:01:15 left")])
def test_time_left_may_be_more_than_a_day(
    steps: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter((0.0, 1.0))
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    trainer: Any = SimpleNamespace(
        global_step=0, max_steps=steps, log_every_n_steps=1, is_global_zero=True, progress_bar_metrics={"loss": 1.0}
    )
    lines = LineProgress()
    lines.on_train_start(trainer, trainer)
    trainer.global_step = 1
    lines.on_train_batch_end(trainer)
    assert capsys.readouterr().out == f"step 1/{steps}  1.00 it/s  {told}  loss 1.000\n"
