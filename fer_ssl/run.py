"""One training run from configuration to report."""

import logging
import signal
import time
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
from fer_ssl.build import build_data, build_module, build_trainer, plain
from fer_ssl.callbacks.beginning import Beginning
from fer_ssl.callbacks.checkpoint import LastCheckpoint
from fer_ssl.callbacks.telemetry import Telemetry
from fer_ssl.check import check
from fer_ssl.checkpoints import (
    checkpoint_path,
    keep_classifier,
    read_checkpoint,
    require_same_run,
    require_space,
    require_state,
)
from fer_ssl.claim import begin, claimed, finished
from fer_ssl.compiling import compile_parts
from fer_ssl.data.labels import class_counts, scarce
from fer_ssl.data.module import FaceData
from fer_ssl.devices import check_devices
from fer_ssl.errors import ConfigError, FerError, WorkerError
from fer_ssl.jobs.pool import REQUEUE
from fer_ssl.loggers import HistoryLogger, close_loggers
from fer_ssl.module import SemiSupervised
from fer_ssl.moving import require_same_faces
from fer_ssl.parts import make
from fer_ssl.ranks import together
from fer_ssl.refit import AsTrained, fit_class_means
from fer_ssl.reports import write_report
from fer_ssl.reports.card import write_card
from fer_ssl.reports.run import LAST_SHARE
from fer_ssl.results import (
    environment,
    write_json,
    write_predictions,
    write_pseudo_labels,
    write_view_preview,
)
from fer_ssl.scoring import Scored, headline, predict, scored, without_replaced
from fer_ssl.types import UNKNOWN, Faces

log = logging.getLogger(__name__)

SCORED = ("test", "val")
FEW = 5  # labeled faces, of which a class is hardly learned


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
    if resume_from is not None:
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
    except FerError:
        _write_refused(run_dir, data)
        raise
    data.admission.tell_unmatched()
    require_splits(cfg.score, data)
    _tell_scarce(data, asked=cfg.data.labels_per_class is not None or cfg.data.split_file is not None)
    pool_size = 0 if data.pool is None else len(data.pool)
    counts = (data.class_counts, data.taught_counts)
    module = build_module(cfg, data.space, pool_size, data.people, *counts, fresh=resume_from is None)
    if module.needs.learns_labels:  # features alone are for another run to be scored with
        _tell_unscored(data)
    refit: AsTrained = make(cfg.refit)
    refit.require(module.model.head, module.needs.learns_labels)
    if resume_from is not None:
        saved = read_checkpoint(resume_from)
        require_space(saved, data.space, resume_from)
        require_state(saved, module, resume_from)
        require_same_faces(saved, data.digest, plain(cfg), strict=cfg.ckpt_path == "auto")
    if cfg.compile is not None:
        compile_parts(module, cfg.compile)
    trainer = build_trainer(cfg, run_dir)
    trainer.callbacks.append(Beginning(lambda: _begin(cfg, run_dir, data)))  # type: ignore[attr-defined]
    status = "failed"
    try:
        with together(run_dir, trainer.global_rank, trainer.world_size):
            _fit(trainer, module, data, resume_from)
            results = _finish(trainer, module, data, refit, cfg)
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


def require_splits(asked: Sequence[str] | None, data: FaceData) -> None:
    """Raise ConfigError for splits to score that are not there, or of whose faces no label is known."""
    if strange := sorted(set(asked or ()) - set(SCORED)):
        raise ConfigError(
            f"score names {strange[0]}, and what is scored is {' or '.join(SCORED)}; set score=[test,val]"
        )
    roles = data.roles()
    if absent := sorted(set(asked or ()) - roles.keys()):
        raise ConfigError(f"there is no {absent[0]} split to score; set data.val_fraction=0.1, or score=null")
    unknown = [name for name in asked or SCORED if name in roles and bool((roles[name].labels == UNKNOWN).all())]
    if unknown:
        others = [name for name in SCORED if name in roles and name not in unknown]
        remedy = f"set score=[{others[0]}]" if others else "set data.val_fraction=0.1 score=[val]"
        raise ConfigError(f"no face of the {unknown[0]} split has a known label, so it cannot be scored; {remedy}")


def _tell_scarce(data: FaceData, asked: bool) -> None:
    """Warn of classes that few labeled faces show, unless so many were `asked` for, and that no held-out one does."""
    if few := {} if asked else scarce(data.class_counts, data.space, FEW):
        told = ", ".join(f"{name} ({count})" for name, count in few.items())
        log.warning("few labeled faces show %s, too few to learn it; label more, or leave the class out", told)
    if absent := scarce(class_counts(data.heldout.labels, data.space), data.space, 1) if len(data.heldout) else {}:
        log.warning("no held-out face shows %s; raise data.heldout_fraction", ", ".join(absent))


