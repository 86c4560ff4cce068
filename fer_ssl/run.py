"""One training run from configuration to report."""

import logging
import signal
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import DictConfig

from fer_ssl import dist
from fer_ssl.build import build_data, build_decoder, build_model, build_module, build_trainer, plain
from fer_ssl.callbacks.checkpoint import LastCheckpoint
from fer_ssl.callbacks.telemetry import Telemetry
from fer_ssl.check import check, require_data_root
from fer_ssl.checkpoints import (
    Checkpoint,
    checkpoint_path,
    load_average,
    read_checkpoint,
    require_classifier,
    require_same_run,
    require_space,
    require_state,
)
from fer_ssl.claim import claimed, finished
from fer_ssl.compiling import compile_parts
from fer_ssl.data.loader import EvalLoader
from fer_ssl.data.module import FaceData
from fer_ssl.devices import check_devices
from fer_ssl.errors import ConfigError, WorkerError
from fer_ssl.jobs.pool import REQUEUE
from fer_ssl.loggers import HistoryLogger, close_loggers
from fer_ssl.method.choices import require_choice
from fer_ssl.metrics import Scores
from fer_ssl.module import SemiSupervised
from fer_ssl.parts import make
from fer_ssl.ranks import together
from fer_ssl.reports import write_report
from fer_ssl.reports.card import write_card
from fer_ssl.results import (
    environment,
    write_json,
    write_predictions,
    write_pseudo_labels,
    write_view_preview,
)
from fer_ssl.scoring import Scored, fit_class_means, score
from fer_ssl.trust import require_trusted
from fer_ssl.values import require_values

log = logging.getLogger(__name__)

SCORED = ("test", "val")
LAST_SHARE = 0.1  # of training, over which the pseudo-label figures of metrics.json are averaged


def run(cfg: DictConfig) -> dict[str, Any]:
    """Train, score the averaged model, write the run directory, and return the content of `metrics.json`.

    A run that the scheduler asks to leave (SIGTERM, SIGUSR1) saves itself and exits with status REQUEUE.
    """
    check(cfg)
    check_devices(cfg)
    run_dir = Path(cfg.run_dir)
    done = finished(run_dir, cfg) if cfg.ckpt_path == "auto" else None
    if done is not None:
        log.info("%s is finished and left as it is", run_dir)
        return done
    resume_from = checkpoint_path(cfg.ckpt_path, run_dir)
    if resume_from is not None:  # before what an earlier run left in the folder is written anew
        require_same_run(resume_from, plain(cfg))
    with claimed(run_dir, cfg):
        results = _train(cfg, run_dir, resume_from)
    log.info("report: %s", run_dir / "report.html")
    return results


def _train(cfg: DictConfig, run_dir: Path, resume_from: Path | None) -> dict[str, Any]:
    _quieten()
    data = build_data(cfg)
    try:
        data.setup()
    finally:  # also where too little is left to learn from: the file tells why
        _write_refused(run_dir, data)
    _require_splits(cfg.score, data)
    _write_data(run_dir, data)
    pool_size = 0 if data.pool is None else len(data.pool)
    counts = (data.class_counts, data.taught_counts)
    module = build_module(cfg, data.space, pool_size, data.people, *counts, fresh=resume_from is None)
    if resume_from is not None:
        saved = read_checkpoint(resume_from)
        require_space(saved, data.space, resume_from)
        require_state(saved, module, resume_from)
    if cfg.compile is not None:
        compile_parts(module, cfg.compile)
    trainer = build_trainer(cfg, run_dir)
    status = "failed"
    try:
        with together(run_dir, trainer.global_rank, trainer.world_size):
            _fit(trainer, module, data, resume_from)
            results = _finish(trainer, module, data, run_dir, cfg.score or SCORED)
        status = "success"
    finally:
        close_loggers(trainer.loggers, status)
    return results


