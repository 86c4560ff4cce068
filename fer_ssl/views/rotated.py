"""A view that is turned by right angles."""

from typing import Any

import torch
from torch import Tensor, nn


class RotatedView(nn.Module):
    """Turn row i of the global batch of another view counter-clockwise by i modulo 4 right angles."""

    def __init__(self, view: nn.Module) -> None:
        super().__init__()
        self.view = view

    def forward(self, images: Tensor, generator: torch.Generator, first: int = 0, total: int | None = None) -> Tensor:
        """Return the turned views of uint8 faces [B, C, S, S], rows [first, first + B) of a batch of `total`."""
        faces: Tensor = self.view(images, generator, first=first, total=total)
        turned = faces.clone()
        for turns in (1, 2, 3):
            rows = slice((turns - first) % 4, None, 4)
            turned[rows] = faces[rows].rot90(turns, (2, 3))
        return turned

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: what is worth compiling is the view that is turned."""
