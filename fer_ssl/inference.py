"""A checkpoint at work: scored on labeled faces, or asked about faces that nobody labeled."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from fer_ssl.build import build_decoder, build_model
from fer_ssl.check import require_data_root, require_pool
from fer_ssl.checkpoints import Checkpoint, load_average, read_checkpoint, require_classifier, require_space
from fer_ssl.data.decode import Rejects
from fer_ssl.data.loader import EvalLoader
from fer_ssl.devices import chosen_device
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.method.choices import require_choice
from fer_ssl.nn.model import FaceModel
from fer_ssl.parts import make
from fer_ssl.results import environment, write_json, write_predictions
from fer_ssl.scoring import headline, predict, scored, without_replaced
from fer_ssl.trust import require_plain, require_trusted
from fer_ssl.values import require_range, require_values

log = logging.getLogger(__name__)

PREDICTED = "unlabeled"  # what the split of such faces is called in predictions.parquet


def score_checkpoint(cfg: DictConfig) -> dict[str, Any]:
    """Score a checkpoint on `cfg.split` of `cfg.data`, write metrics and predictions, and print the main figures."""
    require_choice("split", cfg.split, ("test", "train", "val"))
    require_data_root(cfg)
    require_range("data.batch_eval", cfg.data.batch_eval)
    checkpoint, trained = opened(cfg, taken=("config.yaml", "predictions.json"))
    source = make(cfg.data.source)
    require_space(checkpoint, source.space, Path(cfg.ckpt_path))
    decoder = build_decoder(cfg, trained.image_size)(learned_channels(checkpoint) or source.channels)
    splits = source.load(decoder)
    faces = getattr(splits, cfg.split)
    if faces is None or not len(faces):
        known = " or ".join(name for name in ("test", "val", "train") if getattr(splits, name))
        raise ConfigError(f"data={cfg.data.name} has no {cfg.split} split; set split={known}")
    model = averaged(checkpoint, trained, cfg.accelerator)
    seen = predict(model, EvalLoader(faces, cfg.data.batch_eval))
    _tell_unreadable(decoder.rejects, Path(cfg.run_dir))
    faces, seen = without_replaced(faces, seen)
    result = scored(seen, len(source.space))
    run_dir, classes = Path(cfg.run_dir), list(source.space.classes)
    results = {cfg.split: result.scores.to_dict(classes), "classes": classes, "data": cfg.data.name}
    results["environment"] = environment()
    write_json(run_dir / "metrics.json", results)
    write_predictions(run_dir / "predictions.parquet", {cfg.split: result}, {cfg.split: faces}, classes)
    log.info("%s of data=%s, %d faces: %s", cfg.split, cfg.data.name, len(faces), headline(result.scores))
    log.info("predictions: %s", run_dir / "predictions.parquet")
    return results


def _tell_unreadable(rejects: Rejects, run_dir: Path) -> None:
    """List the faces that could not be read, streamed ones are known by now; raise DataError for too many."""
    path = run_dir / "rejected.csv"
    path.unlink(missing_ok=True)  # of an earlier call in the folder
    if len(rejects):
        run_dir.mkdir(parents=True, exist_ok=True)
        rejects.write_csv(path)
        log.warning("%d faces cannot be read and are not scored; %s", len(rejects), path)
    rejects.check()


def predict_faces(cfg: DictConfig) -> dict[str, Any]:
    """Write what a checkpoint says of the faces of `cfg.unlabeled`, and return how its predictions are distributed.

    Faces that cannot be read are listed in rejected.csv and have no prediction.
    """
    require_pool(cfg)
    require_range("data.batch_eval", cfg.data.batch_eval)
    checkpoint, trained = opened(cfg, taken=("config.yaml", "metrics.json"))
    run_dir, classes = Path(cfg.run_dir), [str(name) for name in checkpoint["classes"]]
    decoder = build_decoder(cfg, trained.image_size)(cfg.data.channels or require_channels(checkpoint))
    faces = make(cfg.unlabeled.pool).load(decoder)
    seen = predict(averaged(checkpoint, trained, cfg.accelerator), EvalLoader(faces, cfg.data.batch_eval))
    run_dir.mkdir(parents=True, exist_ok=True)
    decoder.rejects.write_csv(run_dir / "rejected.csv")
    decoder.rejects.check()
    faces, seen = without_replaced(faces, seen)
    if not len(faces):
        raise DataError(f"none of the faces of {cfg.unlabeled.root} can be read; {run_dir / 'rejected.csv'} tells why")
    summary = distribution(seen.probs, classes) | {"unreadable": len(decoder.rejects)}
    write_predictions(run_dir / "predictions.parquet", {PREDICTED: seen}, {PREDICTED: faces}, classes)
    write_json(run_dir / "predictions.json", summary | {"checkpoint": str(cfg.ckpt_path), "environment": environment()})
    log.info("%s", told_in_short(summary))
    log.info("predictions: %s", run_dir / "predictions.parquet")
    return summary


def opened(cfg: DictConfig, taken: Sequence[str]) -> tuple[Checkpoint, DictConfig]:
    """Return the checkpoint that a verb was given, and the configuration of its run.

    Raises ConfigError for none, for one without a classifier or with a network of modules that nobody trusts, and for a
    folder that another verb has `taken`, as these files show.
    """
    if cfg.ckpt_path is None:
        raise ConfigError("there is no checkpoint to ask; set ckpt_path=<run>/checkpoints/last.ckpt")
    require_values(cfg)
    path = Path(cfg.ckpt_path)
    checkpoint = read_checkpoint(path)
    trained = trusted_config(checkpoint, cfg.allow_targets, path)
    require_classifier(checkpoint, path)
    for name in taken:
        if (Path(cfg.run_dir) / name).exists():
            raise ConfigError(
                f"{cfg.run_dir} holds what another verb wrote, {name}; set hydra.run.dir=<dir> to a folder of its own"
            )
    return checkpoint, trained


def averaged(checkpoint: Checkpoint, trained: DictConfig, accelerator: str) -> FaceModel:
    """Return the averaged model of a checkpoint on the device that is asked for."""
    device = chosen_device(accelerator)
    model = build_model(trained, len(checkpoint["classes"]))
    load_average(model, checkpoint)
    return model.to(device)


def trusted_config(checkpoint: Checkpoint, allow_targets: list[str], path: Path) -> DictConfig:
    """Return a checkpoint's configuration; raise ConfigError where its network is of modules nobody trusts."""
    config = checkpoint["config"]
    require_plain(config, path)
    require_trusted({part: config[part] for part in ("backbone", "head")}, allow_targets, path)
    return DictConfig(config)


