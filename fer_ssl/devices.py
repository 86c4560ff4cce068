"""The processes a run asks for, and whether there is a place for each of them."""

import logging
import os

import torch
from omegaconf import DictConfig, ListConfig

from fer_ssl.data.samplers import per_rank
from fer_ssl.errors import ConfigError
from fer_ssl.method.choices import require_choice
from fer_ssl.precision import require_precision

log = logging.getLogger(__name__)


def check_devices(cfg: DictConfig) -> None:
    """Raise ConfigError, naming the override to type, for devices that are not there or batches they cannot share.

    Also for a precision that no device trains in.
    """
    _require_strategy(cfg.trainer.strategy)
    require_precision(cfg.trainer.precision)
    on_gpu = _on_gpu(cfg.trainer.accelerator)
    if not on_gpu and cfg.trainer.strategy != "auto" and cfg.trainer.strategy.process_group_backend == "nccl":
        raise ConfigError("nccl joins GPUs only; set trainer.strategy.process_group_backend=gloo")
    devices = _gpus(cfg.trainer.devices) if on_gpu else _cores(cfg.trainer.devices)
    _matches_torchrun(devices, cfg.trainer.num_nodes)
    world = devices * cfg.trainer.num_nodes
    per_rank(cfg.batch.labeled, world, "batch.labeled")
    if cfg.unlabeled.pool is not None or cfg.unlabeled.from_source:
        per_rank(cfg.batch.unlabeled, world, "batch.unlabeled")


def chosen_device(accelerator: str) -> str:
    """Return the device on which a checkpoint is asked; raise ConfigError for an accelerator that is not there."""
    require_choice("accelerator", accelerator, ("auto", "cpu", "gpu", "cuda"))
    available = torch.cuda.is_available()
    if accelerator in ("gpu", "cuda") and not available:
        raise ConfigError(f"accelerator={accelerator} asks for a GPU, and there is none; set accelerator=auto")
    return "cpu" if accelerator == "cpu" or not available else "cuda"


def _require_strategy(strategy: str | DictConfig) -> None:
    """Raise ConfigError for a strategy by name, which would lack what ours are set to."""
    if isinstance(strategy, str) and strategy != "auto":
        raise ConfigError(
            f"trainer.strategy={strategy} is none of ours; set trainer=ddp (GPUs), trainer=ddp_cpu, trainer=fsdp "
            "(weights spread over GPUs) or trainer=default"
        )


def _on_gpu(accelerator: str) -> bool:
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise ConfigError(
            f"trainer.accelerator={accelerator} needs a GPU and torch sees none; set trainer=default, or "
            "trainer=ddp_cpu for several processes"
        )
    return accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available()


def _gpus(asked: int | str | ListConfig) -> int:
    there = torch.cuda.device_count()
    if asked in ("auto", -1, "-1"):
        return there
    count = len(asked) if isinstance(asked, ListConfig) else _number(asked)
    if count > there:
        raise ConfigError(f"trainer.devices={asked} is more than the {there} GPUs here; set trainer.devices={there}")
    return count


def _cores(asked: int | str) -> int:
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = 1 if asked == "auto" else _number(asked)
    if count > there:
        log.warning("trainer.devices=%d processes share %d cores; trainer.devices=%d is faster", count, there, there)
    return count


def _number(asked: int | str) -> int:
    count = int(asked) if str(asked).isdecimal() else 0
    if count < 1:
        raise ConfigError(f"trainer.devices={asked} is no number of processes; set trainer.devices=1 or more, or auto")
    return count


def _matches_torchrun(devices: int, nodes: int) -> None:
    local, world = (int(os.environ.get(name, 0)) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    if local and (local, world) != (devices, devices * nodes):
        raise ConfigError(
            f"torchrun started {world} processes, {local} on this machine, but trainer.devices={devices} "
            f"trainer.num_nodes={nodes}; set trainer.devices={local} trainer.num_nodes={world // local}"
        )
