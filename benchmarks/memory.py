"""The memory of a step beside the bare loop's, and whether training holds more the longer it runs.

`python benchmarks/memory.py ours|bare LABELED UNLABELED BACKBONE STEPS` prints the MiB that the steps of one process
add at their peak to what its imports hold; a process has one peak, so each side is a process of its own.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from loops import bare_step, our_module, our_step, ready
from measuring import Measurement, Options, Pairs
from probes import peak_resident_mib, resident_mib
from startup import SMALL, python

PROCESSES = 5  # of each side: huge pages make one differ from the next by some per cent
STEPS = {"ours": our_step, "bare": bare_step}


def peak_mib(side: str, labeled: int, unlabeled: int, backbone: str, steps: int) -> float:
    """Return what `steps` steps add to this process's memory at their peak."""
    our_module("test_resnet")  # imports on both sides what building a module imports
    before = resident_mib()
    step = STEPS[side](ready(labeled, unlabeled), backbone)
    for _ in range(steps):
        step()
    return peak_resident_mib() - before


def in_process(*arguments: object) -> float:
    """Return `peak_mib` of a new process."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_memory(options: Options) -> Iterator[Measurement]:
    """Yield the peak of a step, and the memory at the end of training against that after its first tenth."""
    steps = 2 if options.quick else 5
    for labeled, unlabeled in options.batches:
        sizes = (labeled, unlabeled, options.backbone, steps)
        sides = ([in_process(side, *sizes) for _ in range(1 if options.quick else PROCESSES)] for side in STEPS)
        yield Pairs(*sides).amounts(f"peak of a step {labeled}+{unlabeled}", "bare loop", "MiB", "<= 1.1")
    steps = 20 if options.quick else 2000
    held = held_by_training(steps)
    ratio = held[-1] / held[0]
    yield Measurement(
        f"held after {steps:,} steps", "after a tenth", "MiB", held[-1], held[0], ratio, 0.0, 1, "<= 1.01"
    )


def held_by_training(steps: int) -> list[float]:
    """Return the MiB that a run holds at the end of each tenth of its steps."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "held.json"
        place = (f"hydra.run.dir={folder}/run", f"data.source.cache_dir={folder}/faces")
        probe = ("+callback.held._target_=probes.Residence", f"+callback.held.path={log}")
        sizes = ("batch.labeled=16", "batch.unlabeled=48", "trainer.accelerator=cpu", f"trainer.max_steps={steps}")
        python("-m", "fer_ssl.train", "+experiment=dtm_infonce", *SMALL, *place, *sizes, *probe)()
        held: list[float] = json.loads(log.read_text())
    return held


if __name__ == "__main__":
    print(peak_mib(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])))
