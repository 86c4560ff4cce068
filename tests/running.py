"""Runs composed and trained in this process, on the smallest faces and network that still train."""

from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from fer_ssl.cli import CONF
from fer_ssl.run import run

TINY = [
    "backbone.widths=[8,8,8,8,8,16]",
    "image_size=24",
    "data.source.labeled=70",
    "data.source.pool=96",
    "data.source.val=21",
    "data.source.test=42",
    "epoch_steps=2",
    "trainer.max_steps=2",
    "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
    "batch.labeled=8",
    "batch.unlabeled=8",
]
FROM_SCRATCH = {"best_pretrained": ["backbone.init=null"]}  # what an experiment would start from is not there


def composed(*overrides: str, config: str = "train") -> DictConfig:
    """Return the configuration of a command line."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(config, overrides=list(overrides))


def trained(run_dir: Path, *overrides: str) -> dict[str, Any]:
    """Train a tiny run in `run_dir` and return its metrics; another backbone brings its own options."""
    own_backbone = any(override.startswith("backbone=") for override in overrides)
    options = [option for option in TINY if not (own_backbone and option.startswith("backbone."))]
    return run(composed(*options, f"run_dir={run_dir}", *overrides))