def _tell_unscored(data: FaceData) -> None:
    """Warn that nothing will be scored, so that no table shows the run."""
    if not set(SCORED) & set(data.roles()):
        log.warning(
            "there is no split to score, and the run will end without a figure for reports; set data.val_fraction=0.1, "
            "or add test faces, which data=folder finds in <root>/test beside <root>/train"
        )


def _finish(
    trainer: Trainer, module: SemiSupervised, data: FaceData, refit: AsTrained, cfg: DictConfig
) -> dict[str, Any]:
    run_dir = Path(cfg.run_dir)
    module.gather_networks()
    module.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU by now
    if trainer.is_global_zero and data.pool is not None and module.needs.pseudo_labels:
        write_pseudo_labels(run_dir / "pseudo_labels.parquet", module, data.pool)
    _fit_classifier(module, data, refit, run_dir / "checkpoints" / "last.ckpt")
    faces, scores = _score_splits(module, data, cfg.score or SCORED)
    _write_data(run_dir, data)  # again: streamed faces are found unreadable while training
    data.decoder.rejects.check()
    results = summarise(trainer, data, scores)
    for split, result in scores.items():
        log.info("%s: %s", split, headline(result.scores))
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            final = {f"{split}/{k}": v for split in scores for k, v in results[split].items() if isinstance(v, float)}
            logger.log_metrics(final, step=trainer.global_step)
        write_predictions(run_dir / "predictions.parquet", scores, faces, list(data.space.classes))
        write_view_preview(run_dir / "views.png", module, data)
        write_json(run_dir / "metrics.json", results)  # after all it stands for: with the report the run is finished
        write_report(run_dir)
    return results


def _fit_classifier(module: SemiSupervised, data: FaceData, refit: AsTrained, last: Path) -> None:
    """Fit the averaged model's classifier where the run asks for it, or has learned none; `last` is its checkpoint."""
    average, began = module.teacher.average, time.monotonic()
    fitted = refit(average, data)
    if dist.rank() == 0 and last.exists():
        keep_classifier(last, average if fitted else None)
    if fitted:
        log.info("the classifier was fitted anew to the averaged model's features in %.0f s", time.monotonic() - began)
    elif not module.needs.learns_labels:
        log.info("no label was learned: the classifier becomes the nearest class mean of the labeled faces")
        fit_class_means(average, data.eval_loader(data.labeled), len(data.space))


def _score_splits(
    module: SemiSupervised, data: FaceData, splits: Sequence[str]
) -> tuple[dict[str, Faces], dict[str, Scored]]:
    """Return the faces of each split that can be read, and what the averaged model says of them."""
    roles = data.roles()
    faces = {split: roles[split] for split in splits if split in roles}
    seen = {split: predict(module.teacher.average, data.eval_loader(each)) for split, each in faces.items()}
    for reasons in dist.gather_objects(data.decoder.rejects.reasons):
        data.decoder.rejects.reasons |= reasons  # every rank has read its own share of streamed faces
    readable = {split: without_replaced(faces[split], seen[split]) for split in faces}
    for split, (kept, _) in readable.items():
        if unread := len(faces[split]) - len(kept):
            log.warning("%d faces of %s cannot be read and are not scored; see rejected.csv", unread, split)
    scores = {split: scored(view, len(data.space)) for split, (_, view) in readable.items()}
    return {split: kept for split, (kept, _) in readable.items()}, scores


def summarise(trainer: Trainer, data: FaceData, scores: dict[str, Scored]) -> dict[str, Any]:
    """Return the content of `metrics.json`."""
    telemetry = next(callback for callback in trainer.callbacks if isinstance(callback, Telemetry))  # type: ignore[attr-defined]
    classes = list(data.space.classes)
    results: dict[str, Any] = {split: result.scores.to_dict(classes) for split, result in scores.items()}
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


def _begin(cfg: DictConfig, run_dir: Path, data: FaceData) -> None:
    begin(run_dir, cfg)
    data.admission.write(run_dir / "refused.parquet")
    _write_data(run_dir, data)


@rank_zero_only
def _write_refused(run_dir: Path, data: FaceData) -> None:
    """Tell why too little is left to learn from, where faces were left out."""
    if data.admission.refused:
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
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")  # of a short epoch, not a run
    warnings.filterwarnings("ignore", message=".*broadcast_buffers.*")  # its new name is younger than torch 2.7
    logging.getLogger("lightning.fabric.utilities.distributed").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    torch.set_float32_matmul_precision("high")
