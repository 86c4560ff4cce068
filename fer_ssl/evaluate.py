"""Evaluate a checkpoint: `python -m fer_ssl.evaluate ckpt_path=<file> data=<name> data.root=<dir>`."""

from typing import Any

from omegaconf import DictConfig

from fer_ssl.cli import verb


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Score a checkpoint's averaged model on one split and return what it wrote to `metrics.json`."""
    from fer_ssl.inference import score_checkpoint  # torch loads only when there is something to score

    return score_checkpoint(cfg)


main = verb("evaluate")(evaluate)

if __name__ == "__main__":
    main()
