"""Two runs held against each other, bit for bit."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

TIMED = {"images_per_second", "data_wait", "seconds"}


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a run's last checkpoint: student, teacher and the state of every part."""
    return dict(torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])


def assert_same_weights(first: Path, second: Path) -> None:
    assert differences(weights(first), weights(second)) == []


def state(run_dir: Path) -> dict[str, Any]:
    """Return all of a run's last checkpoint but its configuration."""
    checkpoint = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint.pop("config")
    checkpoint["callbacks"].pop("Telemetry")  # how long it took
    return checkpoint


def differences(first: Any, second: Any, name: str = "") -> list[str]:
    """Return the names of what differs in two trees of tensors and plain values."""
    if isinstance(first, dict):
        if first.keys() != second.keys():
            return [name]
        return [found for key in first for found in differences(first[key], second[key], f"{name}.{key}")]
    if isinstance(first, list | tuple):
        if len(first) != len(second):
            return [name]
        pairs = enumerate(zip(first, second, strict=True))
        return [found for row, pair in pairs for found in differences(*pair, f"{name}.{row}")]
    if isinstance(first, torch.Tensor):
        same = first.shape == second.shape and torch.equal(first.nan_to_num(), second.nan_to_num())
        return [] if same else [name]
    return [] if first == second else [name]


def history(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "history.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key not in TIMED} for row in csv.DictReader(file)]


def metrics(run_dir: Path) -> dict[str, Any]:
    results = json.loads((run_dir / "metrics.json").read_text())
    results["train"] = {key: value for key, value in results["train"].items() if key not in TIMED}
    results["environment"].pop("commit")  # of the code beside the runs, which may be committed between them
    return results


def assert_same_run(whole: Path, broken: Path) -> None:
    """Fail where weights, thresholds, optimizer, loops, history, scores or predictions of two runs differ."""
    assert differences(state(whole), state(broken)) == []
    assert history(whole) == history(broken)
    assert differences(metrics(whole), metrics(broken)) == []
    assert (broken / "report.html").exists()
    names = ("predictions.parquet", "pseudo_labels.parquet", "manifest.parquet")
    assert all(pq.read_table(whole / name).equals(pq.read_table(broken / name)) for name in names)
