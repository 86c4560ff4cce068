"""Faces that an annotation names, with the images it names and those that are there."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from fer_ssl.data.decode import Decoder, Encoded
from fer_ssl.data.images import ImageFiles, hold
from fer_ssl.data.pictures import FORMATS, MAX_PIXELS
from fer_ssl.data.sources.folder import found, image_names
from fer_ssl.errors import DataError
from fer_ssl.types import Faces

log = logging.getLogger(__name__)

SIDE = 2**20  # pixels; no coordinate of a box is larger


class Box(NamedTuple):
    """Where a face is on its image, in pixels of the file as stored; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


class Listed(NamedTuple):
    """A face of an annotation: its image below the folder of images, and what is known of it."""

    file: str
    label: int
    subject: str = ""
    box: Box | None = None
    part: str = ""  # which face of its image, where there are several

    @property
    def id(self) -> str:
        return f"{self.file}:{self.part}" if self.part else self.file


class CroppedFiles:
    """The faces in `boxes` of the image files `names` below `root`, each cut out as it is read."""

    def __init__(self, root: Path, names: Sequence[str], boxes: Sequence[Box]) -> None:
        self.root = root
        self.names = names
        self.boxes = boxes

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        """Return the face as uint8 [H, W, 3]; raises OSError, with the reason, where there is none."""
        try:
            with Image.open(self.root / self.names[row], formats=FORMATS) as image:
                return np.asarray(cut(image, self.boxes[row]).convert("RGB"))
        except OSError:
            raise
        except Exception as error:  # Pillow's readers raise whatever they trip over in a broken file
            raise OSError(f"{type(error).__name__}: {error}") from error


def cut(image: Image.Image, box: Box) -> Image.Image:
    """Return the part of `image` in `box`; raises OSError for an image too large and a box that misses it."""
    if image.width * image.height > MAX_PIXELS:
        raise OSError(f"{image.width} x {image.height} pixels are too many")
    left, top = max(box.left, 0), max(box.top, 0)
    right, bottom = min(box.right, image.width), min(box.bottom, image.height)
    if left >= right or top >= bottom:
        raise OSError(f"the box {tuple(box)} holds nothing of the {image.width} x {image.height} pixels")
    return image.crop((left, top, right, bottom))


def hold_listed(
    folder: Path, splits: Mapping[str, Sequence[Listed]], decoder: Decoder, ignored: Sequence[str] = ()
) -> dict[str, Faces]:
    """Return the faces of each split whose images are in `folder`.

    Listed images that are missing count as rejected. Images that neither a split nor `ignored` lists are counted and
    logged. Raises DataError for a face listed twice, and when a split has no face or too few of its images.
    """
    everything = [face for faces in splits.values() for face in faces]
    refuse_repeats([face.id for face in everything], folder)
    there = set(image_names(folder))
    report_unlisted(len(there.difference((face.file for face in everything), ignored)), folder)
    held = {}
    for split, faces in splits.items():
        origin = f"{split} in {folder}"
        reject(decoder, origin, [face.id for face in faces if face.file not in there])
        held[split] = hold_faces(folder, [face for face in faces if face.file in there], decoder, origin)
    return held


def hold_faces(folder: Path, faces: Sequence[Listed], decoder: Decoder, origin: str) -> Faces:
    """Return faces whose images are there, with subjects where they are known; raise DataError when there is none."""
    if not faces:
        raise DataError(f"none of the images of {origin} is there; {found(folder)}; set data.root=<dir>")
    files = [face.file for face in faces]
    boxes = [face.box for face in faces if face.box]
    encoded: Encoded = CroppedFiles(folder, files, boxes) if boxes else ImageFiles(folder, np.array(files))
    labels = torch.tensor([face.label for face in faces])
    subjects = np.array([face.subject for face in faces]) if faces[0].subject else None
    return hold(encoded, np.array([face.id for face in faces]), decoder, origin, labels, subjects=subjects)


def reject(decoder: Decoder, origin: str, missing: Sequence[str]) -> None:
    """Count listed images that are not there as unreadable images of `origin`."""
    decoder.rejects.expect(origin, len(missing))
    for image_id in missing:
        decoder.rejects.add(origin, image_id, "it is listed, but not there")


def refuse_repeats(ids: Sequence[str], origin: Path) -> None:
    """Raise DataError for an id that stands twice."""
    seen: set[str] = set()
    for image_id in ids:
        if image_id in seen:
            raise DataError(f"the face {image_id!r} of {origin} is listed twice; restore the official lists")
        seen.add(image_id)


def report_unlisted(count: int, folder: Path) -> None:
    """Log how many images no annotation names."""
    if count:
        log.warning("%d images in %s are not listed and not used", count, folder)


def first_folder(root: Path, names: Sequence[str], what: str) -> Path:
    """Return the first of the folders `names` below `root` that exists; raise DataError naming all of them."""
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(f"expected {what} in {' or '.join(names)} of {root}, but {found(root)}; set data.root=<dir>")


def first_file(root: Path, names: Sequence[str]) -> Path:
    """Return the first of the files `names` below `root` that exists; raise DataError naming all of them."""
    for name in names:
        if (root / name).is_file():
            return root / name
    raise DataError(f"expected the file {' or '.join(names)} in {root}, but {found(root)}; set data.root=<dir>")
