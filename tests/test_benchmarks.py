"""The benchmark suite measures in turns, compares what belongs together, and runs."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from pathlib import Path

import pytest
import torch
import yaml
from ablation import write_ablations
from bench import SUITE
from beside import write_beside
from compare import compared, figures
from gpu import measure_gpu
from heads import with_lines, write_heads
from limits import TOLD, limits, linear, write_limits
from loops import adacm_step, bare_step, fixmatch_loss, networks, our_step, parameter_by_parameter, ready, usb_step
from measuring import Options, Pairs, Skipped, in_turns
from recipe import write_recipe
from results import FACES
from running import composed, trained
from shares import write_shares
from summary import write_summary
from trials import trials
from writing import markdown, row

from fer_ssl.check import check
from fer_ssl.method.functional import consistency_loss
from fer_ssl.nn.ema import update_ema
from fer_ssl.scoring import Features
from fer_ssl.trees import flat

ROOT = Path(__file__).parent.parent


def test_both_sides_are_timed_in_turns_after_the_warm_up() -> None:
    order: list[str] = []
    pairs = in_turns(lambda: order.append("a"), lambda: order.append("b"), repeats=3, warmup=1, calls=(1, 2))
    assert "".join(order) == "bba" + "abb" + "bba" + "abb"
    assert len(pairs.ours) == len(pairs.reference) == 3


def test_the_ratio_is_the_median_of_the_ratios() -> None:
    pairs = Pairs([1.0, 2.0, 9.0], [1.0, 4.0, 3.0])
    seconds = pairs.seconds("step", "bare")
    assert (seconds.ours, seconds.reference, seconds.ratio) == (2.0, 3.0, 1.0)
    rates = pairs.rates("step", "bare", count=12)
    assert (rates.ours, rates.reference, rates.ratio) == (6.0, 4.0, 1.0)
    assert pairs.rates("step", "bare", 1).ratio == pytest.approx(1 / seconds.ratio)


def entry(ratio: float, name: str = "step") -> dict[str, object]:
    measurement = asdict(Pairs([ratio], [1.0]).seconds(name, "bare", "<= 1.03"))
    machine = {"date": "2020-01-01", "commit": "abc", "threads": 2, "cores": 2, "cpu": "X", "torch": "2"}
    facts = machine | {"device": "cpu", "bf16": False, "huge_pages": True}
    return {"about": "Yield steps.", "machine": facts, "measurements": [measurement]}


def test_files_are_compared_by_what_was_measured_against_what() -> None:
    first, second = figures({"a": entry(2.0), "b": entry(1.0, "old")}), figures({"a": entry(1.0)})
    lines = list(compared(first, second))
    assert lines[2:] == ["| step | bare | 2 | 1 | 0.500 |", "only in A: old"]


def test_the_page_holds_every_entry_with_its_machine() -> None:
    page = markdown({"step": entry(1.25), "gpu": entry(1.0) | {"measurements": [], "skipped": "no device."}})
    assert "| step | bare | s | 1.25 | 1 | 1.250 | <= 1.03 |" in page
    assert "2 threads on 2 cores of X (without bf16), huge pages, torch 2." in page
    assert "Skipped: no device." in page


def test_a_small_ratio_keeps_its_digits() -> None:
    assert " 0.00123 " in row(asdict(Pairs([0.00123], [1.0]).seconds("ema", "step")))


def test_the_peers_average_is_the_average() -> None:
    torch.manual_seed(0)
    ours, theirs = (networks("test_resnet", "cpu", torch.contiguous_format) for _ in range(2))
    for student, _ in (ours, theirs):
        for parameter in student.parameters():
            torch.nn.init.constant_(parameter, 0.5)
    update_ema(ours[1], ours[0], 0.9, "copy")
    parameter_by_parameter(theirs[1], theirs[0], 0.9)
    for name, value in ours[1].state_dict().items():
        torch.testing.assert_close(theirs[1].state_dict()[name], value)


def test_the_bare_loop_has_the_loss_of_the_framework() -> None:
    logits = [torch.randn(8, 7, generator=torch.Generator().manual_seed(seed)) * 3 for seed in range(3)]
    labels, (confidence, targets) = torch.arange(8) % 7, logits[2].softmax(1).max(1)
    expected = torch.nn.functional.cross_entropy(logits[0], labels) + consistency_loss(
        logits[1], targets, (confidence >= 0.95).float()
    )
    torch.testing.assert_close(fixmatch_loss(logits[0], labels, logits[1], logits[2]), expected)


@pytest.mark.parametrize("step", [our_step, bare_step, usb_step, adacm_step])
def test_every_step_learns_its_batch(step: object) -> None:
    assert callable(step)
    run = step(ready(8, 8, side=24), "test_resnet")
    losses = [float(run()) for _ in range(8)]
    assert losses[-1] < losses[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_without_a_gpu_its_part_says_so() -> None:
    with pytest.raises(Skipped, match="no CUDA device"):
        next(measure_gpu(Options()))


def test_the_script_keeps_the_entries_it_does_not_measure(tmp_path: Path) -> None:
    figures_file, page = tmp_path / "a.json", tmp_path / "a.md"
    figures_file.write_text(json.dumps({"ema": entry(1.0, "old EMA"), "step": entry(9.0, "old step")}))
    command = [sys.executable, "benchmarks/bench.py", "--quick", "--only", "step"]
    done = subprocess.run(
        [*command, "--json", figures_file, "--markdown", page], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(figures_file.read_text())
    assert found.keys() == {"ema", "step"} <= SUITE.keys()
    assert found["step"]["measurements"][0]["pairs"] == 2
    assert "old EMA" in page.read_text()
    assert "old step" not in page.read_text()


def test_a_head_holds_the_lines_of_what_was_measured() -> None:
    text = "# @package _global_\n# What it is.\nname: one # two\n"
    first = with_lines(text, ["31.5", "32.5"])
    assert first == "# @package _global_\n# What it is.\n# Measured: 31.5\n# Measured: 32.5\nname: one # two\n"
    assert with_lines(first, ["33.5"]) == first.replace("31.5", "33.5").replace("# Measured: 32.5\n", "")
    assert with_lines(first, []) == text


def test_no_record_tells_where_on_a_machine_its_run_lay() -> None:
    configs = sorted((ROOT / "docs" / "runs").rglob("config.yaml"))
    assert len(configs) > 200
    for path in configs:
        told = [value for _, value in flat(yaml.safe_load(path.read_text())) if isinstance(value, str)]
        assert not [value for value in told if Path(value).is_absolute()], path


def test_a_head_tells_of_the_teacher_and_its_last_student(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "self_training.yaml").write_text("# Rounds.\nname: self_training\n")
    for seed, number in product((0, 1), (0, 1, 10)):
        place = tmp_path / "rounds" / f"seed{seed}" / f"round_{number}"
        place.mkdir(parents=True)
        name = {"name": f"self_training_round{number}", "seed": seed, "unlabeled": {"name": "same"}}
        (place / "config.yaml").write_text(json.dumps(name))
        scores = {"test": {"macro_f1": (40 + number + 2 * seed) / 100}, "train": {"seconds": 60}}
        (place / "metrics.json").write_text(json.dumps(scores))
    write_heads(tmp_path, folder, {})
    told = "macro-F1 41.00 ± 1.41 of the teacher, 51.00 ± 1.41 of student 10, 2 seeds, 3.0 min"
    assert (
        folder / "self_training.yaml"
    ).read_text() == f"# Rounds.\n# Measured: procedural faces: {told}\nname: self_training\n"


def test_the_heads_of_the_experiments_tell_what_the_records_hold(tmp_path: Path) -> None:
    ours = ROOT / "conf" / "experiment"
    copies = Path(shutil.copytree(ours, tmp_path / "experiment"))
    write_heads(ROOT / "docs" / "runs", copies, {name: parts for name, (_, *parts) in FACES.items()})
    head = (copies / "supervised.yaml").read_text()
    assert "# Measured: procedural faces: macro-F1 " in head
    assert all(f"# Measured: +protocol={protocol}, 100 labels" in head for protocol in ("p1", "p2"))
    for path in ours.glob("*.yaml"):
        assert (copies / path.name).read_text() == path.read_text(), "run python benchmarks/results.py table"


@pytest.mark.parametrize(
    ("name", "write", "suite", "line"),
    [
        ("recipe.md", write_recipe, "recipe", "| scratch | labels alone | 10 | 32.16 |"),
        ("ablations.md", write_ablations, "ablation", "| `no_pool` | No unlabeled faces: the supervised baseline |"),
        ("recipe.md", write_shares, "", "| contrast between five views | 27.3 | 34.9 |  |"),
        ("peers.md", write_beside, "", "| FixMatch, 100 | 28.70 | 35.02 |"),
    ],
)
def test_a_page_shows_its_records(
    name: str, write: Callable[[Path, Path], None], suite: str, line: str, tmp_path: Path
) -> None:
    page, ours = tmp_path / name, (ROOT / "docs" / name).read_text()
    page.write_text(ours)
    write(ROOT / "docs" / "runs" / suite, page)
    assert page.read_text() == ours, "run python benchmarks/results.py table"
    assert line in page.read_text()


def test_the_recipe_shows_what_holds_a_run_back(tmp_path: Path) -> None:
    page, figures = tmp_path / "recipe.md", ROOT / "docs" / "runs" / "limits.json"
    page.write_text((ROOT / "docs" / "recipe.md").read_text())
    write_limits(figures, page)
    assert page.read_text() == (ROOT / "docs" / "recipe.md").read_text(), "run python benchmarks/results.py table"
    assert all(f" | {told}" in page.read_text() for told in TOLD.values())


def test_the_model_that_is_held_back_is_the_one_that_was_scored(tmp_path: Path) -> None:
    results = trained(tmp_path / "run", "+experiment=fixmatch", "score=[test]")
    found = limits(tmp_path / "run")
    assert found.keys() == TOLD.keys()
    assert found["model"]["macro_f1"] == pytest.approx(results["test"]["macro_f1"], abs=1e-6)


def test_a_linear_classifier_reads_what_features_hold() -> None:
    torch.manual_seed(0)
    labels = torch.arange(300) % 3
    features = torch.eye(3)[labels].repeat(1, 2) + 0.1 * torch.randn(300, 6)
    seen = Features(features, labels)
    assert (linear(seen, 1e-4, 3)(features).argmax(1) == labels).all()
    flat_weights = linear(seen, 1e4, 3)(features).softmax(1)
    torch.testing.assert_close(flat_weights, torch.full((300, 3), 1 / 3), atol=1e-2, rtol=0)


def test_the_readme_shows_the_records(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text((ROOT / "README.md").read_text())
    write_summary(ROOT / "docs" / "runs", page)
    assert page.read_text() == (ROOT / "README.md").read_text(), "run python benchmarks/results.py table"
    scores = [
        100 * json.loads(file.read_text())["test"]["macro_f1"]
        for file in sorted((ROOT / "docs" / "runs" / "p1").glob("best_100_seed?/metrics.json"))
    ]
    row = next(line for line in page.read_text().splitlines() if line.startswith("| our recipe, `best` |"))
    assert row.split(" | ")[2].startswith(f"{sum(scores) / 3:.2f} ± ")


def test_every_trial_of_the_recipe_composes(tmp_path: Path) -> None:
    names = []
    for name, overrides in trials(tmp_path, tmp_path / "last.ckpt", [10]):
        check(composed(*overrides, f"run_dir={tmp_path}"))
        names.append(name)
    assert {"best_seed10", "best_pretrained_seed10"} < set(names)
