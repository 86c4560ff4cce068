"""Search for settings: `python -m fer_ssl.tune +experiment=dtm_infonce space=recipe`."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fer_ssl.cli import verb


def tune(cfg: DictConfig) -> dict[str, Any]:
    """Search over `cfg.space` on the validation split and return the best overrides with their macro-F1."""
    from fer_ssl.tuning.search import search

    return search(cfg, Path(cfg.run_dir))


main = verb("tune")(tune)

if __name__ == "__main__":
    main()
