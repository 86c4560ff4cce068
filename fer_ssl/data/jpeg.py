"""Plain JPEG files to faces, without Pillow's cost per image."""

import struct
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.io import ImageReadMode

START, SCAN, EXIF = b"\xff\xd8\xff", 0xDA, 0xE1
FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive, all Huffman-coded
MAX_SIDE = 4096  # larger images are photos: Pillow checks them and reports what is wrong


class Frame(NamedTuple):
    """What the header of a JPEG says of its pixels."""

    height: int
    width: int
    components: int


def from_jpeg(data: bytes, channels: int, side: int) -> NDArray[np.uint8] | None:
    """Return the face in a JPEG file as uint8 [channels, side, side].

    None where the file is none, is broken, or needs what only Pillow does: CMYK, colour to gray, EXIF rotation or 12
    bits. torchvision decodes with libjpeg-turbo as Pillow does; torch resizes uint8 with Pillow's own arithmetic.
    """
    frame = read_frame(data)
    if frame is None or frame.components > channels:
        return None
    mode = ImageReadMode.RGB if channels == 3 else ImageReadMode.GRAY
    try:
        # torchvision's own function around this operator costs as much again as it does on a small face
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        pixels: Tensor = torch.ops.image.decode_jpeg(encoded, mode.value)
    except RuntimeError:
        return None
    if pixels.shape[1:] != (side, side):
        pixels = interpolate(pixels[None], (side, side), mode="bilinear", antialias=True)[0]
    return pixels.numpy()


def read_frame(data: bytes) -> Frame | None:
    """Return the frame that a plain 8-bit gray or colour JPEG announces, None for anything else."""
    if data[:3] != START:
        return None
    at = 2
    while at + 10 <= len(data):
        mark, kind, length = struct.unpack_from(">BBH", data, at)
        if mark != 0xFF or kind in (SCAN, EXIF) or length < 2:
            return None
        if kind in FRAMES:
            bits, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
            plain = bits == 8 and components in (1, 3) and 0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE
            return Frame(height, width, components) if plain else None
        at += 2 + length
    return None
