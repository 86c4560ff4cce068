"""Self-training: a teacher labels the whole pool, a new student learns the faces that a threshold keeps, and again."""

import copy
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor

from fer_ssl.build import build_data, build_model, build_threshold, plain
from fer_ssl.check import check
from fer_ssl.checkpoints import load_average, read_checkpoint, require_classifier
from fer_ssl.data.joined import replaced
from fer_ssl.data.manifest import manifest_hash
from fer_ssl.data.module import FaceData
from fer_ssl.data.pool_labels import write_pool_labels
from fer_ssl.devices import chosen_device
from fer_ssl.errors import ConfigError, StorageError, WorkerError
from fer_ssl.inference import trusted_config
from fer_ssl.method.choices import require_choice
from fer_ssl.method.thresholds import Threshold
from fer_ssl.moving import move, require_same_faces
from fer_ssl.results import write_json
from fer_ssl.run import run
from fer_ssl.scoring import predict
from fer_ssl.trust import require_trusted, targets
from fer_ssl.types import UNKNOWN, Faces, Gate, LabeledView

log = logging.getLogger(__name__)

LABELS = "pool_labels.parquet"
DATA = ("fer_ssl.data.sources", "fer_ssl.data.pools", "fer_ssl.data.samplers")  # parts that only read


def label_pool(
    checkpoint_path: Path,
    selection: DictConfig,
    accelerator: str,
    path: Path,
    allow_targets: Sequence[str] = (),
    roots: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Label the whole pool of a checkpoint's run by its averaged model, write `path`, and return a summary.

    `selection` holds a `threshold`, an `alignment`, the `epoch` they are in, and the role of the labeled faces they
    `observe`; `roots` say where faces lie that moved since. The summary stays beside the labels; where it tells of this
    checkpoint, selection and pool, these stay.
    Raises ConfigError for a selection that cannot select, where there is no checkpoint, for a run without a pool,
    without a classifier, or without such faces, for roots of other faces than the run's, and for a run whose data or
    network are of modules that are neither of fer_ssl nor among `allow_targets`; DataError where more faces cannot be
    read than the run allowed.
    """
    require_selecting(selection)
    checkpoint = read_checkpoint(checkpoint_path)
    require_classifier(checkpoint, checkpoint_path)
    trained = trusted_config(checkpoint, list(allow_targets), checkpoint_path)
    places = {part: checkpoint["config"][part] for part in ("data", "unlabeled", "sampler")}
    require_trusted(places, (*DATA, *allow_targets), checkpoint_path)
    trained.data.pseudo_labels = None  # how right the teacher is, the faces tell that people labeled
    move(trained, roots or {})
    data = build_data(trained)
    data.setup()
    require_same_faces(checkpoint, data.digest, plain(trained))
    pool, observed = _pool_and_observed(data, selection.observe)
    digest = hashlib.sha256(checkpoint_path.read_bytes()).hexdigest()
    origin = {"sha256": digest, "selection": plain(selection), "pool": manifest_hash({"pool": pool})}
    told = path.with_suffix(".json")
    if path.exists() and told.exists() and (known := json.loads(told.read_text()))["origin"] == origin:
        return dict(known)
    model = build_model(trained, len(data.space))
    load_average(model, checkpoint)
    model.to(chosen_device(accelerator))
    probs = predict(model, data.eval_loader(pool)).probs
    threshold = build_threshold(selection, len(data.space), {"class_counts": data.class_counts, "pool_size": len(pool)})
    gate = select(threshold, selection.epoch, predict(model, data.eval_loader(observed)), probs)
    data.decoder.rejects.check()
    columns = label_columns(pool, threshold.align(probs), gate)
    write_pool_labels(path, columns, data.space.classes)
    summary = {"origin": origin} | summarise(columns, pool.labels, data.space.classes, gate.tau)
    write_json(told, summary)
    return summary


def require_selecting(selection: DictConfig) -> None:
    """Raise ConfigError for a selection without epochs, or by faces that no run has.

    Also for parts that follow training, batch by batch: they would still stand where they start.
    """
    if selection.epoch is None:
        raise ConfigError("selection.epoch=null is no number of epochs; set selection.epoch=6")
    require_choice("selection.observe", selection.observe, ("labeled", "heldout", "val"))
    if build_threshold(selection, 2, {"class_counts": [1, 1], "pool_size": 1}).follows_training:
        raise ConfigError(
            "the selection's threshold or alignment follows training batch by batch, and a pool is labeled at once; "
            "set threshold@selection.threshold=dtm_relative, fixed or crest, and alignment@selection.alignment=none, "
            "uniform or labeled"
        )


def select(threshold: Threshold, epoch: int, observed: LabeledView, probs: Tensor) -> Gate:
    """Return the gate of the whole pool's `probs` [N, C], once `threshold` has seen `epoch` epochs of labeled faces."""
    for _ in range(epoch):
        threshold.observe(observed)
        threshold.end_epoch()
    gate: Gate = threshold(probs, observed, torch.arange(len(probs)))
    return gate


def label_columns(pool: Faces, probs: Tensor, gate: Gate) -> dict[str, Any]:
    """Return the columns of the file of labels; a face that could not be read, and was replaced, is not kept."""
    confidence, labels = probs.max(1)
    return {
        "id": pool.ids.tolist(),
        "pseudo_label": labels.numpy(),
        "confidence": confidence.numpy(),
        "keep": (gate.keep > 0).numpy() & ~replaced(pool.images),
        "tau": gate.tau[labels].numpy(),
    }


def summarise(columns: dict[str, Any], truth: Tensor, classes: tuple[str, ...], tau: Tensor) -> dict[str, Any]:
    """Return how many faces each class got and keeps, from which threshold, and the share of right ones if known."""
    keep, labels = columns["keep"], columns["pseudo_label"]
    known = keep & (truth.numpy() != UNKNOWN)
    right = (labels == truth.numpy())[known]
    counts = {
        "labeled_as": np.bincount(labels, minlength=len(classes)),
        "kept": np.bincount(labels[keep], minlength=len(classes)),
        "tau": tau.numpy(),
    }
    named = {kind: dict(zip(classes, values.tolist(), strict=True)) for kind, values in counts.items()}
    return {"faces": len(labels), **named, "accuracy": float(right.mean()) if len(right) else None}


def self_train(cfg: DictConfig) -> list[dict[str, Any]]:
    """Train a teacher and `cfg.rounds` students, each on the pool as the one before labeled it; return their figures.

    Round 0 is the teacher's. Each round is a run directory of its own; finished rounds are left as they are and a
    stopped one continues. Writes `rounds.json`.
    """
    _check(cfg)
    run_dir = Path(cfg.run_dir)
    rounds: list[dict[str, Any]] = []
    for number in range(cfg.rounds + 1):
        with _way_on_told(run_dir, number):
            rounds.append(_round(cfg, number))
    write_json(run_dir / "rounds.json", {"rounds": rounds})
    return rounds


def _round(cfg: DictConfig, number: int) -> dict[str, Any]:
    """Train one round and, but for the last, label the pool by it; return its figures."""
    results = run(round_config(cfg, number))
    figures = {"round": number} | {split: results[split] for split in ("test", "val") if split in results}
    if number < cfg.rounds:
        folder = Path(cfg.run_dir) / f"round_{number}"
        checkpoint = folder / "checkpoints" / "last.ckpt"
        own = sorted({target.partition(".")[0] for target in targets(plain(cfg))})  # typed by the user, not found
        figures["labels"] = label_pool(checkpoint, cfg.selection, cfg.trainer.accelerator, folder / LABELS, own)
        log.info("round %d: %s", number, told_in_short(figures["labels"]))
    return figures


@contextmanager
def _way_on_told(run_dir: Path, number: int) -> Iterator[None]:
    """Say how the series goes on where a round was left: what the round says is of itself."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt, StorageError, WorkerError):
        log.warning("left in round %d; the same command with hydra.run.dir=%s goes on from there", number, run_dir)
        raise


def round_config(cfg: DictConfig, number: int) -> DictConfig:
    """Return the configuration of a round: its folder, the labels of the round before, and a milder temperature.

    Rounds approach `alignment.temperature` from 1 in equal steps (CReST+).
    """
    own = copy.deepcopy(cfg)
    run_dir = Path(cfg.run_dir)
    with open_dict(own):
        own.run_dir, own.ckpt_path, own.name = str(run_dir / f"round_{number}"), "auto", f"{cfg.name}_round{number}"
        del own.rounds
        if number == 0:
            del own.selection  # the teacher depends on none
        else:
            own.data.pseudo_labels = str(run_dir / f"round_{number - 1}" / LABELS)
        if "temperature" in own.alignment:
            own.alignment.temperature = 1 - number / cfg.rounds * (1 - cfg.alignment.temperature)
    OmegaConf.resolve(own)
    return own


def told_in_short(labels: dict[str, Any]) -> str:
    """Return one line on the labels of a pool."""
    kept = ", ".join(f"{name} {count}/{labels['labeled_as'][name]}" for name, count in labels["kept"].items())
    right = "" if labels["accuracy"] is None else f"; {100 * labels['accuracy']:.1f} % of them right"
    return f"of {labels['faces']} faces kept {kept}{right}"


def _pool_and_observed(data: FaceData, role: str) -> tuple[Faces, Faces]:
    roles = data.roles()
    if "pool" not in roles:
        raise ConfigError("the run had no pool to label; train with unlabeled=same or another pool")
    known = [name for name in ("labeled", "heldout", "val") if name in roles]
    if role not in known:
        raise ConfigError(
            f"selection.observe={role}, but the run has no such labeled faces; set selection.observe to "
            f"{' or '.join(known)}"
        )
    return roles["pool"], roles[role]


def _check(cfg: DictConfig) -> None:
    if cfg.rounds < 1:
        raise ConfigError(f"rounds={cfg.rounds} makes no student; set rounds=1 or more")
    if cfg.trainer.devices not in (1, "1"):
        raise ConfigError(f"rounds follow one another in one process; set trainer.devices=1, not {cfg.trainer.devices}")
    if cfg.unlabeled.pool is None and not cfg.unlabeled.from_source:
        raise ConfigError("self-training labels a pool; set unlabeled=same or another pool")
    if cfg.selection.observe == "heldout" and cfg.data.heldout_fraction <= 0:
        raise ConfigError("selection.observe=heldout needs faces to look at; set data.heldout_fraction=0.2")
    check(cfg)  # with the selection, of which the teacher's run knows nothing
    require_selecting(cfg.selection)
    if cfg.selection.observe == "val" and cfg.data.val_fraction <= 0:  # unless the set brings some: loading it tells
        data = build_data(round_config(cfg, 0))
        data.setup()
        _pool_and_observed(data, cfg.selection.observe)
