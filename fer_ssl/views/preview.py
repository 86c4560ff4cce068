"""A contact sheet of faces and their views, to look at before training."""

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from fer_ssl.views.strong import StrongView
from fer_ssl.views.weak import WeakView

GAP = 2
PAPER = 255


def preview(
    images: Tensor, weak: WeakView, strong: StrongView, generator: torch.Generator, copies: int = 4
) -> Image.Image:
    """Lay uint8 `images` [N, C, S, S] out one per row: the face, `copies` weak views, `copies` strong views."""
    cells = [images, *(view(images, generator) for view in (weak, strong) for _ in range(copies))]
    sheet = functional.pad(torch.stack(cells, 1).cpu(), [0, GAP, 0, GAP], value=PAPER)
    rows, columns, channels, height, width = sheet.shape
    pixels = sheet.permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
    return Image.fromarray(pixels.expand(-1, -1, 3).contiguous().numpy())
