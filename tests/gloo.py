"""Run a test's function on several ranks that talk over the loopback."""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

Work = Callable[[], dict[str, Any]]


def run_ranks(work: Work, folder: Path, world: int = 2) -> list[dict[str, Any]]:
    """Call `work`, a function at the top of a test module, on `world` ranks; return what each of them returned.

    It is called in `folder`, in processes that Lightning takes for ranks it need not start.
    """
    source = sys.modules[work.__module__].__file__
    mp.spawn(_rank, args=(world, source, work.__name__, str(folder)), nprocs=world)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


def _rank(rank: int, world: int, source: str, name: str, folder: str) -> None:
    os.environ |= {"LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    os.chdir(folder)
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    torch.save(_load(source, name)(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)  # no destructors: threads that torch leaves behind abort a rank now and then (pytorch#90549)


def _load(source: str, name: str) -> Work:
    spec = importlib.util.spec_from_file_location(Path(source).stem, source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)
