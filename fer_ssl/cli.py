"""What every verb's command line shares: where conf/ is, and how a user's mistake is told."""

import argparse
import functools
import logging
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from fer_ssl.errors import ConfigError, FerError, StorageError
from fer_ssl.files import FULL, LOCKED
from fer_ssl.jobs.command import typed
from fer_ssl.keys import choice_instead, meant_instead, require_own_terms, require_read, require_taken
from fer_ssl.masking import Masked, masked
from fer_ssl.usage import usage
from fer_ssl.values import require_kinds

LAUNCHERS = {  # what each needs: a plugin of Hydra, and the extra that brings it
    "hydra/launcher=ray_cluster": ("hydra_plugins.hydra_ray_launcher", "ray"),
    "hydra/launcher=slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
}
INTERRUPTED = 130  # the exit status after Ctrl-C, as shells have it: 128 + SIGINT

PACKAGE = Path(__file__).parent
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"


def verb(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Turn a function of a configuration into a main; a FerError ends it with its sentence and no traceback."""

    def decorate(run: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        @hydra.main(config_path=str(CONF), config_name=config_name, version_base="1.3")
        @functools.wraps(run)
        def main(cfg: DictConfig) -> Any:
            for handler in logging.root.handlers:
                handler.addFilter(Masked())
            try:
                require_read(cfg, CONF, config_name)
                require_kinds(cfg, CONF, config_name)
                require_multirun()
                if "loss" in cfg:
                    loader = GlobalHydra.instance().config_loader()
                    require_own_terms(loader, config_name, typed(HydraConfig.get().overrides.task))
                with storage_told():
                    return run(cfg)
            except FerError as error:
                told = masked(f"error: {error}")
                if HydraConfig.get().mode == RunMode.MULTIRUN:  # of a launcher that runs jobs in its own process
                    raise CompactHydraException(told) from None
                print(told, file=sys.stderr)
                raise SystemExit(1) from None  # raised further, Hydra would advise a stack trace
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)
                raise SystemExit(INTERRUPTED) from None

        @functools.wraps(run)
        def checked() -> Any:
            own = own_folder(sys.argv[1:])
            if {"--help", "-h"} & set(sys.argv[1:]):
                with reader_may_leave():
                    return print(usage(sys.modules[run.__module__].__doc__ or "", CONF, config_name, own))
            told(lambda: require_launcher(sys.argv[1:]))
            told(lambda: require_folder(sys.argv[1:]))
            told(lambda: require_taken(config_name, sys.argv[1:]))
            try:
                with reader_may_leave():
                    return cast(Callable[[], Any], main)()
            except SystemExit as end:  # by Hydra, which has told why
                if key := meant_instead(end.__context__, CONF, config_name, sys.argv[1:], own):
                    print(f"did you mean {key}?", file=sys.stderr)
                if words := choice_instead(end.__context__, [CONF] if own is None else [CONF, own]):
                    print(words, file=sys.stderr)
                raise

        return checked

    return decorate


@contextmanager
def storage_told() -> Iterator[None]:
    """Raise StorageError for a file that a full disk or its rights keep from being read or written."""
    try:
        yield
    except OSError as error:
        if not (error.errno in FULL or (error.errno in LOCKED and error.filename)):
            raise
        raise StorageError(
            f"a file cannot be read or written ({error}); free the disk or mend its rights, or set hydra.run.dir=<dir>"
        ) from None


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End as other commands do when whoever reads the output has gone: `--help | head`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        output = select.poll()
        output.register(sys.stdout.fileno(), 0)
        if not any(event & select.POLLERR for _, event in output.poll(0)):
            raise  # another pipe broke
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more as it ends
        raise SystemExit(128 + signal.SIGPIPE) from None


def own_folder(arguments: Sequence[str]) -> Path | None:
    """Return the folder of the user's own parts that --config-dir names."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", type=Path)
    own: Path | None = parser.parse_known_args(arguments)[0].config_dir
    return own


def require_launcher(arguments: Sequence[str]) -> None:
    """Raise ConfigError for a launcher whose extra is not installed, before Hydra misses a file of it."""
    for argument in arguments:
        plugin, extra = LAUNCHERS.get(argument, (None, None))
        if plugin is not None and find_spec(plugin) is None:
            raise ConfigError(f"{argument} needs a package that is not there; pip install 'fer-ssl[{extra}]'")


def require_folder(arguments: Sequence[str]) -> None:
    """Raise ConfigError for a run directory that is a file, which Hydra fails to make, or that is not Hydra's."""
    for argument in arguments:
        key, _, path = argument.partition("=")
        if key.lstrip("+") == "run_dir":
            raise ConfigError(
                f"{argument} would part the run from its log; set hydra.run.dir={path}, or for a sweep hydra.sweep.dir"
            )
        if key in ("hydra.run.dir", "hydra.sweep.dir") and path:
            files = [place for place in (Path(path), *Path(path).parents) if place.is_file()]
            if files:
                raise ConfigError(f"{files[0]} is a file; set {key}=<dir> to a folder, or to none that exists yet")


def require_multirun() -> None:
    """Raise ConfigError for a list of runs where one run was asked for, which would train none of the list."""
    hydra = HydraConfig.get()
    of_a_sweep = not OmegaConf.is_missing(hydra.job, "num")  # as its jobs say, which are processes of their own
    if (sweep := hydra.runtime.choices.get("sweep")) is not None and hydra.mode == RunMode.RUN and not of_a_sweep:
        raise ConfigError(f"+sweep={sweep} is a list of runs; add -m to train them all, or hydra.job.num=0 for one")


def require_lasting_folder(cfg: DictConfig) -> None:
    """Raise ConfigError for a run that looks for its earlier life in a folder named after this second."""
    named_after_now = "${now:" in _run_dir()
    if cfg.ckpt_path in ("auto", "last") and named_after_now and HydraConfig.get().mode == RunMode.RUN:
        raise ConfigError(
            f"ckpt_path={cfg.ckpt_path} looks in the run's own folder, and this one is new; "
            "set hydra.run.dir=<dir> to the folder of the run to go on with"
        )


def _run_dir() -> str:
    return str(OmegaConf.to_container(HydraConfig.get().run, resolve=False))


def first_rank_speaks() -> None:
    """Silence all but the errors of every process that a launcher of ranks started beside the first."""
    names = ("RANK", "SLURM_PROCID", "LOCAL_RANK")  # torchrun's, Slurm's, Lightning's
    if int(next((os.environ[name] for name in names if name in os.environ), 0)):
        logging.disable(logging.WARNING)


def check_torchrun() -> None:
    """Raise ConfigError for a run of torchrun's whose folder a restart would not find, or whose restart may hang."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    if "${now:" in _run_dir():
        raise ConfigError(
            "all processes of torchrun write to one folder, which a restart must find again; "
            "set hydra.run.dir=outputs/<name> ckpt_path=auto"
        )
    restarts = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0))
    if restarts and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        # the addresses of dead processes stay in that store, and one in a few restarts waits for them for ever
        raise ConfigError("a restart of torchrun may hang; start it with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1")


def told(run: Callable[[], Any]) -> Any:
    """Run a main without Hydra; a FerError is printed as its sentence and exits with status 2."""
    try:
        with reader_may_leave():
            return run()
    except FerError as error:
        print(masked(f"error: {error}"), file=sys.stderr)
        raise SystemExit(2) from None
