"""Photos below a folder, and their bytes as upright RGB pixels."""

import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fer_ssl.data.decode import FORMATS, MAX_PIXELS
from fer_ssl.data.sources.folder import SUFFIXES, found
from fer_ssl.errors import DataError

Pixels = NDArray[np.uint8]


def list_photos(root: Path) -> tuple[list[str], dict[str, str]]:
    """Return the photos below `root` as sorted relative paths, and the folders that were not read with the reason.

    Folders that are links are not followed, so that a loop ends. Raises DataError when there is no photo.
    """
    names: list[str] = []
    skipped: dict[str, str] = {}

    def unreadable(error: OSError) -> None:
        skipped[os.path.relpath(error.filename, root)] = f"unreadable folder: {error.strerror}"

    for parent, folders, files in os.walk(root, onerror=unreadable):
        below = Path(parent).relative_to(root)
        linked = [name for name in folders if (Path(parent) / name).is_symlink()]
        skipped |= {(below / name).as_posix(): "a folder that is a link is not followed" for name in linked}
        photos = [name for name in files if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
        names += [(below / name).as_posix() for name in photos]
    if not names:
        raise DataError(f"expected photos below {root}, but {found(root)}; set input=<dir>")
    return sorted(names), skipped


def read_photo(data: bytes) -> Pixels:
    """Return the first image in the bytes of a photo as RGB uint8 [H, W, 3], turned as its EXIF says.

    Raises DataError, with the reason alone, for bytes that are not a whole image.
    """
    if not data:
        raise DataError("unreadable: the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"unreadable: {image.width} x {image.height} pixels are too many")
            return np.array(_flat(ImageOps.exif_transpose(image)).convert("RGB"))
    except UnidentifiedImageError:
        raise DataError("unreadable: not an image") from None
    except DataError:
        raise
    except Exception as error:  # Pillow's readers raise whatever they trip over in a broken file
        raise DataError(f"unreadable: {type(error).__name__}: {error}") from error


def _flat(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        return Image.fromarray((deep.clip(0, 0xFFFF) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        return Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    return image
