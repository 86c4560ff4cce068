"""Plain JPEG files to pixels, without Pillow's cost per image."""

import struct
from typing import NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

START, SCAN, EXIF = b"\xff\xd8\xff", 0xDA, 0xE1
FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive, all Huffman-coded
MAX_SIDE = 4096  # larger images are photos: Pillow checks them and reports what is wrong


class Frame(NamedTuple):
    """What the header of a JPEG says of its pixels."""

    height: int
    width: int
    components: int


def from_jpeg(data: bytes, channels: int) -> NDArray[np.uint8] | None:
    """Return the pixels of a JPEG file as uint8 [H, W, channels], the same as Pillow's.

    None where the file is none, is broken, or needs what only Pillow does: CMYK, EXIF rotation or 12 bits.
    """
    frame = read_frame(data)
    if frame is None:
        return None
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "GRAY" if frame.components == channels == 1 else "RGB")
    except ValueError:
        return None
    if pixels.shape[2] == channels:
        return pixels
    return np.array(Image.fromarray(pixels).convert("L"))[..., None]  # libjpeg's luma is rounded otherwise


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
