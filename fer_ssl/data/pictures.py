"""Bytes of an image file to one upright 8-bit picture, by Pillow."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fer_ssl.errors import DataError

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")  # Pillow's other readers are never offered untrusted bytes
MAX_PIXELS = 2**26  # a face of 8192 x 8192; a larger header is a decompression bomb


def read_picture(data: bytes) -> Image.Image:
    """Return the first picture in the bytes of a PNG, JPEG, BMP, WebP or TIFF file, without transparency.

    EXIF rotation is applied. Raises DataError, with the reason alone, for bytes that are not a whole image.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{image.width} x {image.height} pixels are too many")
            return flatten(ImageOps.exif_transpose(image))
    except DataError:
        raise
    except Exception as error:  # Pillow's readers raise whatever they trip over in a broken file
        raise DataError(_reason(data, error)) from error


def flatten(image: Image.Image) -> Image.Image:
    """Return an 8-bit image whose transparency lies over black; raise DataError for more than 16 bits."""
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_to_8_bit(np.asarray(image)))
    if image.has_transparency_data:
        return Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA")).convert("RGB")
    return image


def _to_8_bit(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    if pixels.dtype.kind == "f" or pixels.min() < 0 or pixels.max() > 0xFFFF:
        raise DataError("pixels of more than 16 bits have no known range")
    return (pixels.astype(np.uint16) >> 8).astype(np.uint8)


def _reason(data: bytes, error: Exception) -> str:
    if not data:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return f"{type(error).__name__}: {error}"
