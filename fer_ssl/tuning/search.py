"""A search: trials asked of an Optuna study, run as processes, judged by validation macro-F1 and nothing else."""

import csv
import json
import logging
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from fer_ssl.errors import ConfigError
from fer_ssl.jobs.command import arguments, own_places, typed
from fer_ssl.jobs.journal import JOURNAL, Entry, State
from fer_ssl.jobs.lock import held
from fer_ssl.jobs.pool import Job, Pool
from fer_ssl.parts import make
from fer_ssl.tuning.records import place, uncut, write_best, write_trials
from fer_ssl.tuning.space import as_override, distributions, require_known
from fer_ssl.values import SEEDS

if TYPE_CHECKING:
    from optuna import Study, Trial

log = logging.getLogger(__name__)

TRAIN = (sys.executable, "-m", "fer_ssl.train")
MEASURE = "val/macro_f1"
HOPELESS = 3  # failures before any success: a mistake that no further trial will mend
OWN_KEYS = ("tune.", "space=", "space.", "ckpt_path=", "score=")


def search(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Run trials until there are `cfg.tune.trials`, and return the best overrides with their macro-F1.

    Raises ConfigError for a space that does not fit, a second search in the same folder, and trials that all fail.
    """
    _require_optuna()
    space = OmegaConf.to_container(cfg.space)
    if not isinstance(space, dict):
        raise ConfigError("a space is a mapping of keys to values; mend the file of conf/space")
    overrides = [each for each in typed(HydraConfig.get().overrides.task) if not each.lstrip("+~").startswith(OWN_KEYS)]
    spread = distributions({str(key): value for key, value in space.items()})
    require_known({str(key): value for key, value in space.items()}, overrides)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        if not held(lock.fileno()):
            raise ConfigError(
                f"another search is running in {folder}; set tune.workers=2 for it, or hydra.run.dir=<dir>"
            )
        return Search(cfg, folder, spread, overrides).run()


class Search:
    """The study in `folder/study.db` and the trials below `folder/trials`."""

    def __init__(self, cfg: DictConfig, folder: Path, spread: dict[str, Any], overrides: Sequence[str]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.cfg, self.folder, self.spread, self.overrides = cfg, folder, spread, overrides
        # opened by its path: an address would end at a ?, and be filled in at a { or a %
        opened = partial(sqlite3.connect, (folder / "study.db").absolute(), check_same_thread=False)
        self.study: Study = optuna.create_study(
            storage=optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": opened}),
            study_name="search",
            direction="maximize",
            load_if_exists=True,
            pruner=make(cfg.tune.pruner),
        )
        self._require_one_search()
        # another seed for each call, so that a search which goes on does not draw its first trials again
        self.study.sampler = make(cfg.tune.sampler, seed=(cfg.seed + len(self.study.trials)) % SEEDS)
        self.running: dict[str, TrialJob] = {}

    def _require_one_search(self) -> None:
        """Raise ConfigError where the study's trials are of another space or of runs with other settings."""
        own = {"overrides": self.overrides, "space": {key: repr(each) for key, each in self.spread.items()}}
        if differing := [what for what in own if self.study.user_attrs.get(what, own[what]) != own[what]]:
            raise ConfigError(
                f"{self.folder} holds a search with other {' and '.join(differing)}, and no best is of both; set "
                "hydra.run.dir=<dir>"
            )
        for what, told in own.items():
            self.study.set_user_attr(what, told)

    def run(self) -> dict[str, Any]:
        """Take up what an earlier call left, run the missing trials and write what was found."""
        self._take_up()
        tune = self.cfg.tune
        timeout_s = None if tune.timeout_min is None else 60 * tune.timeout_min
        try:
            Pool(tune.workers, timeout_s, tune.grace_s).run(self._trials(), self.folder / JOURNAL, self._tell)
        finally:
            write_trials(self.folder / "trials.csv", self.study)
        return self._best()

    def _take_up(self) -> None:
        """Ask again for the trials that a killed or stopped search left running; they continue in their folders."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)
            self.study.enqueue_trial(trial.params, user_attrs={"folder": place(trial), "continues": trial.number})

    def _begun(self) -> int:
        """Return how many trials have begun; one that was continued counts once."""
        from optuna.trial import TrialState

        return sum(trial.state is not TrialState.WAITING for trial in uncut(self.study))

    def _trials(self) -> Iterator["TrialJob"]:
        while self._begun() < self.cfg.tune.trials:
            trial = self.study.ask(self.spread)
            folder = self.folder / "trials" / place(trial)
            params = [as_override(key, value) for key, value in trial.params.items()]
            overrides = [*self.overrides, *params, "score=[val]", "ckpt_path=auto"]
            command = arguments(HydraConfig.get(), "train", overrides, folder)
            job = TrialJob(place(trial), [*TRAIN, *command], params, folder, trial)
            self.running[job.name] = job
            yield job

    def _tell(self, entry: Entry) -> None:
        from optuna.trial import TrialState

        if entry.state == "running":
            log.info("trial %s: %s", entry.job, " ".join(entry.overrides))
            return
        job = self.running.pop(entry.job)
        if entry.state == "finished":
            value = _validation(job.folder)
            self.study.tell(job.trial, value)
            log.info("trial %s: macro-F1 %.2f on validation", entry.job, 100 * value)
        elif entry.state != "stopped":  # that one stays open and continues when the search does
            self.study.tell(job.trial, state=TrialState.PRUNED if entry.state == "pruned" else TrialState.FAIL)
            log.log(logging.INFO if entry.state == "pruned" else logging.ERROR, "trial %s", entry)
            self._require_hope(entry)

    def _require_hope(self, entry: Entry) -> None:
        from optuna.trial import TrialState

        states = [trial.state for trial in uncut(self.study)]
        if states.count(TrialState.FAIL) >= HOPELESS and TrialState.COMPLETE not in states:
            raise ConfigError(f"{HOPELESS} trials failed before any succeeded, the last with: {entry.error}")

    def _best(self) -> dict[str, Any]:
        from optuna.trial import TrialState

        if not self.study.get_trials(states=(TrialState.COMPLETE,)):
            raise ConfigError(f"no trial has finished, see {self.folder / JOURNAL}; set tune.trials=<more>")
        best = self.study.best_trial
        found = [as_override(key, value) for key, value in best.params.items()]
        path = write_best(self.folder, self.cfg, best, self.overrides, own_places(HydraConfig.get()))
        log.info(
            "best: trial %s, macro-F1 %.2f on validation: %s", place(best), 100 * self.study.best_value, " ".join(found)
        )
        log.info("as an experiment: %s", path)
        return {"trial": int(place(best)), "macro_f1": self.study.best_value, "overrides": found}


@dataclass(frozen=True)
class TrialJob(Job):
    """A training run whose validations are reported to the study, and which the study may give up."""

    trial: "Trial"
    seen: set[int] = field(default_factory=set)

    def unwanted(self) -> State | None:
        """Report the validations that are new in history.csv; return `pruned` where the study gives the trial up."""
        for step, value in _validations(self.folder / "history.csv"):
            if step not in self.seen:
                self.seen.add(step)
                self.trial.report(value, step)
                if self.trial.should_prune():
                    return "pruned"
        return None


def _validations(history: Path) -> list[tuple[int, float]]:
    if not history.is_file():
        return []
    with history.open(newline="") as file:
        return [(int(row["step"]), float(row[MEASURE])) for row in csv.DictReader(file) if row.get(MEASURE)]


def _validation(folder: Path) -> float:
    return float(json.loads((folder / "metrics.json").read_text())["val"]["macro_f1"])


def _require_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError:
        raise ConfigError("python -m fer_ssl.tune needs an extra: pip install 'fer-ssl[tune]'") from None
