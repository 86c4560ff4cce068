"""The table over runs: who stands with whom, and what is left out."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from statistics import stdev

import pytest
from running import composed

from fer_ssl.errors import DataError
from fer_ssl.reports import write_table

Make = Callable[..., Path]


def write(folder: Path) -> str:
    return write_table([folder], folder / "docs" / "results.md").read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """Return the cells of all rows but the heads."""
    lines = [
        line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| experiment", "| ---"))
    ]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_seeds_are_averaged(make_scored: Make, tmp_path: Path) -> None:
    shifts = [0.0, 0.011, 0.031]
    for seed, shift in enumerate(shifts):
        make_scored(f"dtm/{seed}", shift, seed=seed)
    (cells,) = rows(write(tmp_path))
    assert cells[:5] == ["dtm_infonce", "25", "lfw", "4000", "3 (0, 1, 2)"]
    assert cells[5] == f"{43.36 + 1.4:.2f} ± {100 * stdev(shifts):.2f}"
    assert cells[8:11] == ["61.4", "73.2", "20.5"]
    assert re.fullmatch(r"`[0-9a-f]{8}`", cells[12])


def test_rows_of_two_precisions_are_told_apart(make_scored: Make, tmp_path: Path) -> None:
    for seed, precision in enumerate(("32-true", "bf16-mixed")):
        path = make_scored(f"dtm/{seed}", seed=seed) / "metrics.json"
        metrics = json.loads(path.read_text())
        metrics["train"]["precision"] = precision
        path.write_text(json.dumps(metrics))
    make_scored("old", name="fixmatch")
    assert [cells[11] for cells in rows(write(tmp_path))] == ["32-true, bf16-mixed", "-"]


def test_one_seed_has_no_deviation(make_scored: Make, tmp_path: Path) -> None:
    make_scored("only")
    assert rows(write(tmp_path))[0][5] == "43.36 ± -"


def test_protocols_stand_apart(make_scored: Make, tmp_path: Path) -> None:
    make_scored("small")
    make_scored("large", image_size=112)
    make_scored("long", trainer={"max_steps": 8000})
    text = write(tmp_path)
    assert text.count("Protocol: ") == 3
    assert "Protocol: data fer2013, 112 px, 4000 steps, batch 32 labeled + 96 unlabeled, backbone resnet18." in text


def test_labels_of_another_kind_stand_apart(make_scored: Make, tmp_path: Path) -> None:
    data = {"name": "fer2013", "labels_per_class": 25, "split_seed": 0, "test_split": "PublicTest"}
    for labels in ("fer2013", "ferplus_majority"):
        make_scored(labels, data={**data, "labels": labels})
    text = write(tmp_path)
    assert [cells[4] for cells in rows(text)] == ["1 (0)", "1 (0)"]
    assert text.count("Protocol: data fer2013 (labels ferplus_majority, test_split PublicTest), ") == 1


def test_supervised_baseline_joins_the_methods_it_is_compared_with(make_scored: Make, tmp_path: Path) -> None:
    make_scored("dtm")
    make_scored("wide", name="fixmatch", batch={"labeled": 32, "unlabeled": 224})
    make_scored("base", name="supervised", unlabeled=None)
    names = [cells[0] for cells in rows(write(tmp_path))]
    assert names == ["dtm_infonce", "supervised", "fixmatch", "supervised"]


def test_the_gain_over_the_baseline_is_paired_over_common_seeds(make_scored: Make, tmp_path: Path) -> None:
    for seed, (shift, base) in enumerate([(0.06, 0.04), (0.06, 0.01), (0.09, None)]):
        make_scored(f"dtm/{seed}", shift, seed=seed)
        if base is not None:
            make_scored(f"supervised/{seed}", base, seed=seed, name="supervised", unlabeled=None)
    dtm, supervised = rows(write(tmp_path))
    assert dtm[6] == f"{+3.5:+.2f} ± {stdev([2.0, 5.0]):.2f} (2 of 3)"
    assert supervised[6] == "-"


def test_runs_of_one_seed_in_a_row_that_mixes_settings_are_all_paired(make_scored: Make, tmp_path: Path) -> None:
    for shift, rate in ((0.01, 0.1), (0.03, 0.3)):
        make_scored(f"dtm/{rate}", shift, optim={"lr": rate})
    make_scored("supervised", name="supervised")
    assert rows(write(tmp_path))[0][6] == "+2.00 ± 1.41"


def test_a_baseline_on_other_labels_is_none(make_scored: Make, tmp_path: Path) -> None:
    make_scored("dtm", 0.02)
    make_scored("base", name="supervised", unlabeled=None, data={"name": "fer2013", "labels_per_class": 100})
    assert [cells[6] for cells in rows(write(tmp_path))] == ["-", "-"]


def test_baselines_alone_have_a_table(make_scored: Make, tmp_path: Path) -> None:
    make_scored("base", name="supervised", unlabeled={"name": "none"}, batch={"labeled": 32})
    text = write(tmp_path)
    assert "batch 32 labeled, backbone" in text
    assert rows(text)[0][2] == "none"


def test_budgets_are_rows_in_order(make_scored: Make, tmp_path: Path) -> None:
    for labels in (100, None, 25):
        make_scored(f"l{labels}", data={"name": "fer2013", "labels_per_class": labels})
    assert [cells[1] for cells in rows(write(tmp_path))] == ["25", "100", "all"]


def test_a_repeated_run_counts_once(make_scored: Make, tmp_path: Path) -> None:
    old, new = make_scored("old"), make_scored("new", 0.05)
    os.utime(old / "metrics.json", (1, 1))
    text = write(tmp_path)
    assert rows(text)[0][4:6] == ["1 (0)", "48.36 ± -"]
    assert f"a repeat of the same configuration and seed: `{old}`" in text
    assert str(new) not in text


def test_a_row_that_mixes_settings_says_which(make_scored: Make, tmp_path: Path) -> None:
    make_scored("a", seed=0)
    make_scored("b", seed=1, optim={"lr": 0.1})
    text = write(tmp_path)
    assert "dtm_infonce mixes settings: `optim.lr`." in text
    assert rows(text)[0][12].count("`") == 4


def test_a_run_from_before_a_part_that_does_nothing_is_like_one_of_today(make_scored: Make, tmp_path: Path) -> None:
    make_scored("a", seed=0)
    make_scored("b", seed=1, refit={"_target_": "fer_ssl.refit.AsTrained"})
    text = write(tmp_path)
    assert "mixes settings" not in text
    assert rows(text)[0][4] == "2 (0, 1)"
    assert composed("run_dir=.").refit == {"_target_": "fer_ssl.refit.AsTrained"}


def test_runs_that_are_left_out_are_named_with_the_reason(make_scored: Make, tmp_path: Path) -> None:
    make_scored("done")
    crashed = make_scored("crashed")
    (crashed / "metrics.json").unlink()
    unscored = make_scored("unscored")
    (unscored / "metrics.json").write_text('{"val": {"macro_f1": 0.5}}')
    (tmp_path / "done" / ".hydra").mkdir()
    (tmp_path / "done" / ".hydra" / "config.yaml").write_text("a: 1")
    text = write(tmp_path)
    assert [line for line in text.splitlines() if "Left out" in line] == [
        f"- Left out, unfinished: `{crashed}`.",
        f"- Left out, not scored on the test split: `{unscored}`.",
    ]


def test_unknown_accuracy_is_a_dash(make_scored: Make, tmp_path: Path) -> None:
    path = make_scored("run") / "metrics.json"
    path.write_text(path.read_text().replace('"accuracy": 0.7319', '"accuracy": null'))
    assert rows(write(tmp_path))[0][8:10] == ["61.4", "-"]


def test_what_was_right_weighs_by_what_was_kept(make_scored: Make, tmp_path: Path) -> None:
    folder = make_scored("run")
    rows_of_history = ["step,pseudo/keep_rate,pseudo/accuracy", "50,1,0", "95,0.3,0.6", "100,0.1,0.2"]
    (folder / "history.csv").write_text("\n".join(rows_of_history) + "\n")
    assert rows(write(tmp_path))[0][8:10] == ["61.4", "50.0"]


def test_rows_of_two_pools_are_told_apart(make_scored: Make, tmp_path: Path) -> None:
    for pool in ("lfw", "same"):
        folder = make_scored(pool, unlabeled={"name": pool})
        (folder / "history.csv").write_text("step,count/Fear\n100,4\n")
    text = write(tmp_path)
    assert "| dtm_infonce (25, lfw) | share |" in text
    assert "| dtm_infonce (25) | share |" in text


def test_no_run_is_an_error(make_scored: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished run"):
        write_table([tmp_path], tmp_path / "results.md")
    (make_scored("trial") / "metrics.json").write_text('{"val": {"macro_f1": 0.5}}')
    with pytest.raises(DataError, match=r"trial: not scored on the test split\): train one"):
        write_table([tmp_path], tmp_path / "results.md")
    assert not (tmp_path / "results.md").exists()
