"""The views a step asks for, drawn reproducibly from the run's seed and the batch's position."""

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fer_ssl.errors import ConfigError
from fer_ssl.views.rotated import RotatedView
from fer_ssl.views.strong import StrongView
from fer_ssl.views.weak import WeakView


class Views(nn.Module):
    """The augmentation behind each view: `labeled`, `weak`, `weak2`, `strong`, `strong2`, `rotated` (a turned one)."""

    def __init__(self, labeled: nn.Module, weak: WeakView, strong: StrongView) -> None:
        super().__init__()
        self.weak, self.strong = weak, strong
        unlabeled = {"weak": weak, "weak2": weak, "strong": strong, "strong2": strong, "rotated": RotatedView(strong)}
        self.kinds = nn.ModuleDict({"labeled": labeled, **unlabeled})

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile each kind of view."""
        for view in set(self.kinds.values()):
            view.compile(*args, **kwargs)

    @torch.no_grad()
    def draw(
        self, sources: Mapping[str, Tensor], names: Iterable[str], key: tuple[int, int], rank: int = 0, world: int = 1
    ) -> dict[str, Tensor]:
        """Return the named views of `sources["labeled"]` and `sources["unlabeled"]`, [B, channels, H, W] each.

        Parameters are drawn for the batch over all ranks and sliced, so W ranks see what one rank would.
        """
        views = {}
        for name in sorted(names):
            kind = "labeled" if name == "labeled" else "unlabeled"
            if kind not in sources:
                raise ConfigError(
                    f"a loss term reads the view {name!r} of unlabeled faces; set unlabeled=same or another"
                )
            images = sources[kind]
            first, total = rank * len(images), world * len(images)
            views[name] = self.kinds[name](images, view_generator(name, *key), first=first, total=total)
        return views


def view_generator(name: str, seed: int, position: int) -> torch.Generator:
    """Return the generator of one view of one batch: a function of its arguments alone, so nothing need be saved."""
    return torch.Generator().manual_seed(zlib.crc32(f"{name}/{seed}/{position}".encode()) + (seed << 32))
