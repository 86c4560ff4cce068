"""Configuration to objects; with the mains the only importer of Hydra."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning import Callback, Trainer
from omegaconf import DictConfig, OmegaConf

from fer_ssl.callbacks.cuda_graphs import StepMarks
from fer_ssl.compiling import GRAPH_MODES
from fer_ssl.data.decode import Decoder
from fer_ssl.data.module import FaceData
from fer_ssl.data.splits import SplitPlan
from fer_ssl.errors import FerError
from fer_ssl.loggers import HistoryLogger
from fer_ssl.method.losses import Term
from fer_ssl.module import SemiSupervised
from fer_ssl.nn.model import FaceModel
from fer_ssl.types import LabelSpace


def make(node: DictConfig, **arguments: Any) -> Any:
    """Instantiate a part with plain containers; a FerError of its constructor comes out as itself."""
    try:
        return instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, FerError):
            raise error.__cause__ from None
        raise


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
    )


def build_decoder(cfg: DictConfig, image_size: int) -> Callable[[int], Decoder]:
    """Return a decoder that still waits for its channels."""

    def decoder(channels: int) -> Decoder:
        data = cfg.data
        return Decoder(image_size, data.channels or channels, data.resident, data.resident_gib, data.max_rejected)

    return decoder


def build_model(cfg: DictConfig, classes: int, fresh: bool = False) -> FaceModel:
    """Return the student network; only a `fresh` one looks for weights to start from, others get a checkpoint's."""
    nothing = {"init": None, "pretrained": False}
    start = {} if fresh else {key: value for key, value in nothing.items() if key in cfg.backbone}
    return FaceModel(make(cfg.backbone, **start), make(cfg.head, _partial_=True), classes)


def build_terms(cfg: DictConfig, sizes: Mapping[str, int]) -> dict[str, Term]:
    """Return the loss terms by name; those `sizes` that a term lists among its keys are filled in."""
    return {
        str(name): make(term, **{key: size for key, size in sizes.items() if key in term})
        for name, term in cfg.loss.items()
    }


def build_module(
    cfg: DictConfig, space: LabelSpace, pool_size: int = 0, people: int = 0, fresh: bool = True
) -> SemiSupervised:
    """Return the module with all its parts, seeded so that equal configurations start from equal weights.

    `people` are those whom the pool names. One that is not `fresh` is about to be loaded from a checkpoint.
    """
    torch.manual_seed(cfg.seed)
    model = build_model(cfg, len(space), fresh)
    facts = {"width": model.embedding_width(), "people": people, "classes": len(space)}
    sizes = {"classes": len(space)} | ({"pool_size": pool_size} if "pool_size" in cfg.threshold else {})
    return SemiSupervised(
        model=model,
        teacher=make(cfg.teacher, _partial_=True),
        memory=make(cfg.memory, **{key: size for key, size in facts.items() if key in cfg.memory}),
        target=make(cfg.target),
        threshold=make(cfg.threshold, **sizes),
        mixer=make(cfg.mix),
        terms=build_terms(cfg, facts),
        views=make(cfg.view),
        optimizer=make(cfg.optim.optimizer),
        schedule=make(cfg.schedule),
        space=space,
        weight_decay=cfg.optim.weight_decay,
        epoch_steps=cfg.epoch_steps,
        seed=cfg.seed,
        one_pass=cfg.one_pass,
        config=plain(cfg),
    )


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return the resolved configuration as plain values, which a checkpoint may hold."""
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))


def precision(asked: str, accelerator: str) -> str:
    """Return Lightning's precision; `auto` is bf16 where the hardware has it: emulated, it is slower."""
    if asked != "auto":
        return asked
    on_gpu = accelerator != "cpu" and torch.cuda.is_available()
    cpu = torch.cpu.get_capabilities()
    fast = torch.cuda.is_bf16_supported() if on_gpu else cpu.get("avx512_bf16") or cpu.get("amx_bf16")
    return "bf16-mixed" if fast else "32-true"


def build_callbacks(cfg: DictConfig) -> list[Callback]:
    """Return the callbacks of the configuration, and what compiled networks need beside them."""
    marks = [StepMarks()] if cfg.compile in GRAPH_MODES else []
    return [*(make(callback) for callback in cfg.callback.values()), *marks]


def build_trainer(cfg: DictConfig, run_dir: Path) -> Trainer:
    """Return the Lightning trainer with its loggers and callbacks."""
    trainer: Trainer = make(
        cfg.trainer,
        precision=precision(cfg.trainer.precision, cfg.trainer.accelerator),
        logger=[HistoryLogger(str(run_dir)), *(make(cfg.logger[name]) for name in cfg.logger if name != "csv")],
        callbacks=build_callbacks(cfg),
        profiler=make(cfg.profiler),
        default_root_dir=str(run_dir),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    return trainer
