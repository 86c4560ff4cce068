"""CK+: 327 labeled sequences of 118 people, from a neutral face to the apex of a posed expression."""

import re
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import torch

from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import hold
from fer_ssl.data.labels import CKPLUS, CKPLUS7, CKPLUS_CSV, label_map
from fer_ssl.data.sources.annotations import read_lines
from fer_ssl.data.sources.fer2013 import parse_pixels, read_csv
from fer_ssl.data.sources.folder import OWN_CLASSES, found, image_names, labeled_files, require_every_class, subfolders
from fer_ssl.data.sources.folds import split_by_subject
from fer_ssl.data.sources.listed import Listed, hold_faces, reject
from fer_ssl.data.sources.parquet import to_labels
from fer_ssl.errors import DataError
from fer_ssl.types import Faces, Splits

EMOTIONS = ("Emotion", "Emotion_labels/Emotion", "emotion")
APEX = 3  # last frames of a sequence that show its expression


class CKPlus:
    """The published tree, the class folders of 48 x 48 faces, or the CSV of those.

    `root` holds `cohn-kanade-images/S005/001/*.png` and `Emotion/S005/001/*_emotion.txt` (the last three frames of a
    labeled sequence are its expression and, with `neutral`, the first is neutral), or class folders of
    `S005_001_00000011.png`, or is a CSV with `emotion,pixels,Usage`. The people are dealt to `folds` folds, of which
    `fold` is test (None: all faces are train); the CSV does not name people, so it can only be train. The ids are the
    paths below `root`, or `ckplus/<row>`.
    """

    channels = 1

    def __init__(self, root: str | Path, fold: int | None = 0, folds: int = 10, neutral: bool = True) -> None:
        self.root = Path(root)
        self.fold = fold
        self.folds = folds
        self.space = CKPLUS if neutral else CKPLUS7
        self._drops = {} if neutral else {"neutral": None}

    def load(self, decoder: Decoder) -> Splits:
        """Return train and test; raise DataError for a layout, label or name that is not as published."""
        csv_path = self.root if self.root.is_file() else self.root / "ckextended.csv"
        if csv_path.is_file():
            return Splits(self._from_csv(csv_path, decoder))
        faces = self._sequences(decoder) if (self.root / "cohn-kanade-images").is_dir() else self._class_folders()
        splits = split_by_subject(faces, self.fold, self.folds, self.root)
        train, *test = (hold_faces(self.root, splits[name], decoder, f"{name} in {self.root}") for name in splits)
        return Splits(train, test=test[0] if test else None)

    def _sequences(self, decoder: Decoder) -> list[Listed]:
        emotions = next((self.root / name for name in EMOTIONS if (self.root / name).is_dir()), None)
        files = sorted(emotions.glob("S*/*/*_emotion.txt")) if emotions else []
        if emotions is None or not files:
            raise DataError(
                f"expected Emotion/S005/001/*_emotion.txt in {self.root}, but {found(emotions or self.root)}; "
                "set data.root=<dir>"
            )
        faces, missing = [], []
        for path in files:
            place = f"cohn-kanade-images/{path.parent.relative_to(emotions).as_posix()}"
            frames = [f"{place}/{name}" for name in image_names(self.root / place)]
            faces += self._sequence(frames, CKPLUS.classes[read_emotion(path)], place.split("/")[1])
            missing += [] if frames else [place]
        decoder.rejects.expect(f"the sequences of {emotions}", len(files) - len(missing))
        reject(decoder, f"the sequences of {emotions}", missing)
        decoder.rejects.check()
        return faces

    def _sequence(self, frames: list[str], expression: str, person: str) -> list[Listed]:
        shown = dict.fromkeys(frames[-APEX:], expression)
        if "neutral" in self.space.classes and frames:
            shown |= {frames[0]: "neutral"} if len(frames) > APEX else {}
        return [Listed(frame, self.space.index(name), person) for frame, name in sorted(shown.items())]

    def _class_folders(self) -> list[Listed]:
        if not {"anger", "happy"} <= set(subfolders(self.root)):
            raise DataError(
                f"expected cohn-kanade-images/ and Emotion/, class folders anger/, happy/, ... or ckextended.csv in "
                f"{self.root}, but {found(self.root)}; set data.root=<dir>"
            )
        names, labels = labeled_files(self.root, self.root, {name: name for name in CKPLUS.classes}, CKPLUS)
        labels = label_map(CKPLUS, self.space, self._drops).labels(labels)
        require_every_class(labels[labels >= 0], self.space, self.root, OWN_CLASSES)
        pairs = zip(names.tolist(), labels.tolist(), strict=True)
        return [Listed(name, label, person_of(name)) for name, label in pairs if label >= 0]

    def _from_csv(self, path: Path, decoder: Decoder) -> Faces:
        if self.fold is not None:
            raise DataError(
                f"{path} does not name people, so a test split of it would share people with training; set "
                "data.fold=null to train on all of it, or use the images"
            )
        table = read_csv(path, ("emotion", "pixels"))
        labels = to_labels(table["emotion"], CKPLUS_CSV, str(path))
        mapped = label_map(CKPLUS_CSV, self.space, self._drops).labels(labels)
        rows = np.flatnonzero(mapped.numpy() >= 0)
        texts = pc.cast(table["pixels"], "string").to_pylist()
        pixels = np.stack([parse_pixels(texts[row] or "", int(row), path) for row in rows])
        ids = np.array([f"ckplus/{row:05d}" for row in rows])
        return hold(pixels, ids, decoder, str(path), mapped[torch.from_numpy(rows)])


def read_emotion(path: Path) -> int:
    """Return the label 0..7 in an `_emotion.txt` file, written like `3.0000000e+00`."""
    line = read_lines(path)[0]
    try:
        value = float(line.text)
    except ValueError:
        value = -1.0
    if value not in range(len(CKPLUS)):
        raise line.error(f"has {line.text[:40]!r} instead of an emotion in 0..{len(CKPLUS) - 1}")
    return int(value)


def person_of(name: str) -> str:
    """Return the person in `<class>/S005_001_00000011.png`; raise DataError for another name."""
    match = re.fullmatch(r"(S\d+)_\d+_\d+", Path(name).stem)
    if match is None:
        raise DataError(
            f"{name} does not name its person like S005_001_00000011.png; restore the name, or load the folders with "
            "data=folder"
        )
    return match[1]
