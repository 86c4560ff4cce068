"""Pseudo-labels by class, as the table over runs tells them."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_ssl.reports.diagnosis import diagnosis
from fer_ssl.reports.run import Run

CLASSES = ["Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other"]


@pytest.fixture
def logged(make_scored: Callable[..., Path]) -> Callable[..., Run]:
    """Return a function that makes a run whose last tenth logged what it is given, after something else."""

    def make(folder: str, late: dict[str, float], early: dict[str, float] | None = None) -> Run:
        path = make_scored(folder)
        base = {f"count/{name}": 10.0 for name in CLASSES} | {f"keep/{name}": 0.2 for name in CLASSES}
        rows = [{"step": step, **base, **(early or {})} for step in range(10, 91, 10)]
        rows += [{"step": 95, **base, **late}, {"step": 100, **base, **late}]
        columns = dict.fromkeys(column for row in rows for column in row)
        with (path / "history.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(columns))
            writer.writeheader()
            writer.writerows(rows)
        return Run(path)

    return make


def cells(lines: list[str], measure: str) -> list[str]:
    (line,) = [line for line in lines if f"| {measure} |" in line]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_last_tenth_is_averaged_over_steps_and_seeds(logged: Callable[..., Run]) -> None:
    runs = [logged("a", {"count/Anger": 130.0, "keep/Fear": 0.5}), logged("b", {"keep/Fear": 0.3, "right/Fear": 0.25})]
    lines = list(diagnosis([runs], lambda run: run.name))
    share = cells(lines, "share")
    assert share[:2] == ["dtm_infonce", "share"]
    assert share[3] == f"{(100 * 130 / 200 + 100 * 10 / 80) / 2:.0f}"
    assert cells(lines, "kept")[5] == "40"
    assert cells(lines, "right")[5] == "25"
    assert cells(lines, "right")[3] == "-"
    assert cells(lines, "tau")[2] == "-"


def test_lines_weigh_by_the_pseudo_labels_they_are_of(make_scored: Callable[..., Path]) -> None:
    path = make_scored("a")
    rows = ["step,count/Fear,keep/Fear,right/Fear", "80,900,1,0.5", "95,100,0.5,0.2", "98,300,0.1,0.8", "99,20,0,"]
    (path / "history.csv").write_text("\n".join(rows) + "\n")
    lines = list(diagnosis([[Run(path)]], lambda run: run.name))
    assert cells(lines, "kept")[5] == f"{100 * (50 + 30) / 420:.0f}"
    assert cells(lines, "right")[5] == f"{100 * (10 + 24) / 80:.0f}"


def test_runs_without_pseudo_labels_have_no_rows(make_scored: Callable[..., Path]) -> None:
    assert list(diagnosis([[Run(make_scored("supervised"))]], lambda run: run.name)) == []


def test_a_class_that_is_kept_no_more_has_no_figure(logged: Callable[..., Run]) -> None:
    run = logged("a", {"right/Fear": 0.25}, early={"right/Sadness": 1.0, "right/Fear": 1.0})
    lines = list(diagnosis([[run]], lambda run: run.name))
    assert cells(lines, "right")[5] == "25"
    assert cells(lines, "right")[7] == "-"
