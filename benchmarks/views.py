"""Measure weak and strong views against torchvision's per-sample chain on one core, in one run.

Run `OMP_NUM_THREADS=1 python benchmarks/views.py`; with `--json` the table is JSON.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
import torchvision
from torch import Tensor
from torchvision.transforms import v2

from fer_ssl.views import Normalize, StrongView, WeakView

CASES = ((48, 3, 448), (48, 1, 448), (112, 3, 128))  # side, channels, batch


def torchvision_chain(side: int) -> Callable[[Tensor], Tensor]:
    """Return a per-sample chain of crop, flip, RandAugment(3) and erasing on a uint8 batch."""
    chain = v2.Compose(
        [
            v2.RandomCrop(side, padding=round(side * 4 / 48)),
            v2.RandomHorizontalFlip(),
            v2.RandAugment(3),
            v2.RandomErasing(p=1.0, scale=(0.02, 0.25), ratio=(1.0, 1.0), value=127),
        ]
    )
    return lambda images: torch.stack([chain(image) for image in images])


def rates(rivals: dict[str, Callable[[Tensor], Tensor]], images: Tensor, repeats: int) -> dict[str, int]:
    """Return the median images per second of each of `rivals`, timed in turn `repeats` times after one warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(repeats + 1):
        for name, view in rivals.items():
            start = time.perf_counter()
            view(images)
            seconds[name].append(time.perf_counter() - start)
    return {name: round(len(images) / statistics.median(times[1:])) for name, times in seconds.items()}


def faces(side: int, channels: int, batch: int) -> Tensor:
    """Return smooth uint8 images [batch, channels, side, side], as compressible as faces."""
    coarse = torch.rand(batch, channels, 6, 6, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic")
    return (smooth * 255).clamp(0, 255).to(torch.uint8)


def measure(side: int, channels: int, batch: int, repeats: int) -> dict[str, object]:
    """Return one row: images per second of every view and the ratio of ours to torchvision's."""
    generator = torch.Generator().manual_seed(0)
    weak, strong, sharp = WeakView(), StrongView(), StrongView(interpolation="nearest")
    normalize = Normalize()
    rivals: dict[str, Callable[[Tensor], Tensor]] = {
        "weak": lambda images: weak(images, generator),
        "strong": lambda images: strong(images, generator),
        "strong_nearest": lambda images: sharp(images, generator),
        "normalize": normalize,
        "torchvision": torchvision_chain(side),
    }
    found = rates(rivals, faces(side, channels, batch), repeats)
    ratio = round(found["strong"] / found["torchvision"], 2)
    return {"side": side, "channels": channels, "batch": batch, **found, "strong_over_torchvision": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = [measure(*case, args.repeats) for case in CASES]
    if args.json:
        versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
        print(json.dumps({"unit": "images per second, one thread", **versions, "rows": table}, indent=2))
        return
    print("  ".join(table[0]))
    for row in table:
        print("  ".join(f"{value!s:>{len(name)}}" for name, value in row.items()))


if __name__ == "__main__":
    main()