def _fit(trainer: Trainer, module: SemiSupervised, data: FaceData, resume_from: Path | None) -> None:
    """Train; leave by SystemExit where a signal asked for it, and by KeyboardInterrupt after Ctrl-C."""
    try:
        trainer.fit(module, data, ckpt_path=resume_from, weights_only=True)
    except SIGTERMException:
        log.warning("left at step %d, which is saved; go on with ckpt_path=auto", trainer.global_step)
        asked = next(callback for callback in trainer.checkpoint_callbacks if isinstance(callback, LastCheckpoint))
        if asked.leaving.asked_by == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(REQUEUE) from None
    except SystemExit as error:  # Lightning's way to end on a second Ctrl-C
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    except Exception as error:
        if (reason := _dead_worker(error)) is None:
            raise
        raise WorkerError(
            f"a process that reads faces died ({reason}); if memory was short set data.workers=1 or 0, and go on with "
            "ckpt_path=auto"
        ) from None


def _dead_worker(error: BaseException | None) -> str | None:
    """Return what PyTorch said of a dead loader process, which it raises wherever a run stands, also amid an error."""
    while error is not None:
        if "DataLoader worker (pid" in str(error):
            return str(error).partition("\n")[0]
        error = error.__cause__ or error.__context__
    return None


def score_checkpoint(cfg: DictConfig) -> dict[str, Any]:
    """Score a checkpoint on `cfg.split` of `cfg.data`, write metrics and predictions, and print the main figures."""
    run_dir = Path(cfg.run_dir)
    if cfg.ckpt_path is None:
        raise ConfigError("there is no checkpoint to score; set ckpt_path=<run>/checkpoints/last.ckpt")
    require_choice("split", cfg.split, ("test", "train", "val"))
    require_data_root(cfg)
    require_values(cfg)
    path = Path(cfg.ckpt_path)
    checkpoint = read_checkpoint(path)
    trained = trusted_config(checkpoint, cfg.allow_targets, path)
    source = make(cfg.data.source)
    require_space(checkpoint, source.space, path)
    require_classifier(checkpoint, path)
    if (run_dir / "config.yaml").exists():
        raise ConfigError(f"{run_dir} holds the scores of a run; set hydra.run.dir=<dir> to a folder of its own")
    decoder = build_decoder(cfg, trained.image_size)(source.channels)
    splits = source.load(decoder)
    faces = getattr(splits, cfg.split)
    if faces is None or not len(faces):
        known = " or ".join(name for name in ("test", "val", "train") if getattr(splits, name))
        raise ConfigError(f"data={cfg.data.name} has no {cfg.split} split; set split={known}")
    model = build_model(trained, len(source.space))
    load_average(model, checkpoint)
    scored = score(model.to(chosen_device(cfg.accelerator)), EvalLoader(faces, cfg.data.batch_eval), len(source.space))
    decoder.rejects.check()  # streamed faces are found unreadable by now, and others scored in their place
    classes = list(source.space.classes)
    results = {cfg.split: scored.scores.to_dict(classes), "classes": classes, "data": cfg.data.name}
    results["environment"] = environment()
    write_json(run_dir / "metrics.json", results)
    write_predictions(run_dir / "predictions.parquet", {cfg.split: scored}, {cfg.split: faces}, classes)
    log.info("%s of data=%s, %d faces: %s", cfg.split, cfg.data.name, len(faces), headline(scored.scores))
    return results


def trusted_config(checkpoint: Checkpoint, allow_targets: list[str], path: Path) -> DictConfig:
    """Return a checkpoint's configuration; raise ConfigError where its network is of modules nobody trusts."""
    config = checkpoint["config"]
    require_trusted({part: config[part] for part in ("backbone", "head")}, allow_targets, path)
    return DictConfig(config)


def headline(scores: Scores) -> str:
    """Return the main figures of a split on one line, in percent."""
    names = ("macro_f1", "accuracy", "balanced_accuracy")
    return "  ".join(f"{name} {100 * getattr(scores, name):.2f}" for name in names)


def chosen_device(accelerator: str) -> str:
    """Return the device on which a checkpoint is asked; raise ConfigError for an accelerator that is not there."""
    require_choice("accelerator", accelerator, ("auto", "cpu", "gpu", "cuda"))
    available = torch.cuda.is_available()
    if accelerator in ("gpu", "cuda") and not available:
        raise ConfigError(f"accelerator={accelerator} asks for a GPU, and there is none; set accelerator=auto")
    return "cpu" if accelerator == "cpu" or not available else "cuda"


