"""How long a user waits: for help, for the configuration, for the first step."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from measuring import Measurement, Options, in_turns

VERBS = ("train", "evaluate", "report")
SMALL = ("data.source.labeled=70", "data.source.pool=96", "data.source.val=21", "data.source.test=21")


def python(*arguments: str) -> Callable[[], None]:
    """Return a run of the interpreter, which must end well; the folder of this file is on its path."""
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths}

    def run() -> None:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)

    return run


def measure_startup(options: Options) -> Iterator[Measurement]:
    """Yield the seconds of every verb's `--help`, of `--cfg job`, and to the end of the first step."""
    hydra = python("-c", "import hydra")
    for verb in VERBS:
        run = python("-m", f"fer_ssl.{verb}", "--help")
        yield in_turns(run, hydra, options.repeats, warmup=1).seconds(f"{verb} --help", "import hydra")
    run = python("-m", "fer_ssl.train", "+experiment=dtm_infonce", "--cfg", "job")
    yield in_turns(run, hydra, options.repeats, warmup=1).seconds("train --cfg job", "import hydra")
    imports = python("-c", "import torch, lightning.pytorch, timm, torchmetrics")
    with tempfile.TemporaryDirectory() as folder:
        place = (f"hydra.run.dir={folder}/run", f"data.source.cache_dir={folder}/faces")
        end = "+callback.end._target_=probes.EndAfterFirstStep"
        first = python("-m", "fer_ssl.train", "+experiment=dtm_infonce", *SMALL, *place, end)
        pairs = in_turns(first, imports, options.repeats, warmup=1)
    yield pairs.seconds("train, to the first step", "import torch, lightning, timm, torchmetrics")
