"""history.csv: sparse rows, resumed runs, means of the end."""

import csv
from pathlib import Path

import pytest

from fer_ssl.loggers import HistoryLogger


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_of_a_step_are_merged_and_missing_values_blank(tmp_path: Path) -> None:
    logger = HistoryLogger(str(tmp_path))
    logger.log_metrics({"train/loss": 2.0}, step=10)
    logger.log_metrics({"val/macro_f1": 0.5}, step=10)
    logger.log_metrics({"train/loss": 1.0}, step=20)
    assert rows(tmp_path) == [
        {"step": "10", "train/loss": "2.0", "val/macro_f1": "0.5"},
        {"step": "20", "train/loss": "1.0", "val/macro_f1": ""},
    ]


def test_a_resumed_run_replaces_what_came_after(tmp_path: Path) -> None:
    first = HistoryLogger(str(tmp_path))
    for step in (10, 20, 30):
        first.log_metrics({"train/loss": float(step)}, step=step)
    HistoryLogger(str(tmp_path)).log_metrics({"train/loss": 7.0}, step=20)
    assert [(row["step"], row["train/loss"]) for row in rows(tmp_path)] == [("10", "10.0"), ("20", "7.0")]


def test_tail_means_average_the_end_and_say_none_for_what_was_never_logged(tmp_path: Path) -> None:
    logger = HistoryLogger(str(tmp_path))
    for step in range(10, 101, 10):
        logger.log_metrics({"pseudo/keep_rate": step / 100}, step=step)
    means = logger.tail_means(("pseudo/keep_rate", "pseudo/accuracy"), share=0.2)
    assert means == {"keep_rate": pytest.approx(0.95), "accuracy": None}
