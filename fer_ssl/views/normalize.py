"""From grey levels to what a backbone reads."""

import torch
from torch import Tensor, nn


def to_model_input(images: Tensor, mean: float | Tensor, std: float | Tensor, channels_last: bool) -> Tensor:
    """Return float32 [B, 3, H, W]: (images / 255 - mean) / std, with grey repeated over the channels.

    `images` are uint8 or float grey levels 0..255, [B, 1 or 3, H, W]; `mean` and `std` are of the [0, 1] scale, numbers
    or broadcastable [3, 1, 1].
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    levels = images.expand(-1, 3, -1, -1).to(torch.float32, copy=True, memory_format=layout)
    return levels.mul_(1 / (255 * std)).sub_(mean / std)


class Normalize(nn.Module):
    """Scale grey levels to [0, 1], subtract `mean`, divide by `std`, and repeat grey over three channels."""

    def __init__(self, mean: float = 0.5, std: float = 0.5, channels_last: bool = False) -> None:
        super().__init__()
        self.mean = mean
        self.std = std
        self.channels_last = channels_last

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 [B, 3, H, W] from grey levels [B, 1 or 3, H, W], uint8 or float."""
        return to_model_input(images, self.mean, self.std, self.channels_last)
