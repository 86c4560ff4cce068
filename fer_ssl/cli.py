"""What every verb's command line shares: where conf/ is, and how a user's mistake is told."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from fer_ssl.errors import FerError

PACKAGE = Path(__file__).parent
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"


def verb(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Turn a function of a configuration into a main; a FerError ends it with its sentence and no traceback."""

    def decorate(run: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        @hydra.main(config_path=str(CONF), config_name=config_name, version_base="1.3")
        @functools.wraps(run)
        def main(cfg: DictConfig) -> Any:
            try:
                return run(cfg)
            except FerError as error:
                raise CompactHydraException(f"error: {error}") from None

        return cast(Callable[[], Any], main)

    return decorate


def told(run: Callable[[], Any]) -> Any:
    """Run a main without Hydra; a FerError is printed as its sentence and exits with status 2."""
    try:
        return run()
    except FerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
