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
    assert logger.tail_mean("pseudo/keep_rate", share=0.2) == pytest.approx(0.95)
    assert logger.tail_mean("pseudo/accuracy", share=0.2) is None


def test_the_accuracy_of_kept_faces_weighs_a_line_by_how_many_it_kept(tmp_path: Path) -> None:
    logger = HistoryLogger(str(tmp_path))
    logger.log_metrics({"pseudo/keep_rate": 0.0}, step=99)  # none kept: no accuracy
    logger.log_metrics({"pseudo/keep_rate": 0.1, "pseudo/accuracy": 1.0}, step=100)
    logger.log_metrics({"pseudo/keep_rate": 0.3, "pseudo/accuracy": 0.6}, step=101)
    assert logger.tail_mean("pseudo/accuracy", 0.1, weights="pseudo/keep_rate") == pytest.approx(0.7)
