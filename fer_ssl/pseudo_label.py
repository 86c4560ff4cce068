"""Label a run's whole pool by its teacher: `python -m fer_ssl.pseudo_label ckpt_path=<run>/checkpoints/last.ckpt`."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fer_ssl.cli import verb
from fer_ssl.errors import ConfigError
from fer_ssl.values import require_values


def pseudo_label(cfg: DictConfig) -> dict[str, Any]:
    """Write what the averaged model of a checkpoint says of every face of its pool, and return the summary."""
    if cfg.ckpt_path is None:
        raise ConfigError("there is no teacher; set ckpt_path=<run>/checkpoints/last.ckpt")
    require_values(cfg)
    from fer_ssl.rounds import LABELS, label_pool, told_in_short  # torch loads only when there is something to label

    path = Path(cfg.run_dir) / LABELS
    path.parent.mkdir(parents=True, exist_ok=True)
    roots = {"data.root": cfg.data.root, "unlabeled.root": cfg.unlabeled.root}
    summary = label_pool(Path(cfg.ckpt_path), cfg.selection, cfg.accelerator, path, cfg.allow_targets, roots)
    logging.getLogger(__name__).info("%s; teach them with data.pseudo_labels=%s", told_in_short(summary), path)
    return summary


main = verb("pseudo_label")(pseudo_label)

if __name__ == "__main__":
    main()
