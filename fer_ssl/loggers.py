"""Loggers: history.csv always, TensorBoard and Weights & Biases by choice."""

import csv
import logging
import os
import secrets
from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from fer_ssl.errors import ConfigError
from fer_ssl.files import whole

log = logging.getLogger(__name__)
Row = dict[str, float | int | str]


class HistoryLogger(Logger):
    """Keep `<run dir>/history.csv`: one row per logged step, blank where a value was not logged.

    A resumed run keeps the rows up to where it resumes and replaces the later ones.
    """

    def __init__(self, run_dir: str) -> None:
        super().__init__()
        self.path = Path(run_dir) / "history.csv"
        self.rows: dict[int, Row] = self._read()

    def _read(self) -> dict[int, Row]:
        if not self.path.exists():
            return {}
        with self.path.open(newline="") as file:
            return {int(row["step"]): {k: v for k, v in row.items() if v} for row in csv.DictReader(file)}

    @property
    def name(self) -> str:
        return "history"

    @property
    def version(self) -> int:
        return 0

    def go_on_from(self, step: int) -> None:
        """Forget what an earlier life of the run logged after `step`."""
        self.rows = {known: row for known, row in self.rows.items() if known <= step}

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        at = step or 0
        self.rows = {known: row for known, row in self.rows.items() if known <= at}
        self.rows.setdefault(at, {"step": at}).update(metrics)
        self.save()

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Leave the configuration to config.yaml."""

    @rank_zero_only
    def save(self) -> None:
        """Rewrite the file whole, so that a kill never leaves half a row."""
        columns = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        with whole(self.path) as place, place.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns or ["step"])
            writer.writeheader()
            writer.writerows(self.rows[step] for step in sorted(self.rows))

    def tail_mean(self, column: str, share: float, weights: str | None = None) -> float | None:
        """Return the mean of a column over the last `share` of the steps, None where it was never logged.

        Lines weigh by their value in the column `weights`, all alike without one.
        """
        start = (1 - share) * max(self.rows, default=0)
        rows = [row for step, row in self.rows.items() if step > start and column in row]
        heavy = [1.0 if weights is None else float(row[weights]) for row in rows]
        return sum(w * float(row[column]) for w, row in zip(heavy, rows, strict=True)) / sum(heavy) if rows else None


class TolerantWandb(WandbLogger):
    """A W&B logger whose end costs a run nothing: it warns once, and `history.csv` goes on alone."""

    lost = False

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._tell(partial(super().log_metrics, metrics, step))

    @rank_zero_only
    def finish(self, exit_code: int) -> None:
        """End the W&B run."""
        self._tell(partial(self.experiment.finish, exit_code=exit_code))

    def _tell(self, message: Callable[[], None]) -> None:
        from wandb import Error
        from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

        if self.lost:
            return
        try:
            message()
        except (ConnectionError, Error, HandleAbandonedError, MailboxClosedError) as error:
            self.lost = True
            log.warning(
                "W&B failed (%s: %s) and is told nothing more; history.csv has everything, "
                "and what W&B had written can be uploaded with `wandb sync`",
                type(error).__name__,
                error,
            )


def tensorboard(run_dir: str) -> Logger:
    """Return a TensorBoard logger; raises ConfigError where the extra is not installed."""
    try:
        return TensorBoardLogger(save_dir=run_dir, name="", version="tensorboard")
    except ModuleNotFoundError:
        raise ConfigError("logger=tensorboard needs an extra: pip install 'fer-ssl[tensorboard]'") from None


def wandb(
    run_dir: str,
    project: str = "fer_ssl",
    mode: str | None = None,
    name: str | None = None,
    ckpt_path: str | None = None,
    timeout: float = 120.0,
) -> Logger:
    """Return a W&B logger: offline unless a key is set or `mode` says otherwise, and never a prompt.

    A run that resumes from a `ckpt_path` continues the W&B run of its directory. The server gets `timeout` seconds to
    answer at the start and to take what is left at the end. Raises ConfigError where it cannot be used.
    """
    chosen = mode or os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
    logging.getLogger("wandb").setLevel(logging.ERROR)
    os.environ["WANDB_SILENT"] = "true"
    import wandb as weights_and_biases

    logger = TolerantWandb(
        project=project,
        name=name,
        save_dir=run_dir,
        mode=chosen,
        id=_wandb_run(Path(run_dir) / "wandb" / "run_id", resumes=ckpt_path is not None),
        settings=weights_and_biases.Settings(init_timeout=timeout, finish_timeout=timeout),
        log_model=False,
        save_code=False,
    )
    try:
        _ = logger.experiment  # now, not in the middle of start-up
    except weights_and_biases.Error as error:
        raise ConfigError(
            f"W&B cannot be reached or refuses ({str(error).partition(chr(10))[0]}); check WANDB_API_KEY and "
            "WANDB_BASE_URL, or set logger.wandb.mode=offline and upload later with `wandb sync`"
        ) from None
    return logger


@rank_zero_only
def _wandb_run(place: Path, resumes: bool) -> str:
    """Return the id of the W&B run that a run directory continues, or a new one, which it keeps."""
    if resumes and place.exists():
        return place.read_text()
    name = secrets.token_hex(4)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(name)
    return name


def close_loggers(loggers: list[Logger], status: str) -> None:
    """End every logger's run, so that the next run in this process starts its own."""
    for logger in loggers:
        logger.finalize(status)
        if isinstance(logger, TolerantWandb):
            logger.finish(exit_code=0 if status == "success" else 1)