def learned_channels(checkpoint: Checkpoint) -> int | None:
    """Return how many channels the faces had that a run learned from; None where it did not note that."""
    known = (checkpoint.get("FaceData", {}).get("channels"), checkpoint["config"]["data"].get("channels"))
    return next((each for each in known if each is not None), None)


def require_channels(checkpoint: Checkpoint) -> int:
    """Return how many channels the faces had that a run learned from; raise ConfigError where it did not note that."""
    channels = learned_channels(checkpoint)
    if channels is None:
        raise ConfigError("the checkpoint does not tell if it learned gray faces; set data.channels=1, or 3 for colour")
    return channels


def distribution(probs: Tensor, classes: list[str]) -> dict[str, Any]:
    """Return how many `probs` [N, C] there are, the share of each class among their predictions, their confidence."""
    confidence, labels = probs.max(1)
    shares = torch.bincount(labels, minlength=len(classes)) / len(labels)
    named = dict(zip(classes, shares.tolist(), strict=True))
    return {"faces": len(labels), "shares": named, "confidence": float(confidence.mean())}


def told_in_short(summary: dict[str, Any]) -> str:
    """Return one line on what was predicted."""
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in summary["shares"].items())
    faces = f"{summary['faces']} faces, {summary['unreadable']} unreadable"
    return f"{faces}: {shares}; mean confidence {summary['confidence']:.2f}"
