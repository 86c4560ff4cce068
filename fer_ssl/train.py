"""Train: `python -m fer_ssl.train +experiment=dtm_infonce`."""

import logging
import os
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from fer_ssl.cli import check_torchrun, first_rank_speaks, require_lasting_folder, verb
from fer_ssl.jobs.command import typed
from fer_ssl.keys import loss_files

PARTS = (
    "data", "unlabeled", "sampler", "view", "backbone", "head", "teacher", "memory", "target", "threshold", "alignment",
    "mix", "refit",
)  # fmt: skip


def train(cfg: DictConfig) -> dict[str, Any]:
    """Train one configuration and return what it wrote to `metrics.json`."""
    # huge pages for tensors, before torch first allocates: page faults cost up to a fifth of a step on virtual CPUs
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    first_rank_speaks()
    check_torchrun()
    require_lasting_folder(cfg)
    from fer_ssl.run import run  # torch and Lightning load only when there is something to train

    logging.getLogger(__name__).info("parts: %s", describe(cfg))
    return run(cfg)


def describe(cfg: DictConfig) -> str:
    """Return one line that names the active parts of a run."""
    hydra = HydraConfig.get()
    parts = [f"{group}={hydra.runtime.choices[group]}" for group in PARTS]
    terms = loss_files(GlobalHydra.instance().config_loader(), "train", typed(hydra.overrides.task))
    return " ".join([f"name={cfg.name}", *parts, f"loss=[{','.join(terms)}]", f"seed={cfg.seed}"])


main = verb("train")(train)

if __name__ == "__main__":
    main()
