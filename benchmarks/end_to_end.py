"""Images per second of `fer_ssl.train`'s own loop, interrupted in turns by bare steps on views that are ready."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from lightning import Callback, Trainer
from loops import Step, adacm_step, bare_step, ready, usb_step
from measuring import Measurement, Options, Pairs, seconds_of

from fer_ssl.build import build_data, build_module, build_trainer
from fer_ssl.cli import CONF
from fer_ssl.compiling import compile_parts
from fer_ssl.types import Faces


class Turns(Callback):
    """Time `chunk` steps of training, then a few of each rival's, `repeats` times after one untimed chunk."""

    def __init__(self, rivals: Mapping[str, Step], chunk: int, repeats: int) -> None:
        self.rivals, self.chunk, self.repeats = rivals, chunk, repeats
        self.seconds: dict[str, list[float]] = {name: [] for name in ("ours", *rivals)}
        self._mark: float | None = None

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step % self.chunk:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if self._mark is not None:
            self.seconds["ours"].append((time.perf_counter() - self._mark) / self.chunk)
        for name, rival in self.rivals.items():
            seconds = seconds_of(rival, max(1, self.chunk // 4))
            if self._mark is not None:
                self.seconds[name].append(seconds)
        self._mark = time.perf_counter()

    def pairs(self, rival: str) -> Pairs:
        return Pairs(self.seconds["ours"], self.seconds[rival])


def timed_training(turns: Turns, *overrides: str, pool: Faces | None = None, experiment: str = "fixmatch") -> None:
    """Train with data, views, logging, checkpoints and EMA as a user would, without validation; `pool` may be given."""
    steps = turns.chunk * (turns.repeats + 1)
    fixed = (
        f"trainer.max_steps={steps}",
        f"epoch_steps={steps}",
        "data.val_fraction=0",
        "trainer.limit_val_batches=0",
    )
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [f"+experiment={experiment}", *fixed, *overrides, f"run_dir={folder}"])
        data = build_data(cfg)
        data.setup()
        data.pool = pool or data.pool
        module = build_module(cfg, data.space, pool_size=0 if data.pool is None else len(data.pool))
        if cfg.compile is not None:
            compile_parts(module, cfg.compile)
        trainer = build_trainer(cfg, Path(folder))
        trainer.callbacks.append(turns)  # type: ignore[attr-defined]
        trainer.fit(module, data)


def dataset(options: Options) -> tuple[str, ...]:
    """Return the overrides of FER2013 where it is given, and of procedural faces otherwise."""
    if options.data is not None:
        return "data=fer2013", f"data.root={options.data}", "data.labels_per_class=100"
    pool = 96 if options.quick else 4000
    return "data=synthetic", f"data.source.pool={pool}", "data.source.val=21", "data.source.test=21"


def measure_end_to_end(options: Options) -> Iterator[Measurement]:
    """Yield training's images per second against the bare loop's and the peers' steps, which have no pipeline."""
    goals = {"bare loop": ">= 0.90", "USB's FixMatch step": ">= 2.3", "Ada-CM's step": ">= 3"}
    steps = (bare_step, usb_step, adacm_step)
    for labeled, unlabeled in options.batches:
        batch = ready(labeled, unlabeled)
        rivals = {name: step(batch, options.backbone) for name, step in zip(goals, steps, strict=True)}
        turns = Turns(rivals, chunk=2 if options.quick else 20, repeats=options.repeats)
        parts = ("backbone=timm", f"backbone.name={options.backbone}", "optim=sgd", "trainer.accelerator=cpu")
        sizes = (f"batch.labeled={labeled}", f"batch.unlabeled={unlabeled}")
        timed_training(turns, *parts, *sizes, *dataset(options))
        for rival, goal in goals.items():
            pairs = turns.pairs(rival)
            yield pairs.rates(f"training {labeled}+{unlabeled}", rival, labeled + unlabeled, goal=goal)
