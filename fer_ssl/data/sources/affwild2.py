"""Aff-Wild2 with the expression labels of the ABAW competitions: every frame of videos in the wild."""

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_ssl.data.decode import Decoder
from fer_ssl.data.labels import ABAW
from fer_ssl.data.sources.annotations import fields, read_lines, to_int
from fer_ssl.data.sources.folder import found, image_names
from fer_ssl.data.sources.listed import Listed, first_folder, hold_faces, reject
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import Faces, Splits

log = logging.getLogger(__name__)

ANNOTATIONS = ("EXPR_Recognition_Challenge", "annotations/EXPR_Recognition_Challenge", "annotations", ".")
IMAGES = ("cropped_aligned", "cropped_aligned_new_50_vids")
SETS = {"train": "Train_Set", "test": "Validation_Set"}


class AffWild2:
    """Train_Set, and the official Validation_Set as test: labels of the official test set are not public.

    `images` are the folders below `root` with the frames, `<video>/00001.jpg`, numbered from 1; frames whose face was
    not found are missing. Line i of `<video>.txt` below `annotations` is frame i; frames labeled -1 are left out. The
    subjects are videos, of which `_left` and `_right` are two faces, so that validation is carved by video. `stride`
    takes every so many training frames. The ids are `<video>/<frame>.jpg`.
    """

    space = ABAW
    channels = 3

    def __init__(
        self,
        root: str | Path,
        annotations: str | Path | None = None,
        images: Sequence[str] = IMAGES,
        stride: int = 1,
    ) -> None:
        if stride < 1:
            raise ConfigError(f"data.stride={stride} takes no frame; set data.stride=1 or more")
        self.root = Path(root)
        self.annotations = None if annotations is None else Path(annotations)
        self.images = images
        self.stride = stride

    def load(self, decoder: Decoder) -> Splits:
        """Return train and test; raise DataError for an annotation or image folder that is not as published."""
        places = [Path(name) for name in self.images if (self.root / name).is_dir()]
        if not places:
            raise DataError(
                f"expected the frames in {' and '.join(self.images)} of {self.root}, but {found(self.root)}; "
                "set data.root=<dir> or data.images=[...]"
            )
        return Splits(self._faces("train", places, decoder), test=self._faces("test", places, decoder))

    def _faces(self, split: str, places: list[Path], decoder: Decoder) -> Faces:
        folder = self._annotations(SETS[split])
        files = sorted(folder.glob("*.txt"))
        origin = f"the videos of {folder}"
        faces: list[Listed] = []
        lines, missing = 0, []
        for path in files:
            labels = read_labels(path)
            place = next((place for place in places if (self.root / place / path.stem).is_dir()), None)
            lines += sum(label >= 0 for label in labels)
            faces += self._video(place / path.stem, labels) if place else []
            missing += [] if place else [path.stem]
        decoder.rejects.expect(origin, len(files) - len(missing))
        reject(decoder, origin, missing)
        decoder.rejects.check()
        log.info("%s: %d labeled frames in %d videos, %d with an image", folder, lines, len(files), len(faces))
        kept = faces[:: self.stride] if split == "train" else faces
        held = hold_faces(self.root, kept, decoder, str(folder))
        return replace(held, ids=np.array(["/".join(each.rsplit("/", 2)[1:]) for each in held.ids.tolist()]))

    def _annotations(self, name: str) -> Path:
        if self.annotations is not None:
            return first_folder(self.annotations, (name,), "the annotations")
        return first_folder(self.root, [f"{parent}/{name}" for parent in ANNOTATIONS], "the annotations")

    def _video(self, folder: Path, labels: list[int]) -> list[Listed]:
        """Return the frames in a folder by their numbers; those beyond the annotation are counted and logged."""
        numbered = frame_numbers(image_names(self.root / folder), self.root / folder)
        beyond = sum(number > len(labels) for number in numbered)
        if beyond:
            log.warning("%d frames of %s have no line in its annotation and are not used", beyond, folder)
        return [
            Listed(f"{folder.as_posix()}/{name}", labels[number - 1], video_of(folder.name))
            for number, name in sorted(numbered.items())
            if number <= len(labels) and labels[number - 1] >= 0
        ]


def read_labels(path: Path) -> list[int]:
    """Return the label -1..7 of each frame, the first being frame 1; raise DataError naming a bad line.

    The first line has to name the classes in their official order.
    """
    header, *lines = read_lines(path)
    if [name.casefold() for name in fields(header)] != [name.casefold() for name in ABAW.classes]:
        raise header.error(f"is not the header {','.join(ABAW.classes)}")
    return [to_int(line.text, line, "label", -1, len(ABAW) - 1) for line in lines]


def frame_numbers(names: Sequence[str], folder: Path) -> dict[int, str]:
    """Return the file of each frame number from 1; raise DataError for a name without one and for a number twice."""
    numbered: dict[int, str] = {}
    for name in names:
        match = re.fullmatch(r"0*([1-9]\d{0,8})\.\w+", name)
        if match is None or int(match[1]) in numbered:
            raise DataError(f"{folder / name} is not the only frame of a number like 00001.jpg; remove or rename it")
        numbered[int(match[1])] = name
    return numbered


def video_of(name: str) -> str:
    """Return the video of an annotation: `_left` and `_right` are two faces of one."""
    return re.sub(r"_(left|right)$", "", name)
