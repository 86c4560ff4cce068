"""Whole runs with sharded weights: they train, save and score what whole weights do, and either resumes the other."""

from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import run_ranks
from running import FROM_SCRATCH, trained
from test_ranks import COMMON, DTM, LOOSE, history, weights

from fer_ssl.cli import CONF

pytestmark = pytest.mark.slow

SHARDED = ("trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=2")
CASES = {
    "convolutions": DTM,
    "transformer": (*DTM, "backbone=timm", "backbone.name=test_vit", "image_size=160", "trainer.gradient_clip_val=0.1"),
    "people": ("loss=[supervised,identity]", "passes=each"),
    "accumulated": (
        *DTM, "trainer.accumulate_grad_batches=2", "trainer.max_steps=2", "callback.checkpoint.every_n_steps=1",
    ),
    "adam": ("+experiment=best", "optim=adam", "+optim.optimizer.eps=1e-4"),  # signs of tiny gradients
}  # fmt: skip
HALFWAY = "checkpoints/last-1.ckpt"


def sharded() -> dict[str, Any]:
    for name, options in CASES.items():
        trained(Path(name), *COMMON, *options, *SHARDED)
        for start in (name, f"one/{name}"):
            trained(Path(f"{start}_resumed"), *COMMON, *options, *SHARDED, f"ckpt_path={start}/{HALFWAY}")
    return {}


def test_sharded_weights_train_what_whole_ones_do(tmp_path: Path) -> None:
    for name, options in CASES.items():
        trained(tmp_path / "one" / name, *COMMON, *options)
    run_ranks(sharded, tmp_path)
    for name, options in CASES.items():
        ckpt_path = f"ckpt_path={tmp_path / name / HALFWAY}"
        trained(tmp_path / f"{name}_alone", *COMMON, *options, ckpt_path)
        expected = weights(tmp_path / "one" / name)
        for folder in (name, f"{name}_resumed", f"one/{name}_resumed", f"{name}_alone"):
            for key, value in expected.items():
                ours = weights(tmp_path / folder)[key]
                torch.testing.assert_close(ours, value, **LOOSE, equal_nan=True, msg=f"{folder}: {key}")
        for row, one in zip(history(tmp_path / name), history(tmp_path / "one" / name), strict=True):
            assert row == pytest.approx(one, rel=1e-3, abs=1e-4), name


def every_experiment() -> dict[str, Any]:
    rows = ("batch.labeled=16", "batch.unlabeled=16")
    for path in sorted((CONF / "experiment").glob("*.yaml")):
        if path.stem != "self_training":  # rounds of runs
            trained(
                Path(path.stem),
                f"+experiment={path.stem}",
                *FROM_SCRATCH.get(path.stem, []),
                *SHARDED,
                *rows,
                "trainer.max_steps=1",
            )
    return {}


def test_every_experiment_trains_sharded(tmp_path: Path) -> None:
    run_ranks(every_experiment, tmp_path)
    assert len(list(tmp_path.glob("*/metrics.json"))) == len(list((CONF / "experiment").glob("*.yaml"))) - 1
