"""Configuration to objects."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from lightning import Callback, Trainer
from omegaconf import DictConfig, OmegaConf

from fer_ssl.callbacks.checkpoint import DirectIO
from fer_ssl.callbacks.cores import OwnCores
from fer_ssl.callbacks.cuda_graphs import StepMarks
from fer_ssl.compiling import GRAPH_MODES
from fer_ssl.data.admission import Admission
from fer_ssl.data.decode import Decoder
from fer_ssl.data.module import FaceData
from fer_ssl.data.provenance import to_provenance
from fer_ssl.data.splits import SplitPlan
from fer_ssl.errors import DataError
from fer_ssl.loggers import HistoryLogger
from fer_ssl.masking import masked_tree
from fer_ssl.method.losses import Term
from fer_ssl.method.thresholds import Threshold
from fer_ssl.module import SemiSupervised
from fer_ssl.nn.backbones import require_size
from fer_ssl.nn.init import start_from
from fer_ssl.nn.model import FaceModel
from fer_ssl.parts import make
from fer_ssl.precision import precision
from fer_ssl.types import LabelSpace


def build_data(cfg: DictConfig) -> FaceData:
    """Return the data module of a training configuration, not yet loaded."""
    data = cfg.data
    return FaceData(
        source=make(data.source),
        pool=None if cfg.unlabeled.pool is None else make(cfg.unlabeled.pool),
        pool_from_source=cfg.unlabeled.from_source,
        plan=SplitPlan(
            labels_per_class=data.labels_per_class,
            split_seed=data.split_seed,
            split_file=data.split_file,
            val_fraction=data.val_fraction,
            heldout_fraction=data.heldout_fraction,
            use_all_labels=data.use_all_labels,
        ),
        decoder=build_decoder(cfg, cfg.image_size),
        sampler=make(cfg.sampler, _partial_=True),
        batch_labeled=cfg.batch.labeled,
        batch_unlabeled=cfg.batch.unlabeled,
        batch_eval=data.batch_eval,
        epoch_steps=cfg.epoch_steps,
        seed=cfg.seed,
        leak_check=data.leak_check,
        workers=data.workers,
        pseudo_labels=data.pseudo_labels,
        admission=Admission(cfg.policy, data.exclude),
        provenance=to_provenance(data.provenance),
        pool_provenance=to_provenance(cfg.unlabeled.provenance),
    )


def build_decoder(cfg: DictConfig, image_size: int) -> Callable[[int], Decoder]:
    """Return a decoder that still waits for its channels."""

    def decoder(channels: int) -> Decoder:
        data = cfg.data
        return Decoder(image_size, data.channels or channels, data.resident, data.resident_gib, data.max_rejected)

    return decoder


def build_model(cfg: DictConfig, classes: int, fresh: bool = False) -> FaceModel:
    """Return the student network; only a `fresh` one looks for weights to start from, others get a checkpoint's.

    Raises ConfigError for a backbone of timm that takes no faces of the run's `image_size`, and for a file of weights
    that `start_from` refuses.
    """
    settings = {str(key): value for key, value in cfg.backbone.items()}
    init = settings.pop("init", None)
    if not fresh and "pretrained" in settings:
        settings["pretrained"] = False
    backbone = make(DictConfig(settings, parent=cfg, key="backbone"))
    require_size(backbone, cfg.image_size)
    if fresh and init is not None:
        start_from(backbone, Path(init))
    return FaceModel(backbone, make(cfg.head, _partial_=True), classes)


Facts = Mapping[str, int | list[int]]


def known(node: DictConfig, facts: Facts) -> dict[str, Any]:
    """Return those `facts` about the run that a part, or a part inside it, lists among its keys without a value."""
    inside = {str(key): known(part, facts) for key, part in node.items() if isinstance(part, DictConfig)}
    return {key: fact for key, fact in facts.items() if key in node and node[key] is None} | {
        key: found for key, found in inside.items() if found
    }


def build_terms(cfg: DictConfig, facts: Facts) -> dict[str, Term]:
    """Return the loss terms by name; those `facts` that a term lists among its keys are filled in."""
    return {str(name): make(term, **known(term, facts)) for name, term in cfg.loss.items()}


def build_threshold(cfg: DictConfig, classes: int, facts: Facts) -> Threshold:
    """Return the threshold, which sees predictions as the alignment makes them."""
    threshold = make(cfg.threshold, **known(cfg.threshold, facts) | {"classes": classes})
    aligned: Threshold = make(cfg.alignment, _partial_=True, **known(cfg.alignment, facts))(threshold)
    return aligned


def in_steps(threshold: Threshold, batches: int) -> Threshold:
    """Return `threshold` after telling it, and those inside it, of how many batches a step is made."""
    for part in threshold.modules():
        if isinstance(part, Threshold):
            part.step_batches = batches
    return threshold


def build_module(
    cfg: DictConfig,
    space: LabelSpace,
    pool_size: int = 0,
    people: int = 0,
    class_counts: list[int] | None = None,
    taught_counts: list[int] | None = None,
    fresh: bool = True,
) -> SemiSupervised:
    """Return the module with all its parts, seeded so that equal configurations start from equal weights.

    `people` are those whom the pool names, `class_counts` [C] the labeled faces of each class, equally many by default:
    what a threshold or an alignment takes for the world. Losses correct for what they are taught, which `taught_counts`
    [C] tell where pseudo-labels of an earlier round joined the labels. One that is not `fresh` is about to be loaded
    from a checkpoint.
    """
    if len(space) < 2:
        raise DataError(f"{cfg.data.name} has one class, {space.classes[0]}; set data.root to faces of two or more")
    torch.manual_seed(cfg.seed)
    model = build_model(cfg, len(space), fresh)
    facts: Facts = {
        "classes": len(space),
        "width": model.embedding_width(),
        "people": people,
        "pool_size": pool_size,
        "class_counts": class_counts or [1] * len(space),
        "max_steps": cfg.trainer.max_steps,
    }
    return SemiSupervised(
        model=model,
        teacher=make(cfg.teacher, _partial_=True),
        memory=make(cfg.memory, **known(cfg.memory, facts)),
        target=make(cfg.target),
        threshold=in_steps(build_threshold(cfg, len(space), facts), cfg.trainer.accumulate_grad_batches),
        mixer=make(cfg.mix),
        terms=build_terms(cfg, facts if taught_counts is None else {**facts, "class_counts": taught_counts}),
        views=make(cfg.view),
        optimizer=make(cfg.optim.optimizer),
        schedule=make(cfg.schedule),
        space=space,
        weight_decay=cfg.optim.weight_decay,
        epoch_steps=cfg.epoch_steps,
        seed=cfg.seed,
        passes=cfg.passes,
        sync_batchnorm=cfg.trainer.sync_batchnorm,
        config=plain(cfg),
    )


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return the resolved configuration as plain values without secrets, which a checkpoint may hold."""
    return cast(dict[str, Any], masked_tree(OmegaConf.to_container(cfg, resolve=True)))


def build_callbacks(cfg: DictConfig) -> list[Callback]:
    """Return the callbacks of the configuration, and what processes on cores and compiled networks need beside them."""
    marks = [StepMarks()] if cfg.compile in GRAPH_MODES else []
    return [*(make(callback) for callback in cfg.callback.values()), OwnCores(), *marks]


def build_trainer(cfg: DictConfig, run_dir: Path) -> Trainer:
    """Return the Lightning trainer with its loggers and callbacks."""
    trainer: Trainer = make(
        cfg.trainer,
        precision=precision(cfg.trainer.precision, cfg.trainer.accelerator),
        sync_batchnorm=False,  # the module's own work: Lightning's needs CUDA and drops timm's activations
        logger=[HistoryLogger(str(run_dir)), *(make(cfg.logger[name]) for name in cfg.logger if name != "csv")],
        callbacks=build_callbacks(cfg),
        profiler=make(cfg.profiler),
        default_root_dir=str(run_dir),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    trainer.strategy.checkpoint_io = DirectIO()
    return trainer
