"""What tells the copies of an image: digests of its file and pixels, perceptual hashes, a thumbnail."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from fer_ssl.data.decode import Decoder
from fer_ssl.data.labels import meaning
from fer_ssl.data.pictures import read_picture
from fer_ssl.data.twins import THUMB, perceptual_hashes, thumbnail
from fer_ssl.types import UNKNOWN, Faces, Ids

BLOCK = 4096  # faces
PRINT = np.dtype(
    [
        ("file", "<u8"),  # 0 where there is no file
        ("pixels", "<u8"),
        ("hash", "<u8"),
        ("mirrored", "<u8"),
        ("blank", "?"),
        ("thumbnail", "u1", (THUMB**2,)),
    ]
)
Prints = NDArray[Any]


class Printer(Decoder):
    """Makes of each image, in place of a face, its PRINT as uint8 [1, 1, bytes].

    Pixels are compared as stored: upright, flat, in the decoder's channels, but in their own size.
    """

    def __init__(self, image_size: int, channels: int, max_rejected: float) -> None:
        super().__init__(image_size, channels, resident=True, max_rejected=max_rejected)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of what stands for a face."""
        return 1, 1, PRINT.itemsize

    def to_face(self, stored: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the print of the bytes of an image file, or of uint8 [H, W] or [H, W, 3]; raises as `decode` does."""
        if isinstance(stored, np.ndarray):
            return self._fit(Image.fromarray(stored))
        made = self._fit(read_picture(stored))
        made.view(PRINT)["file"] = _digest(stored)
        return made

    def _fit(self, image: Image.Image) -> NDArray[np.uint8]:
        pixels = np.asarray(self._flat(image))
        made = np.zeros((1, 1, 1), PRINT)
        made["pixels"] = _digest(f"{pixels.shape}".encode() + pixels.tobytes())
        made["hash"], made["mirrored"] = perceptual_hashes(pixels)
        made["blank"] = bool((pixels == pixels[0, 0]).all())
        made["thumbnail"] = thumbnail(pixels)
        return made.view(np.uint8)


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Part:
    """The readable faces of a split: their `ids` [N], class names by label, and the people of its set."""

    name: str
    ids: Ids
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    subjects: NDArray[Any] | None

    def label(self, row: int) -> str | None:
        """Return the class of a face by its name in the set, None where nobody labeled it."""
        return None if self.labels[row] == UNKNOWN else self.classes[self.labels[row]]


@dataclass(frozen=True)
class Printed:
    """The faces of all parts behind one another: `prints` [N], `part` int64 [N], `meanings` int64 [N].

    `meanings` number the expressions, whatever the sets call them; UNKNOWN also for blank images, which show none.
    """

    parts: tuple[Part, ...]
    starts: NDArray[np.int64]
    prints: Prints
    meanings: NDArray[np.int64]

    @property
    def part(self) -> NDArray[np.int64]:
        """Return the number of each face's part."""
        return np.repeat(np.arange(len(self.parts)), np.diff(self.starts))

    def place(self, row: int) -> tuple[Part, int]:
        """Return the part of a face and its row there."""
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.parts[number], row - int(self.starts[number])


def print_faces(sets: Mapping[str, tuple[Faces, tuple[str, ...]]], printer: Printer) -> Printed:
    """Return the prints of faces that `printer` loaded, given by split with the names of their classes."""
    starts = np.cumsum([0, *(len(faces) for faces, _ in sets.values())])
    prints = np.zeros(starts[-1], PRINT)
    known: dict[str, int] = {}
    parts, meanings = [], [np.empty(0, np.int64)]
    for (name, (faces, classes)), start in zip(sets.items(), starts, strict=False):
        _fill(prints[start : start + len(faces)], faces, printer)
        labels = faces.labels.numpy()
        parts.append(Part(name, faces.ids, labels, classes, faces.subjects))
        numbers = np.array([*(known.setdefault(meaning(each), len(known)) for each in classes), UNKNOWN])
        meanings.append(numbers[labels])  # UNKNOWN is -1, the last
    joined = np.concatenate(meanings)
    joined[prints["blank"]] = UNKNOWN
    return Printed(tuple(parts), starts, prints, joined)


def _fill(prints: Prints, faces: Faces, printer: Printer) -> None:
    for rows in torch.arange(len(faces)).split(BLOCK):
        read = faces.images.read(rows).numpy()
        if read.shape[1:] != printer.shape:  # of a source that draws its faces
            read = np.stack([printer.to_face(face.transpose(1, 2, 0).squeeze()) for face in read])
        prints[rows.numpy()] = np.ascontiguousarray(read).view(PRINT).reshape(-1)
