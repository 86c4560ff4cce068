"""Convolutions of maps no larger than their kernel, as one matrix product on a CPU."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Size = tuple[int, int]
MANY = 16  # images from which on a product saves more than laying out its weights costs


class SmallMapConv2d(nn.Conv2d):
    """A convolution with weights [out, in, *kernel] that is a matrix product where a CPU has no faster way.

    A 3x3 kernel on a map of 2x2 places, what ResNets make of 48 px in the end, mostly multiplies padding, and CPU
    kernels that tile the rows of a map find nothing to tile. There an output place sees most input places, so the
    weights are laid out as a matrix from all of one to all of the other. Values are those of `nn.Conv2d`, to rounding.
    """

    @classmethod
    def of(cls, conv: nn.Conv2d) -> "SmallMapConv2d":
        """Return a convolution with the parameters and the geometry of `conv`."""
        kernel, stride = cast(Size, conv.kernel_size), cast(Size, conv.stride)
        made = cls(conv.in_channels, conv.out_channels, kernel, stride, padding_of(conv), bias=False, device="meta")
        made.weight, made.bias = conv.weight, conv.bias
        return made

    def forward(self, images: Tensor) -> Tensor:
        """Convolve images [B, in, H, W]."""
        before: Size = (images.shape[2], images.shape[3])
        area = self.kernel_size[0] * self.kernel_size[1]
        if images.device.type == "cpu" and len(images) >= MANY and before[0] * before[1] <= area:
            after = size_after(self, before)
            if 0 < after[0] * after[1] < area:
                return self.product(images, before, after)
        return super().forward(images)

    def product(self, images: Tensor, before: Size, after: Size) -> Tensor:
        """Convolve images [B, in, *before] to [B, out, *after]."""
        taps = joining_taps(before, self.kernel_size, self.stride, padding_of(self)).to(self.weight)
        kernels = self.weight.permute(0, 2, 3, 1).flatten(1, 2)  # [out, taps, in]
        matrix = (taps @ kernels).reshape(self.out_channels * after[0] * after[1], -1)
        bias = None if self.bias is None else self.bias.repeat_interleave(after[0] * after[1])
        maps = F.linear(images.permute(0, 2, 3, 1).flatten(1), matrix, bias)
        return maps.reshape(-1, self.out_channels, *after).contiguous(memory_format=torch.channels_last)


def joining_taps(before: Size, kernel: tuple[int, ...], stride: tuple[int, ...], padding: Size) -> Tensor:
    """Return which tap of a kernel joins two places, as 0 and 1, [places after x places before, taps]."""
    numbered = torch.arange(1.0, before[0] * before[1] + 1)
    seen = F.unfold(numbered.reshape(1, 1, *before), kernel, padding=padding, stride=stride)[0]  # [taps, places after]
    return (seen[..., None] == numbered).flatten(1).T  # 0 is padding, and no place's number


def size_after(conv: nn.Conv2d, before: Size) -> Size:
    """Return height and width of the map that a convolution makes of one of `before`."""
    axes = zip(before, conv.kernel_size, conv.stride, padding_of(conv), strict=True)
    rows, columns = ((size + 2 * pad - kernel) // stride + 1 for size, kernel, stride, pad in axes)
    return rows, columns


def padding_of(conv: nn.Conv2d) -> Size:
    """Return the padding of height and width of a convolution that has it as numbers."""
    return cast(Size, conv.padding)


def dense_on_small_maps(network: nn.Module) -> nn.Module:
    """Let the plain convolutions of `network` be matrix products on small maps; keys and values of its state stay."""
    for module in network.modules():
        for name, child in module.named_children():
            if type(child) is nn.Conv2d and is_plain(child):
                setattr(module, name, SmallMapConv2d.of(child))
    return network


def is_plain(conv: nn.Conv2d) -> bool:
    """Return whether a convolution pads with zeros, by numbers, and neither groups channels nor skips places."""
    by_number = conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    return by_number and conv.groups == 1 and conv.dilation == (1, 1) and conv.kernel_size != (1, 1)
