"""Whole runs: what several ranks train, save, score and log is what one trains on the same global batch."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from gloo import run_ranks
from running import TINY, trained

from fer_ssl import dist
from fer_ssl import run as running

STEPS = 4
COMMON = (
    f"trainer.max_steps={STEPS}", "optim=sgd", "trainer.precision=32-true", "data.source.test=43", "batch.unlabeled=16",
    "schedule=constant", "callback.checkpoint.every_n_steps=2",
)  # fmt: skip
DTM = ("+experiment=dtm_infonce", "threshold.floor=0.1", "threshold.init=0.15")
CASES = {
    "dtm": DTM,
    "adacm": ("+experiment=adacm", "loss.supervised.weight=1"),
    "accumulated": (*DTM, "trainer.accumulate_grad_batches=2"),
    "nobody_uncertain": (*DTM, "threshold.init=0.0", "threshold.floor=0.0"),
    "everybody_uncertain": (*DTM, "threshold.init=1.0", "threshold.floor=1.0"),
    "heldout": (*DTM, "threshold.pool=heldout", "data.heldout_fraction=0.3"),
    "softmatch": ("threshold=softmatch", "loss=[supervised,pseudo_label]", "trainer.gradient_clip_val=0.1"),
    "identity": ("+experiment=pretrain_identity", "unlabeled=same"),
}
LOOSE = {"atol": 2e-5, "rtol": 1e-3}


def weights(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    machine = ("images_per_second", "data_wait")
    return [{key: float(value) for key, value in row.items() if value and key not in machine} for row in rows]


def train_all(*cases: str) -> dict[str, Any]:
    """Train every case on the ranks there are; return the state that this rank ends with."""
    modules: list[Any] = []
    build = running.build_module
    running.build_module = lambda *args, **kwargs: modules.append(build(*args, **kwargs)) or modules[-1]
    for name in cases:
        trained(Path(name), *COMMON, *CASES[name], "trainer=ddp_cpu", f"trainer.devices={dist.world_size()}")
    return {name: dict(module.state_dict()) for name, module in zip(cases, modules, strict=True)}


def everything() -> dict[str, Any]:
    return train_all(*CASES)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    for name, options in CASES.items():
        trained(folder / name, *COMMON, *options)
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("two")
    return folder, run_ranks(everything, folder)


Two = tuple[Path, list[dict[str, Any]]]


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_end_where_one_does(name: str, one: Path, two: Two) -> None:
    folder, states = two
    expected = weights(one / name)
    assert weights(folder / name).keys() == expected.keys()
    for state in (weights(folder / name), *(state[name] for state in states)):
        for key, value in expected.items():
            torch.testing.assert_close(state[key], value, **LOOSE, equal_nan=True, msg=key)
    first, second = (state[name] for state in states)
    different = [key for key in first if not torch.equal(first[key].nan_to_num(), second[key].nan_to_num())]
    assert not different, "the ranks differ from each other"


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_report_what_one_does(name: str, one: Path, two: Two) -> None:
    folder, _ = two
    assert [row.keys() for row in history(folder / name)] == [row.keys() for row in history(one / name)]
    for row, expected in zip(history(folder / name), history(one / name), strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-4)
    metrics, expected = (json.loads((run / name / "metrics.json").read_text()) for run in (folder, one))
    assert metrics["test"]["count"] == 43
    assert metrics["test"]["confusion"] == expected["test"]["confusion"]
    assert metrics["pseudo"] == pytest.approx(expected["pseudo"], rel=1e-3)
    tables = [pq.read_table(run / name / "predictions.parquet").to_pydict() for run in (folder, one)]
    assert tables[0]["id"] == tables[1]["id"]
    assert len(set(zip(tables[0]["split"], tables[0]["id"], strict=True))) == 43 + 21
    for column in tables[1]:
        assert tables[0][column] == pytest.approx(tables[1][column], abs=1e-4) if "prob" in column else True