def _require_splits(asked: Sequence[str] | None, data: FaceData) -> None:
    absent = sorted(set(asked or ()) - (set(SCORED) & set(data.roles())))
    if absent:
        raise ConfigError(f"there is no {absent[0]} split to score; set data.val_fraction=0.1, or score=null")


def _finish(
    trainer: Trainer, module: SemiSupervised, data: FaceData, run_dir: Path, splits: Sequence[str]
) -> dict[str, Any]:
    module.gather_networks()
    module.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU by now
    if not module.needs.learns_labels:
        log.info("no label was learned: the classifier becomes the nearest class mean of the labeled faces")
        fit_class_means(module.teacher.average, data.eval_loader(data.labeled), len(data.space))
    scored = _score_splits(module, data, splits)
    for reasons in dist.gather_objects(data.decoder.rejects.reasons):
        data.decoder.rejects.merge(reasons)  # every rank has read its own share of streamed faces
    results = summarise(trainer, data, scored)
    for split, result in scored.items():
        log.info("%s: %s", split, headline(result.scores))
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            final = {f"{split}/{k}": v for split in scored for k, v in results[split].items() if isinstance(v, float)}
            logger.log_metrics(final, step=trainer.global_step)
        _write_data(run_dir, data)  # again: streamed faces are found unreadable while training
        write_predictions(run_dir / "predictions.parquet", scored, data.roles(), list(data.space.classes))
        write_view_preview(run_dir / "views.png", module, data)
        if data.pool is not None and module.needs.pseudo_labels:
            write_pseudo_labels(run_dir / "pseudo_labels.parquet", module, data.pool)
        write_json(run_dir / "metrics.json", results)  # after all it stands for: with the report the run is finished
        write_report(run_dir)
    return results


def _score_splits(module: SemiSupervised, data: FaceData, splits: Sequence[str]) -> dict[str, Scored]:
    roles = data.roles()
    average = module.teacher.average
    return {
        split: score(average, data.eval_loader(roles[split]), len(data.space)) for split in splits if split in roles
    }


def summarise(trainer: Trainer, data: FaceData, scored: dict[str, Scored]) -> dict[str, Any]:
    """Return the content of `metrics.json`."""
    telemetry = next(callback for callback in trainer.callbacks if isinstance(callback, Telemetry))  # type: ignore[attr-defined]
    classes = list(data.space.classes)
    results: dict[str, Any] = {split: result.scores.to_dict(classes) for split, result in scored.items()}
    results["train"] = {
        "steps": trainer.global_step,
        "seconds": telemetry.total_seconds,
        "images_per_second": telemetry.images_per_second,
        "precision": trainer.precision,
    }
    history = next(logger for logger in trainer.loggers if isinstance(logger, HistoryLogger))
    results["pseudo"] = {
        "keep_rate": history.tail_mean("pseudo/keep_rate", LAST_SHARE),
        "accuracy": history.tail_mean("pseudo/accuracy", LAST_SHARE, weights="pseudo/keep_rate"),  # of those kept
        "accuracy_all": history.tail_mean("pseudo/accuracy_all", LAST_SHARE),
    }
    return results | {"classes": classes, "environment": environment()}


@rank_zero_only
def _write_refused(run_dir: Path, data: FaceData) -> None:
    data.admission.write(run_dir / "refused.parquet")


@rank_zero_only
def _write_data(run_dir: Path, data: FaceData) -> None:
    data.write_records(run_dir)
    summary = data.summary()
    write_json(run_dir / "data.json", summary)
    write_card(run_dir / "data_card.md", summary)


def _quieten() -> None:
    """Silence advice that does not apply: batches are indexed in memory, so there are no workers to add."""
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*module\\(s\\) in eval mode.*")  # the teacher's average always is
    warnings.filterwarnings("ignore", message=".*dataloader is not resumable.*")  # FaceData saves its position
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of a deprecated name
    warnings.filterwarnings("ignore", message=".*Total length of .* is zero.*")  # a run without validation faces
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # scores are of all ranks already
    warnings.filterwarnings("ignore", message=".*broadcast_buffers.*")  # its new name is younger than torch 2.7
    logging.getLogger("lightning.fabric.utilities.distributed").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    torch.set_float32_matmul_precision("high")
