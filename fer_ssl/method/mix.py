"""Faces made of two: what the student may be shown once pseudo-labels are known."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fer_ssl import dist
from fer_ssl.errors import ConfigError


class Mixed(NamedTuple):
    """Mixed faces by view, `images` float [B, channels, H, W] in [0, 255], and their `targets` float [B, C]."""

    images: dict[str, Tensor]
    targets: dict[str, Tensor]


class Unmixed(nn.Module):
    """No mixing: no loss term may read mixed faces."""


class MixUp(nn.Module):
    """Mix each face, and its target, with a random one of all views, of which it remains the greater part.

    Shares are drawn from Beta(`alpha`, `alpha`) for each face; partners may be on any rank, so W ranks mix what one
    would. Raises ConfigError unless alpha > 0. Sources: mixup (ICLR 2018), as in MixMatch (NeurIPS 2019).
    """

    def __init__(self, alpha: float = 0.75) -> None:
        super().__init__()
        if alpha <= 0:
            raise ConfigError(f"shares cannot be drawn from Beta({alpha}, {alpha}); set mix.alpha above 0, or mix=none")
        self.alpha = alpha

    @torch.no_grad()
    def forward(self, images: Mapping[str, Tensor], targets: Mapping[str, Tensor], seed: int) -> Mixed:
        """Return the mix of `images` [B, channels, H, W] and of `targets` [B, C] of the same views; `seed` draws it."""
        faces = torch.cat([dist.gather(view) for view in images.values()])
        labels = torch.cat([dist.gather(targets[name].float()) for name in images])
        draws = np.random.default_rng(seed)
        partners = torch.from_numpy(draws.permutation(len(faces)))
        shares = torch.from_numpy(draws.beta(self.alpha, self.alpha, len(faces))).float()
        mixed, first = Mixed({}, {}), 0
        for name, view in images.items():
            rows = slice(first + dist.rank() * len(view), first + (dist.rank() + 1) * len(view))
            share, partner = (_to(drawn[rows], view.device) for drawn in (torch.maximum(shares, 1 - shares), partners))
            mixed.images[name] = _blend(view, faces[partner], share)
            mixed.targets[name] = _blend(targets[name], labels[partner], share)
            first += dist.world_size() * len(view)
        return mixed


def require_reading(mixer: nn.Module, terms: Collection[str]) -> None:
    """Raise ConfigError unless `mixer` mixes exactly where loss `terms`, by name, read mixed faces."""
    mixes = not isinstance(mixer, Unmixed)
    if terms and not mixes:
        raise ConfigError(f"loss term {min(terms)!r} reads mixed faces and no part mixes them; set mix=mixup")
    if mixes and not terms:
        raise ConfigError("no loss term reads the faces that are mixed; set mix=none or loss=[mixed_labeled,...]")


def _blend(ours: Tensor, theirs: Tensor, share: Tensor) -> Tensor:
    return torch.lerp(theirs.float(), ours.float(), share.view(-1, *[1] * (ours.ndim - 1)))


def _to(drawn: Tensor, device: torch.device) -> Tensor:
    # from pageable memory the copy would wait for the device
    return (drawn.pin_memory() if device.type == "cuda" else drawn).to(device, non_blocking=True)
