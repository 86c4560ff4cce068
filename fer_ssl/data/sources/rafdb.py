"""RAF-DB basic: 15,339 photos of faces from the web with one of seven expressions each."""

import re
from pathlib import Path
from typing import Literal

from fer_ssl.data.decode import Decoder
from fer_ssl.data.labels import RAFDB as RAFDB_SPACE
from fer_ssl.data.sources.annotations import read_lines, to_file, to_int
from fer_ssl.data.sources.listed import SIDE, Box, Listed, first_file, first_folder, hold_listed
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import Splits

LISTS = ("EmoLabel/list_patition_label.txt", "basic/EmoLabel/list_patition_label.txt", "list_patition_label.txt")
FOLDERS = {
    "aligned": ("Image/aligned", "basic/Image/aligned", "aligned"),
    "original": ("Image/original", "basic/Image/original", "original"),
}
BOXES = ("Annotation/boundingbox", "basic/Annotation/boundingbox", "boundingbox")


class RAFDB:
    """The official train and test split; the people are unknown.

    `images` are the aligned faces, or the original photos from which faces are cut by the boxes of the set. The ids
    are the names of the image files.
    """

    space = RAFDB_SPACE
    channels = 3

    def __init__(self, root: str | Path, images: Literal["aligned", "original"] = "aligned") -> None:
        if images not in FOLDERS:
            raise ConfigError(f"unknown images {images!r}; set data.images=aligned|original")
        self.root = Path(root)
        self.images = images

    def load(self, decoder: Decoder) -> Splits:
        """Return train and test; raise DataError for a list or image folder that is not as published."""
        faces = read_list(first_file(self.root, LISTS))
        folder = first_folder(self.root, FOLDERS[self.images], f"the {self.images} images")
        if self.images == "aligned":
            faces = [face._replace(file=face.file.replace(".jpg", "_aligned.jpg")) for face in faces]
        else:
            boxes = first_folder(self.root, BOXES, "the boxes of the faces")
            faces = [face._replace(box=read_box(boxes, face.file)) for face in faces]
        splits = {split: [face for face in faces if face.file.startswith(split)] for split in ("train", "test")}
        held = hold_listed(folder, splits, decoder)
        return Splits(held["train"], test=held["test"])


def read_list(path: Path) -> list[Listed]:
    """Return the faces of `list_patition_label.txt`, whose labels count from 1; raise DataError naming a bad line."""
    faces = []
    for line in read_lines(path):
        match = re.fullmatch(r"((?:train|test)_.*\.jpg)\s+(\S+)", line.text)
        if match is None:
            raise line.error("is not `train_<number>.jpg <label>` or `test_<number>.jpg <label>`")
        faces.append(Listed(to_file(match[1], line), to_int(match[2], line, "label", 1, len(RAFDB_SPACE)) - 1))
    return faces


def read_box(folder: Path, image: str) -> Box:
    """Return the box of an image from `<image>_boundingbox.txt`: left, top, right, bottom in pixels."""
    line = read_lines(folder / image.replace(".jpg", "_boundingbox.txt"))[0]
    try:
        left, top, right, bottom = (round(float(value)) for value in line.text.split())
    except (ValueError, OverflowError):
        raise line.error("is not `left top right bottom`") from None
    if max(map(abs, (left, top, right, bottom))) > SIDE:
        raise DataError(f"{line.path} has a box outside of any image; restore the official file")
    return Box(left, top, right, bottom)
