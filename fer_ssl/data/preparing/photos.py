"""The bytes of a photo as upright RGB pixels; needs no torch, which a worker process would load for nothing."""

import numpy as np
from numpy.typing import NDArray

from fer_ssl.data.jpeg import from_jpeg
from fer_ssl.data.pictures import read_picture
from fer_ssl.errors import DataError

Pixels = NDArray[np.uint8]


def read_photo(data: bytes) -> Pixels:
    """Return the first image in the bytes of a photo as RGB uint8 [H, W, 3], turned as its EXIF says.

    Raises DataError, with the reason alone, for bytes that are not a whole image.
    """
    try:
        pixels = from_jpeg(data, 3)
        return np.array(read_picture(data).convert("RGB")) if pixels is None else pixels
    except DataError as error:
        raise DataError(f"unreadable: {error}") from error
