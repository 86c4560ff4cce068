"""Which runs are one another's repeats, and which only look so."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fer_ssl.errors import DataError
from fer_ssl.report import main
from fer_ssl.reports import write_table
from fer_ssl.reports.grouping import drop_repeats, find_runs
from fer_ssl.reports.sweep import read_sweep
from fer_ssl.reports.sweep_tables import markdown

Make = Callable[..., Path]


@pytest.fixture
def make_on(make_scored: Make) -> Make:
    """Return a function that writes a run on data of these settings, with what data.json tells of it."""

    def make(
        folder: str,
        told: dict[str, Any] | None = None,
        seed: int = 0,
        name: str = "full",
        pool: str | None = None,
        **data: Any,
    ) -> Path:
        settings = {"name": "prepared", "labels_per_class": 25, "split_seed": 0, "split_file": None} | data
        unlabeled = {"name": "lfw", "root": pool, "pool": {"root": pool}}
        run = make_scored(f"sweep/{folder}", seed=seed, name=name, data=settings, unlabeled=unlabeled)
        if told is not None:
            (run / "data.json").write_text(json.dumps(told))
        return run

    return make


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return tmp_path / "sweep"


def kept(sweep: Path) -> int:
    return len(drop_repeats(find_runs([sweep])[0])[0])


def test_a_seed_that_went_on_is_of_the_same_experiment_though_loggers_are_told(make_scored: Make, sweep: Path) -> None:
    for seed, path in enumerate((None, "auto")):
        make_scored(f"sweep/{seed}", seed=seed, ckpt_path=path, logger={"wandb": {"ckpt_path": path}})
    (row,) = read_sweep(sweep).rows
    assert len(row.runs) == 2


def test_runs_behind_links_are_found_once(make_on: Make, sweep: Path, tmp_path: Path) -> None:
    run = make_on("one")
    collected = tmp_path / "collected"
    collected.mkdir()
    (collected / "link").symlink_to(run)
    (collected / "again").symlink_to(run)
    (collected / "up").symlink_to(tmp_path)
    assert main([str(collected)]) == [collected / f"sweep.{form}" for form in ("md", "tex", "csv", "html")]
    (row,) = read_sweep(collected).rows
    assert len(row.runs) == 1


def test_what_wandb_keeps_beside_a_run_is_none(make_on: Make, sweep: Path) -> None:
    kept = make_on("one") / "wandb" / "run-20260101_000000-ab" / "files"
    kept.mkdir(parents=True)
    (kept / "config.yaml").write_text("wandb_version: 1\n")
    assert not read_sweep(sweep).missing


def test_a_run_on_another_machine_is_a_repeat(make_on: Make, sweep: Path) -> None:
    for machine in ("home", "scratch"):
        make_on(machine, {"manifest_sha256": "ab"}, root=f"/{machine}/fer2013")
    assert kept(sweep) == 1


def test_seeds_of_which_one_had_its_pool_on_another_machine_are_one_experiment(make_on: Make, sweep: Path) -> None:
    for seed, (machine, leaked) in enumerate({"home": 0, "scratch": 2}.items()):
        told = {"faces": {"pool": 100 - leaked}, "leaked": leaked}
        make_on(machine, told, seed=seed, pool=f"/{machine}/faces")
    make_on("record", seed=2, pool="faces")
    assert [len(row.runs) for row in read_sweep(sweep).rows] == [3]


@pytest.mark.parametrize(("folder", "count"), [("other", 100), ("faces", 99)])
def test_seeds_of_different_pools_are_none_of_one_experiment(
    make_on: Make, sweep: Path, folder: str, count: int
) -> None:
    make_on("one", {"faces": {"pool": 100}, "leaked": 0}, pool="/home/faces")
    make_on("other", {"faces": {"pool": count}, "leaked": 0}, seed=1, pool=f"/scratch/{folder}")
    with pytest.raises(DataError, match=r"differ in .*unlabeled\.root"):
        read_sweep(sweep)


def test_data_that_was_not_told_may_be_the_same(make_on: Make, sweep: Path) -> None:
    make_on("told", {"manifest_sha256": "ab"}, root="/data/fer2013")
    make_on("record", root="fer2013")
    assert kept(sweep) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"root": "prep/aligned"}, {"root": "prep/plain"}),
        ({"told": {"manifest_sha256": "ab"}}, {"told": {"manifest_sha256": "cd"}}),
        ({"split_file": "a/0.json", "told": {"per_class": {"labeled": {"Fear": 10}}}},
         {"split_file": "b/0.json", "told": {"per_class": {"labeled": {"Fear": 90}}}}),
    ],
)  # fmt: skip
def test_one_seed_on_different_data_is_refused(
    make_on: Make, sweep: Path, one: dict[str, Any], other: dict[str, Any]
) -> None:
    make_on("one", **one)
    make_on("other", **other)
    for report in (lambda: read_sweep(sweep), lambda: write_table([sweep], sweep / "table.md")):
        with pytest.raises(DataError, match=r"runs of full of one seed, but on different data.* name=<name>") as told:
            report()
        roots = [str(each.get("root")) for each in (one, other)]
        assert all(f"data.root={root} data.split_file=" in str(told.value) for root in roots)


def test_a_third_run_that_tells_nothing_hides_no_difference(make_on: Make, sweep: Path) -> None:
    for name, told in (("a", {"manifest_sha256": "ab"}), ("b", None), ("c", {"manifest_sha256": "cd"})):
        make_on(name, told)
    with pytest.raises(DataError, match="different data"):
        kept(sweep)


def test_pseudo_labels_of_its_own_make_no_other_data(make_on: Make, sweep: Path) -> None:
    for name in ("ab", "cd"):
        make_on(name, {"manifest_sha256": name}, pseudo_labels=f"{name}/pseudo_labels.parquet")
    assert kept(sweep) == 1


def test_split_files_of_one_name_may_be_two_budgets(make_on: Make, sweep: Path) -> None:
    for labels in (10, 100):
        told = {"per_class": {"labeled": {"Fear": labels}}}
        make_on(str(labels), told, labels_per_class=None, split_file=f"splits/{labels}/seed0.json")
    assert [row.labels for row in read_sweep(sweep).rows] == [10, 100]


def test_mixed_protocols_are_refused_before_repeats_are_dropped(make_on: Make, sweep: Path) -> None:
    for count in (300, 77):
        make_on(str(count), {"per_class": {"test": {"Fear": count}}}, root=f"set{count}")
    with pytest.raises(DataError, match=r"mixes protocols.*the test split is"):
        read_sweep(sweep)


def test_test_splits_of_other_faces_have_tables_of_their_own(make_on: Make, sweep: Path) -> None:
    for seed, count in enumerate((300, 77)):
        make_on(str(count), {"per_class": {"test": {"Neutral": count}}}, seed=seed)
    text = write_table([sweep], sweep / "table.md").read_text()
    assert text.count("| full | 25 | lfw | 4000 | 1 ") == 2
    assert all(f"backbone resnet18, test split Neutral {count}, Anger" in text for count in (300, 77))


def test_a_record_without_data_json_shares_the_table_of_its_test_faces(make_on: Make, sweep: Path) -> None:
    classes = json.loads((make_on("record") / "metrics.json").read_text())["classes"]
    make_on("whole", {"per_class": {"test": dict.fromkeys(classes, 150)}}, seed=1)
    text = write_table([sweep], sweep / "table.md").read_text()
    assert text.count("Protocol: ") == 1
    assert "test split" not in text.partition("Protocol: ")[2].partition("\n")[0]


@pytest.fixture
def make_folds(make_on: Make) -> Make:
    """Return a function that writes runs of one name on folds, of which each scored better than the one before."""

    def make(name: str, places: Sequence[int], shift: float = 0.0, **data: Any) -> None:
        for fold in places:
            told = {"per_class": {"test": {"Neutral": 10 + fold}}}
            run = make_on(f"{name}_{fold}", told, name=name, fold=fold, source={"fold": fold}, **data)
            results = json.loads((run / "metrics.json").read_text())
            results["test"]["macro_f1"] = 0.5 + 0.1 * fold + shift
            (run / "metrics.json").write_text(json.dumps(results))

    return make


def test_folds_share_a_table_though_each_has_test_faces_of_its_own(make_folds: Make, sweep: Path) -> None:
    make_folds("full", range(2))
    text = write_table([sweep], sweep / "table.md").read_text()
    assert text.count("Protocol: ") == 1
    assert "mixes settings" not in text
    assert "- The row full is over the folds 0, 1." in text


def test_a_fold_is_paired_with_itself(make_folds: Make, sweep: Path) -> None:
    make_folds("full", range(3), 0.02)
    make_folds("supervised", range(2))
    table = write_table([sweep], sweep / "table.md").read_text()
    assert "| 3 (0) | 62.00 ± 10.00 | +2.00 ± 0.00 (2 of 3) |" in table
    found = read_sweep(sweep, "supervised")
    gains = [
        ours.score("test.macro_f1") - theirs.score("test.macro_f1") for row in found.rows for ours, theirs in row.pairs
    ]
    assert gains == pytest.approx([0.02, 0.02])
    assert "data: prepared; folds: 0, 1, 2; " in markdown(found)


def test_folds_of_another_number_of_folds_are_another_protocol(make_folds: Make, sweep: Path) -> None:
    for folds, name in ((5, "full"), (10, "supervised")):
        make_folds(name, range(2), folds=folds)
    with pytest.raises(DataError, match=r"mixes protocols.* data\.folds is "):
        read_sweep(sweep)
