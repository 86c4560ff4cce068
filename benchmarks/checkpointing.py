"""What keeping the last states costs a run: seconds of writing them beside seconds of the steps between two."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hydra import compose, initialize_config_dir
from measuring import Measurement, Options, Pairs, seconds_of
from omegaconf import DictConfig

from fer_ssl.build import build_data, build_module, build_trainer
from fer_ssl.callbacks.checkpoint import LastCheckpoint
from fer_ssl.cli import CONF

STEPS = 3  # of which each time is a mean


def configured(options: Options, folder: str) -> DictConfig:
    """Return resnet10t's main job at the batch sizes of protocol P1."""
    labeled, unlabeled = options.batches[0]
    overrides = [
        "+experiment=dtm_infonce", "backbone=timm", f"backbone.name={options.backbone}", f"batch.labeled={labeled}",
        f"batch.unlabeled={unlabeled}", "trainer.accelerator=cpu", "trainer.max_steps=1000000", f"run_dir={folder}",
        "data.source.labeled=700", "data.source.pool=960", "data.source.val=70", "data.source.test=70",
        "epoch_steps=1000000", f"trainer.log_every_n_steps={10**6}", "~callback.progress",
    ]  # fmt: skip
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides)


class Timer(LastCheckpoint):
    """Times, in turns, one write of the state as training does it, and the steps of one checkpoint interval."""

    def __init__(self, run_dir: str, repeats: int, interval: int) -> None:
        super().__init__(run_dir)
        self.repeats, self.interval = repeats, interval
        self.pairs = Pairs([], [])
        self._left = 0.0

    def on_train_batch_end(self, trainer, pl_module, *_) -> None:  # type: ignore[no-untyped-def]
        if trainer.global_step % STEPS:
            return
        now = time.perf_counter()
        if self._left:
            self.pairs.reference.append((now - self._left) / STEPS * self.interval)
            self.pairs.ours.append(seconds_of(lambda: self.save(trainer)))
        trainer.should_stop = len(self.pairs.ours) >= self.repeats
        self._left = time.perf_counter()


def measure_checkpointing(options: Options) -> Iterator[Measurement]:
    """Yield the seconds to write a checkpoint, beside those of the 200 steps between two (resnet10t, P1 batches)."""
    with tempfile.TemporaryDirectory() as folder:
        cfg = configured(options, folder)
        data = build_data(cfg)
        data.setup()
        module = build_module(cfg, data.space, len(data.pool))
        interval = cfg.callback.checkpoint.every_n_steps
        trainer = build_trainer(cfg, Path(folder))
        timer = Timer(folder, options.repeats, interval)
        trainer.callbacks = [timer]  # type: ignore[attr-defined]
        trainer.fit(module, data)
        size = (Path(folder) / "checkpoints" / "last.ckpt").stat().st_size / 2**20
        yield timer.pairs.seconds(f"checkpoint of {size:.0f} MiB", f"{interval} steps", goal="<= 0.02")
