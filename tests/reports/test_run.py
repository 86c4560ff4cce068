"""Reading of run directories, whole and broken."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fer_ssl.errors import DataError
from fer_ssl.reports import Run

Make = Callable[..., Path]


def test_history_keeps_only_logged_steps(whole_run: Path) -> None:
    run = Run(whole_run)
    assert len(run.history["train/loss"].steps) == 200
    np.testing.assert_array_equal(run.history["val/macro_f1"].steps, np.arange(0, 4000, 400))
    assert list(run.family("tau")) == run.classes
    assert run.history["pseudo/keep_rate"].values[0] == pytest.approx(0.2)


def test_settings_and_scores_are_found_by_dotted_key(whole_run: Path) -> None:
    run = Run(whole_run)
    assert (run.name, run.setting("batch.unlabeled"), run.score("pseudo.keep_rate")) == ("dtm_infonce", 96, 0.6142)
    assert run.setting("seed.deeper") is None
    assert run.score("test.nothing") is None


def test_optional_files_may_be_absent(make_scored: Make) -> None:
    run = Run(make_scored("bare"))
    assert (run.history, run.predictions, run.pseudo_labels, run.data, run.rejected) == ({}, None, None, None, 0)


@pytest.mark.parametrize("name", ["config.yaml", "metrics.json"])
def test_directory_without_essentials_is_no_run(make_scored: Make, name: str) -> None:
    folder = make_scored("run")
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"no finished run, it has no {name}"):
        Run(folder)


def test_a_run_that_has_not_ended_is_told_how_to_end(make_scored: Make) -> None:
    folder = make_scored("run")
    (folder / "metrics.json").unlink()
    with pytest.raises(DataError, match=rf"end it by its command with hydra\.run\.dir={folder} ckpt_path=auto$"):
        Run(folder)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metrics.json", "{"),
        ("metrics.json", "[1]"),
        ("config.yaml", "a: [1"),
        ("config.yaml", "!!python/object:os.x {}"),
    ],
)
def test_broken_essentials_are_named(make_scored: Make, name: str, text: str) -> None:
    folder = make_scored("run")
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=name):
        Run(folder)


@pytest.mark.parametrize("text", ["step,train/loss\n1,high\n", "epoch\n1\n", "step,a\n,2\n"])
def test_broken_history_names_the_line(make_scored: Make, text: str) -> None:
    folder = make_scored("run")
    (folder / "history.csv").write_text(text)
    with pytest.raises(DataError, match=r"history\.csv line 2"):
        _ = Run(folder).history


def test_broken_parquet_is_named(make_scored: Make) -> None:
    folder = make_scored("run")
    (folder / "predictions.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"predictions\.parquet"):
        _ = Run(folder).predictions


def test_counts_of_data_and_rejected_rows(whole_run: Path) -> None:
    run = Run(whole_run)
    assert run.rejected == 2
    assert run.data == json.loads((run.path / "data.json").read_text())
