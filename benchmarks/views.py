"""Views per second on one core: ours with per-sample parameters against torchvision's chain and kornia's."""

from collections.abc import Callable, Iterator

import torch
from measuring import Measurement, Options, in_turns, one_core
from torch import Tensor
from torchvision.transforms import v2

from fer_ssl.views import StrongView, WeakView

View = Callable[[Tensor], Tensor]


def faces(side: int, channels: int, batch: int) -> Tensor:
    """Return smooth uint8 images [batch, channels, side, side], as compressible as faces."""
    coarse = torch.rand(batch, channels, 6, 6, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic")
    return (smooth * 255).clamp(0, 255).to(torch.uint8)


def per_sample(*strong: Callable[..., object]) -> Callable[[int], View]:
    """Return torchvision's crop and mirror, then `strong`, image by image, for faces of a side."""

    def view(side: int) -> View:
        weak = [v2.RandomCrop(side, padding=round(side * 4 / 48)), v2.RandomHorizontalFlip()]
        chain = v2.Compose([*weak, *strong])
        return lambda images: torch.stack([chain(image) for image in images])

    return view


torchvision_weak = per_sample()
torchvision_strong = per_sample(
    v2.RandAugment(3), v2.RandomErasing(p=1.0, scale=(0.02, 0.25), ratio=(1.0, 1.0), value=127)
)


def kornia_strong(side: int, channels: int) -> View | str:
    """Return kornia's crop, mirror and RandAugment(3), one draw for the whole batch, or why it is not compared."""
    if channels != 3:
        return "kornia's RandAugment takes colour faces only"
    try:
        from kornia import augmentation as ka
    except ImportError:
        return "kornia is not installed; pip install -e .[bench] adds it"
    padding = round(side * 4 / 48)
    weak = (ka.RandomCrop((side, side), padding=padding), ka.RandomHorizontalFlip())
    chain = ka.AugmentationSequential(*weak, ka.auto.RandAugment(3, 10))
    return lambda images: (chain(images.float() / 255) * 255).to(torch.uint8)


def measure_views(options: Options) -> Iterator[Measurement]:
    """Yield weak and strong views at 48 and 112 px."""
    cases = ((24, 1, 8),) if options.quick else ((48, 3, 448), (48, 1, 448), (112, 3, 128))
    with one_core():
        for side, channels, batch in cases:
            yield from _case(faces(side, channels, batch), options)


def _case(images: Tensor, options: Options) -> Iterator[Measurement]:
    batch, channels, side, _ = images.shape
    generator = torch.Generator().manual_seed(0)
    weak, strong = WeakView(), StrongView()
    rivals = {
        "torchvision per sample": (torchvision_strong(side), ">= 4" if side <= 48 else ">= 2"),
        "kornia, one draw per batch": (kornia_strong(side, channels), "> 1"),
    }
    label = f"{side} px, {channels} channel{'s' * (channels > 1)}"
    for against, (rival, goal) in rivals.items():
        if isinstance(rival, str):
            print(f"{label}: {rival}")
            continue
        pairs = in_turns(lambda: strong(images, generator), lambda: rival(images), options.repeats, warmup=1)  # noqa: B023
        yield pairs.rates(f"strong views, {label}", against, batch, goal=goal)
    chain = torchvision_weak(side)
    pairs = in_turns(lambda: weak(images, generator), lambda: chain(images), options.repeats, warmup=1)
    yield pairs.rates(f"weak views, {label}", "torchvision per sample", batch)
