"""The command of a job: what a user would type to run it alone."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf

OF_SWEEP = ("hydra.mode", "hydra.sweep", "hydra.launcher", "hydra/launcher", "hydra/sweeper", "hydra.run.dir")


def program() -> list[str]:
    """Return the command that started this process, without its arguments."""
    module: Any = sys.modules["__main__"].__spec__
    return [sys.executable, *(["-m", module.name] if module else [sys.argv[0]])]


def typed(overrides: Sequence[str]) -> list[str]:
    """Return Hydra's record of `overrides` as they were typed: a reference in one is the run's own to follow."""
    return cast(list[str], OmegaConf.to_container(overrides, resolve=False))


def own_places(hydra: DictConfig | HydraConf) -> list[str]:
    """Return the folders and packages of the user's own parts that the command line of the node `hydra` names."""
    sources = hydra.runtime.config_sources  # of --config-dir and of hydra.searchpath
    return [f"{source.schema}://{source.path}" for source in sources if source.provider.endswith("command-line")]


def arguments(hydra: DictConfig | HydraConf, config_name: str, overrides: Sequence[str], folder: Path) -> list[str]:
    """Return the arguments of a plain run in `folder` that composes as the process with the node `hydra` does."""
    given = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    places = [part for path in given for part in ("--config-dir", path)]
    others = [override for override in typed(hydra.overrides.hydra) if not override.startswith(OF_SWEEP)]
    place = str(folder).replace("'", "\\'")
    return ["--config-name", config_name, *places, *overrides, *others, f"hydra.run.dir='{place}'"]
