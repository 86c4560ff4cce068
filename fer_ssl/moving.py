"""Faces that lie elsewhere than when a run began."""

import logging
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fer_ssl.errors import ConfigError
from fer_ssl.trees import at

log = logging.getLogger(__name__)

ROOTS = {"data.root": "data.source.root", "unlabeled.root": "unlabeled.pool.root"}  # and where parts are told them


def move(config: DictConfig, roots: Mapping[str, str | None]) -> None:
    """Put the `roots` that are not None into a resolved configuration; raise ConfigError for one that it does not read.

    A mixture does not: it has a root for each of its sets or pools.
    """
    for key, root in roots.items():
        if root is None:
            continue
        if not isinstance(OmegaConf.select(config, ROOTS[key]), str):
            section = key.partition(".")[0]
            raise ConfigError(f"{section}={config[section].name} of the run reads no {key}; leave {key}={root} out")
        for place in (key, ROOTS[key]):
            OmegaConf.update(config, place, root)


def require_same_faces(saved: Mapping[str, Any], digest: str, wanted: Mapping[str, Any], strict: bool = True) -> None:
    """Raise ConfigError where the roots of a checkpoint moved to other faces, whose `digest` differs.

    Without `strict`, or where the checkpoint is too old to tell its faces, that is a warning.
    """
    moved = [key for key in ROOTS if at(saved["config"], key) != at(wanted, key)]
    known = saved.get("FaceData", {}).get("faces")
    if not moved or known == digest:
        return
    places = " ".join(f"{key}={at(wanted, key)}" for key in moved)
    if known is None:
        log.warning("whether the faces of %s are those that the run began with, its checkpoint does not tell", places)
    elif strict:
        remedy = " ".join(f"{key}=<dir>" for key in moved)
        raise ConfigError(f"the faces of {places} are others than the run began with; set {remedy} to where those lie")
    else:
        log.warning("the run goes on with other faces than it began with: %s", places)
