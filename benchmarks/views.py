"""Views with a draw for each face against torchvision's chain, one face after another."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from timing import Figure, paired
from torch import Tensor
from torchvision.transforms import v2

from fer_ssl.views import StrongView

CASES = {(48, 3, 448): "<= 0.25", (48, 1, 448): "<= 0.25", (112, 3, 128): "<= 0.5"}  # side, channels, batch


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


def faces(side: int, channels: int, batch: int) -> Tensor:
    """Return smooth uint8 images [batch, channels, side, side], as compressible as faces."""
    coarse = torch.rand(batch, channels, 6, 6, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic")
    return (smooth * 255).clamp(0, 255).to(torch.uint8)


def figures(repeats: int) -> Iterator[Figure]:
    """Yield the strong view beside torchvision's chain, one image after another, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    strong = StrongView()
    for (side, channels, batch), asked in CASES.items():
        images, chain = faces(side, channels, batch), torchvision_chain(side)
        ours, theirs = partial(strong, images, generator), partial(chain, images)
        name = f"strong view, {batch} faces of {channels} x {side} px"
        yield paired(name, ours, theirs, "torchvision v2 per sample", asked, repeats)
    torch.set_num_threads(threads)
