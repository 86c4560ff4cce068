"""Whole runs: what several ranks train, save, score and log is what one trains on the same global batch."""

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
import torch
from comparing import weights
from gloo import run_ranks
from running import trained

from fer_ssl import dist
from fer_ssl import run as running

COMMON = (
    "trainer.max_steps=4", "optim=sgd", "trainer.precision=32-true", "data.source.test=43", "batch.unlabeled=16",
    "schedule=constant", "callback.checkpoint.every_n_steps=2",
)  # fmt: skip
DTM = ("+experiment=dtm_infonce_uncertain", "threshold.floor=0.1", "threshold.init=0.15")
CASES = {
    "dtm": DTM,
    # two steps: where rounding flips a ReLU, as it may in any of these runs, the steps after it multiply the difference
    "main": (
        "+experiment=dtm_infonce", "threshold.floor=0.1", "threshold.init=0.15", "head.norm=true",
        "trainer.max_steps=2",
    ),
    "accumulated": (*DTM, "trainer.accumulate_grad_batches=2", "trainer.max_steps=2"),  # as many batches
    "own_statistics": (*DTM, "trainer.sync_batchnorm=false"),
    "adacm": ("+experiment=adacm", "loss.supervised.weight=1"),
    "nobody_uncertain": (*DTM, "threshold.init=0.0", "threshold.floor=0.0"),
    "everybody_uncertain": (*DTM, "threshold.init=1.0", "threshold.floor=1.0"),
    "heldout": (*DTM, "threshold.pool=heldout", "data.heldout_fraction=0.3"),
    "softmatch": ("threshold=softmatch", "loss=[supervised,pseudo_label]", "trainer.gradient_clip_val=0.1"),
    # at the scale of 64 rounding grows too fast along the steps
    "identity": (
        "loss=[supervised,identity]", "backbone=timm", "backbone.name=test_efficientnet", "loss.identity.scale=8",
        "optim.lr=1e-3",
    ),
}  # fmt: skip
CHOSEN = {2: ("dtm", "main", "accumulated", "own_statistics"), 4: tuple(CASES)}
LOOSE = {"atol": 2e-5, "rtol": 1e-3}


class Runs(NamedTuple):
    """Where one rank's and several ranks' runs are, and the state that each of these ended with, by case."""

    one: Path
    many: Path
    states: list[dict[str, Any]]


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    machine = ("images_per_second", "data_wait")
    return [{key: float(value) for key, value in row.items() if value and key not in machine} for row in rows]


def everything() -> dict[str, Any]:
    """Train the cases on the ranks there are; return the state that this rank ends with."""
    modules: list[Any] = []
    build, world = running.build_module, dist.world_size()
    running.build_module = lambda *args, **kwargs: modules.append(build(*args, **kwargs)) or modules[-1]
    for name in CHOSEN[world]:
        trained(Path(name), *COMMON, *CASES[name], "trainer=ddp_cpu", f"trainer.devices={world}")
    return {name: dict(module.state_dict()) for name, module in zip(CHOSEN[world], modules, strict=True)}


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    one, many = (tmp_path_factory.mktemp(name) for name in ("one", "many"))
    for name in CHOSEN[request.param]:
        trained(one / name, *COMMON, *CASES[name])
    return Runs(one, many, run_ranks(everything, many, request.param))


def test_every_rank_ends_with_the_same_state(runs: Runs) -> None:
    for name, first in runs.states[0].items():
        for state in (state[name] for state in runs.states[1:]):
            assert all(torch.equal(first[key].nan_to_num(), state[key].nan_to_num()) for key in first), name


def test_weights_buffers_and_thresholds_are_those_of_one_rank(runs: Runs) -> None:
    for name in runs.states[0].keys() - {"own_statistics"}:
        ours, expected = weights(runs.many / name), weights(runs.one / name)
        assert ours.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(ours[key], value, **LOOSE, equal_nan=True, msg=f"{name}: {key}")


def test_the_history_is_that_of_one_rank(runs: Runs) -> None:
    for name in runs.states[0].keys() - {"own_statistics"}:
        for row, expected in zip(history(runs.many / name), history(runs.one / name), strict=True):
            assert row == pytest.approx(expected, rel=1e-3, abs=1e-4), name


def test_every_face_is_scored_once(runs: Runs) -> None:
    for name in runs.states[0].keys() - {"own_statistics"}:
        ours, expected = (json.loads((run / name / "metrics.json").read_text()) for run in (runs.many, runs.one))
        assert ours["test"]["count"] == 43
        assert ours["test"]["confusion"] == expected["test"]["confusion"]
        rates, alone = ([rate for rate in run["pseudo"].values() if rate is not None] for run in (ours, expected))
        assert rates == pytest.approx(alone, rel=1e-3)
        table, one = (pq.read_table(run / name / "predictions.parquet").to_pydict() for run in (runs.many, runs.one))
        assert len(set(zip(table["split"], table["id"], strict=True))) == len(table["id"]) == 43 + 21
        for column, values in one.items():
            assert table[column] == (pytest.approx(values, abs=1e-4) if column.startswith("prob") else values)


def test_a_run_goes_on_with_another_number_of_ranks(runs: Runs, tmp_path: Path) -> None:
    checkpoint = f"ckpt_path={runs.many}/dtm/checkpoints/last-1.ckpt"
    trained(tmp_path, *COMMON, *CASES["dtm"], checkpoint)
    for key, value in weights(runs.one / "dtm").items():
        torch.testing.assert_close(weights(tmp_path)[key], value, **LOOSE, equal_nan=True, msg=key)
