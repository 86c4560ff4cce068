"""The report of a sweep: what may be averaged, what is missing, and the same numbers in every form."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pages import Page
from pyarrow import parquet
from shifted import SEEDS, SHIFTS

from fer_ssl.errors import ConfigError, DataError
from fer_ssl.jobs.journal import Entry, record
from fer_ssl.report import main
from fer_ssl.reports.sweep import read_sweep

Make = Callable[..., Path]
EARLY = "2020-01-01T00:00:00.000+00:00"  # before any file of a test


def predict(run: Path, share: float, seed: int, faces: slice = slice(None)) -> None:
    """Write test predictions for `faces` of 400, of which about `share` are right."""
    labels = np.random.default_rng(0).integers(0, 8, 400)
    draw = np.random.default_rng(seed)
    guesses = np.where(draw.random(400) < share, labels, draw.integers(0, 8, 400))
    columns = {"id": [f"f{n}" for n in range(400)], "split": ["test"] * 400, "label": labels, "prediction": guesses}
    parquet.write_table(pa.table(columns)[faces], run / "predictions.parquet")


def written(sweep: Path) -> tuple[dict[str, dict[str, str]], str]:
    """Return the rows of sweep.csv by experiment, and sweep.md."""
    assert main([str(sweep)]) == [sweep / f"sweep.{form}" for form in ("md", "tex", "csv", "html")]
    with (sweep / "sweep.csv").open(newline="") as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    return rows, (sweep / "sweep.md").read_text()


def test_numbers_are_means_and_paired_differences(sweep: Path) -> None:
    rows, text = written(sweep)
    ours, base = SHIFTS["no_infonce"], SHIFTS["full"]
    assert float(rows["no_infonce"]["macro_f1"]) == pytest.approx(0.4336 + mean(ours))
    assert float(rows["no_infonce"]["macro_f1_std"]) == pytest.approx(stdev(ours))
    difference = mean(a - b for a, b in zip(ours, base, strict=True))
    assert float(rows["no_infonce"]["mean_over_runs"]) == pytest.approx(difference)
    assert float(rows["no_pool"]["p_over_runs"]) == 0.25
    assert rows["full"]["baseline"] == rows["full"]["mean_over_runs"] == ""
    assert f"| {100 * (0.4336 + mean(ours)):.2f} ± {100 * stdev(ours):.2f} | {100 * difference:+.2f} |" in text
    assert f"| {100 * difference:+.2f} | - | {float(rows['no_infonce']['p_over_runs']):.3f} | 3 runs |" in text
    assert rows["no_pool"]["low_over_runs"] == "", "three runs tell no interval"
    assert "| no_pool | 61.4 | 73.2 | 20.5 | 512 | - |" in text
    assert "data: fer2013; labels per class: 25; backbone: resnet18; steps: 4000; experiments: 3; runs: 9; " in text


def test_one_pair_has_a_difference_and_no_more(make_scored: Make, tmp_path: Path) -> None:
    make_scored("sweep/full", 0.0, name="full")
    make_scored("sweep/other", 0.05, name="other")
    _, text = written(tmp_path / "sweep")
    assert "| +5.00 | - | - | 1 run |" in text


def test_thresholds_are_drawn_where_something_is_cut_off(make_scored: Make, tmp_path: Path) -> None:
    for name, tau in (("softmatch", 0.0), ("fixmatch", 0.95)):
        folder = make_scored(f"sweep/{name}", name=name)
        (folder / "history.csv").write_text(f"step,tau/Fear\n0,{tau}\n10,{tau}\n")
    main([str(tmp_path / "sweep")])
    below = (tmp_path / "sweep" / "sweep.html").read_text().partition("<h2>Thresholds</h2>")[2]
    assert "fixmatch" in below
    assert "softmatch" not in below


def test_runs_of_two_precisions_are_told(make_scored: Make, tmp_path: Path) -> None:
    for name, precision in (("full", "32-true"), ("other", "bf16-mixed")):
        file = make_scored(f"sweep/{name}", name=name) / "metrics.json"
        results = json.loads(file.read_text())
        results["train"]["precision"] = precision
        file.write_text(json.dumps(results))
    rows, text = written(tmp_path / "sweep")
    assert rows["other"]["precision"] == "bf16-mixed"
    assert "| full | 61.4 | 73.2 | 20.5 | 512 | 32-true |" in text
    assert "Runs of two precisions" in text
    assert "| +0.00 | - | - | 1 run of two precisions |" in text
    assert "precision: 32-true, bf16-mixed" in text


def test_few_runs_are_compared_over_faces(sweep: Path) -> None:
    for seed in SEEDS:
        predict(sweep / f"full_seed{seed}", 0.7, seed)
        predict(sweep / f"no_pool_seed{seed}", 0.4, seed + 10)
    rows, text = written(sweep)
    assert float(rows["no_pool"]["high_over_faces"]) < 0
    assert float(rows["no_pool"]["p_over_faces"]) < 0.01
    assert rows["no_infonce"]["mean_over_faces"] == "", "its runs kept no predictions"
    (line,) = [line for line in text.splitlines() if line.startswith("| no_pool | 3 (0, 1, 2)")]
    assert "| < 0.001 | faces, 3 runs |" in line


def test_runs_of_which_one_could_not_read_a_face_are_compared_over_faces(sweep: Path) -> None:
    for seed in SEEDS:
        for name, share in (("full", 0.7), ("no_pool", 0.4)):
            predict(sweep / f"{name}_seed{seed}", share, seed, slice(seed, None))
    rows, _ = written(sweep)
    assert float(rows["no_pool"]["high_over_faces"]) < 0


def test_enough_runs_are_compared_over_runs(make_scored: Make, tmp_path: Path) -> None:
    for seed in range(6):
        predict(make_scored(f"sweep/full_{seed}", 0.0, name="full", seed=seed), 0.6, seed)
        predict(make_scored(f"sweep/other_{seed}", 0.01 + 0.001 * seed, name="other", seed=seed), 0.5, seed + 10)
    _, text = written(tmp_path / "sweep")
    assert "| 0.031 | 6 runs |" in text


def test_the_baseline_can_be_named(sweep: Path) -> None:
    main([str(sweep), "--baseline", "no_pool"])
    assert "Δ no_pool" in (sweep / "sweep.md").read_text()
    with pytest.raises(
        DataError, match=r"no runs of the baseline fixmatch; set --baseline full or no_infonce or no_pool"
    ):
        main([str(sweep), "--baseline", "fixmatch"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image_size": 112}, r"image_size is 112 in fixmatch, 48 in full_seed0 and 8 more"),
        ({"trainer": {"max_steps": 99}}, r"trainer\.max_steps is 99 in fixmatch"),
        ({"backbone": {"name": "resnet50"}}, r"backbone\.name is resnet50 in fixmatch"),
        ({"batch": {"labeled": 32, "unlabeled": 7}}, r"batch\.unlabeled is 7 in fixmatch"),
        ({"data": {"name": "ferplus", "labels_per_class": 25}}, r"data\.name is ferplus in fixmatch"),
    ],
)
def test_mixed_protocols_are_refused(sweep: Path, make_scored: Make, changes: dict[str, Any], told: str) -> None:
    make_scored("sweep/fixmatch", name="fixmatch", **changes)
    with pytest.raises(DataError, match=f"mixes protocols.*{told}.*--table FILE"):
        main([str(sweep)])
    assert not (sweep / "sweep.md").exists()


def test_runs_of_one_name_are_to_be_seeds(sweep: Path, make_scored: Make) -> None:
    make_scored("sweep/full_seed3", name="full", seed=3, optim={"lr": 0.1})
    with pytest.raises(DataError, match=r"runs of full that differ in optim\.lr, .* give each its own name="):
        main([str(sweep)])


def test_what_is_missing_is_named(sweep: Path, make_scored: Make) -> None:
    (make_scored("sweep/cut", name="full", seed=3) / "metrics.json").unlink()
    crashed = Entry("no_pool_seed3", "failed", [], exit=-9, error="killed by SIGKILL")
    for entry in (Entry("full_seed0", "finished", []), crashed, Entry("no_pool_seed4", "running", [])):
        record(sweep / "jobs.jsonl", entry)
    _, text = written(sweep)
    lines = ["- no_pool_seed3: killed by SIGKILL", "- no_pool_seed4: unfinished (running)", "- cut: unfinished"]
    assert text.splitlines()[-3:] == lines
    page = Page((sweep / "sweep.html").read_text())
    assert "Not in these tables" in page.words
    assert "no_pool_seed3: killed by SIGKILL" in page.words


def test_an_error_of_several_lines_is_told_on_one(sweep: Path) -> None:
    record(sweep / "jobs.jsonl", Entry("no_pool_seed3", "failed", [], error="Error in call to 'x':\n\tKeyError('&')\n"))
    _, text = written(sweep)
    told = "no_pool_seed3: Error in call to 'x': KeyError('&')\n"
    assert text.endswith(f"\n\n- {told}")
    assert f"% not in the tables: {told}" in (sweep / "sweep.tex").read_text()


def test_a_job_in_rounds_is_missing_only_where_it_failed(make_scored: Make, tmp_path: Path) -> None:
    for job, state in enumerate(("finished", "failed")):
        make_scored(f"sweep/{job}/round_0", name="round0", seed=job)
        record(tmp_path / "sweep" / "jobs.jsonl", Entry(str(job), state, [], error=state))
    assert read_sweep(tmp_path / "sweep").missing == ["1: failed"]


def test_scores_of_an_attempt_before_a_failed_one_do_not_count(sweep: Path) -> None:
    record(sweep / "jobs.jsonl", Entry("full_seed2", "failed", [], error="ValueError: no"))
    rows, text = written(sweep)
    assert rows["full"]["seeds"] == "0 1"
    assert rows["no_infonce"]["pairs"] == "2"
    assert text.endswith("- full_seed2: ValueError: no\n")


def test_a_run_that_was_finished_outside_its_sweep_counts(sweep: Path, make_scored: Make) -> None:
    record(sweep / "jobs.jsonl", Entry("full_seed3", "failed", [], start=EARLY, end=EARLY, error="the disk is full"))
    record(sweep / "jobs.jsonl", Entry("full_seed4", "running", [], start=EARLY))
    for seed in (3, 4):
        make_scored(f"sweep/full_seed{seed}", name="full", seed=seed)
    rows, text = written(sweep)
    assert rows["full"]["seeds"] == "0 1 2 3 4"
    assert "Not in the tables" not in text


def test_a_sweep_without_a_finished_run_says_what_became_of_it(tmp_path: Path) -> None:
    record(tmp_path / "jobs.jsonl", Entry("full_seed0", "failed", [], error="ValueError: no"))
    with pytest.raises(DataError, match=r"no finished run \(full_seed0: ValueError: no\): start its sweep once more"):
        main([str(tmp_path)])


def test_budgets_are_rows_with_a_baseline_each(make_scored: Make, tmp_path: Path) -> None:
    for labels in (25, 100):
        data = {"name": "fer2013", "labels_per_class": labels, "split_seed": 0}
        for name, shift in (("supervised", 0.0), ("fixmatch", labels / 1000)):
            make_scored(f"sweep/{name}_{labels}", shift, name=name, data=data)
    found = read_sweep(tmp_path / "sweep")
    assert [row.title for row in found.rows] == [
        "supervised (25)", "fixmatch (25)", "supervised (100)", "fixmatch (100)",
    ]  # fmt: skip
    gains = [
        ours.score("test.macro_f1") - theirs.score("test.macro_f1") for row in found.rows for ours, theirs in row.pairs
    ]
    assert gains == pytest.approx([0.025, 0.1])
    main([str(tmp_path / "sweep")])
    assert "labels per class" in (tmp_path / "sweep" / "sweep.html").read_text()


def test_budgets_of_split_files_are_rows_too(make_scored: Make, tmp_path: Path) -> None:
    for labels in (25, 100):
        for seed in SEEDS:
            data = {"name": "fer2013", "labels_per_class": None, "split_file": f"splits/{labels}_seed{seed}.json"}
            run = make_scored(f"sweep/{labels}_{seed}", labels / 1000, name="supervised", data=data, seed=seed)
            write_data(run, labels)
    assert [(row.title, len(row.runs)) for row in read_sweep(tmp_path / "sweep").rows] == [
        ("supervised (25)", 3), ("supervised (100)", 3),
    ]  # fmt: skip
    assert main([str(tmp_path / "sweep"), "--table", str(tmp_path / "table.md")])
    assert "| supervised | 100 |" in (tmp_path / "table.md").read_text()


def write_data(run: Path, labeled: int, test: int = 50) -> None:
    """Write how many faces of each class were labeled and are scored."""
    classes = json.loads((run / "metrics.json").read_text())["classes"]
    counts = {"labeled": dict.fromkeys(classes, labeled), "test": dict.fromkeys(classes, test)}
    (run / "data.json").write_text(json.dumps({"per_class": counts}))


def test_a_row_is_compared_with_the_baseline_of_its_own_pool(make_scored: Make, tmp_path: Path) -> None:
    for pool, shift in (("folder", 0.1), ("same", 0.3)):
        for name, gain in (("full", 0.0), ("no_infonce", -0.02)):
            make_scored(f"sweep/{name}_{pool}", shift + gain, name=name, unlabeled={"name": pool})
    found = read_sweep(tmp_path / "sweep")
    gains = {row.title: ours.score("test.macro_f1") - base.score("test.macro_f1") for row in found.rows
             for ours, base in row.pairs}  # fmt: skip
    assert gains == pytest.approx({"no_infonce (folder)": -0.02, "no_infonce (same)": -0.02})
    main([str(tmp_path / "sweep")])
    with (tmp_path / "sweep" / "sweep.csv").open(newline="") as file:
        assert [row["pool"] for row in csv.DictReader(file)] == ["folder", "same"] * 2


def test_data_of_one_name_with_other_test_faces_are_refused(make_scored: Make, tmp_path: Path) -> None:
    write_data(make_scored("sweep/supervised", name="supervised"), labeled=25, test=50)
    write_data(make_scored("sweep/fixmatch", name="fixmatch"), labeled=25, test=60)
    with pytest.raises(DataError, match=r"mixes protocols.* the test split is Neutral 60.*Neutral 50"):
        main([str(tmp_path / "sweep")])


def test_seeds_may_lie_in_different_places(make_scored: Make, tmp_path: Path) -> None:
    for seed, root in ((0, "/data"), (1, "/scratch")):
        data = {"name": "folder", "labels_per_class": None, "root": root, "workers": seed, "pseudo_labels": f"{root}/p"}
        make_scored(f"sweep/{seed}", name="full", seed=seed, data=data)
    (row,) = read_sweep(tmp_path / "sweep").rows
    assert len(row.runs) == 2


def test_a_baseline_is_for_a_sweep(sweep: Path) -> None:
    for arguments in ([str(sweep / "full_seed0")], [str(sweep), "--table", str(sweep / "table.md")]):
        with pytest.raises(ConfigError, match="--baseline names the row"):
            main([*arguments, "--baseline", "full"])
    with pytest.raises(ConfigError, match="there is no folder"):
        main([str(sweep / "nothing")])
