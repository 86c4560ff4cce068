"""Random numbers for a block of faces, as columns that broadcast against image planes."""

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Draws:
    """Draw parameters for `count` faces from a stream named by `seed` and `key`."""

    def __init__(self, count: int, seed: int, key: Sequence[str | int]) -> None:
        words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
        self.count = count
        self.random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))

    def between(self, low: float | Tensor, high: float | Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        """Return float32 uniform on [low, high): [count, 1, 1], or `shape`."""
        unit = torch.from_numpy(self.random.random(shape or (self.count, 1, 1), dtype=np.float32))
        return low + (high - low) * unit

    def normal(self, std: float | Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        """Return float32 normal with mean 0: [count, 1, 1], or `shape`."""
        return std * torch.from_numpy(self.random.standard_normal(shape or (self.count, 1, 1), dtype=np.float32))

    def generator(self) -> torch.Generator:
        """Return a torch generator, which draws whole pictures of noise faster, seeded from the stream."""
        return torch.Generator().manual_seed(int(self.random.integers(2**63)))

    def chance(self, probability: float) -> Tensor:
        """Return float32 [count, 1, 1]: 1 with `probability`, else 0."""
        return (self.between(0, 1) < probability).float()

    def mix(self, palette: Tensor, jitter: float) -> Tensor:
        """Return colours [count, 3] on the line between neighbours of `palette` [P, 3], each jittered."""
        place = self.between(0, len(palette) - 1, (self.count,))
        lower = place.long().clamp(max=len(palette) - 2)
        part = (place - lower)[:, None]
        colors = palette[lower] * (1 - part) + palette[lower + 1] * part
        return (colors + self.normal(jitter, (self.count, 3))).clamp(0.02, 1)
