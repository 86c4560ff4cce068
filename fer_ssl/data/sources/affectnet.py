"""AffectNet: faces from the web, by hand labeled with one of eight expressions; two published layouts."""

import io
from pathlib import Path

import numpy as np

from fer_ssl.data.decode import Decoder
from fer_ssl.data.labels import AFFECTNET, AFFECTNET7
from fer_ssl.data.sources.annotations import Line, read_table, to_file, to_int
from fer_ssl.data.sources.folder import found
from fer_ssl.data.sources.listed import (
    SIDE,
    Box,
    Listed,
    first_folder,
    hold_faces,
    hold_listed,
    reject,
    report_unlisted,
)
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import Faces, Splits

LAST_LABEL = 10  # after the expressions come none, uncertain and non-face
LISTS = ("", "Manually_Annotated_file_lists", "Manually_Annotated")
FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "Manually_Annotated_compressed")
COLUMNS = ("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "expression")
SETS = {"train": "train_set", "test": "val_set"}


class AffectNet:
    """The training set, and the official validation set as test: labels of the official test set are not public.

    `classes` is 8, or 7 to leave contempt out. `root` holds `train_set/` and `val_set/` with `images/<id>.jpg` and
    `annotations/<id>_exp.npy`, or `training.csv`, `validation.csv` and `Manually_Annotated_Images/`, where faces are
    cut from their photos by the boxes of the lists. Photos labeled none, uncertain or non-face are left out, and the
    people are unknown. The ids are the paths of the images, below `root` in the first layout.
    """

    channels = 3

    def __init__(self, root: str | Path, classes: int = 8) -> None:
        if classes not in (7, 8):
            raise ConfigError(f"AffectNet has no variant of {classes} classes; set data.classes=7|8")
        self.root = Path(root)
        self.space = AFFECTNET if classes == 8 else AFFECTNET7

    def load(self, decoder: Decoder) -> Splits:
        """Return train and test; raise DataError for lists, labels or folders that are not as published."""
        if (self.root / SETS["train"]).is_dir():
            train, test = (self._from_annotations(split, decoder) for split in SETS)
            return Splits(train, test=test)
        lists = next((self.root / name for name in LISTS if (self.root / name / "training.csv").is_file()), None)
        if lists is None:
            raise DataError(
                f"expected train_set/ and val_set/, or training.csv and validation.csv, in {self.root}, but "
                f"{found(self.root)}; set data.root=<dir>"
            )
        splits = {"train": read_list(lists / "training.csv"), "test": read_list(lists / "validation.csv")}
        return self._from_lists(splits, decoder)

    def _from_lists(self, splits: dict[str, list[Listed]], decoder: Decoder) -> Splits:
        kept = {split: [face for face in faces if face.label < len(self.space)] for split, faces in splits.items()}
        ignored = [face.file for faces in splits.values() for face in faces]
        held = hold_listed(first_folder(self.root, FOLDERS, "the photos"), kept, decoder, ignored)
        return Splits(held["train"], test=held["test"])

    def _from_annotations(self, split: str, decoder: Decoder) -> Faces:
        folder = self.root / SETS[split]
        images, labels = (first_folder(folder, [name], f"the {name}") for name in ("images", "annotations"))
        files = {path.stem: path.name for path in images.iterdir() if not path.name.startswith(".")}
        named = sorted(path.name.removesuffix("_exp.npy") for path in labels.glob("*_exp.npy"))
        rated = [(name, read_expression(labels / f"{name}_exp.npy")) for name in named]
        used = [(name, label) for name, label in rated if label < len(self.space)]
        reject(decoder, str(images), [name for name, _ in used if name not in files])
        report_unlisted(len(files.keys() - set(named)), images)
        faces = [Listed(f"{SETS[split]}/images/{files[name]}", label) for name, label in used if name in files]
        return hold_faces(self.root, faces, decoder, str(images))


def read_list(path: Path) -> list[Listed]:
    """Return the faces of `training.csv` or `validation.csv` with labels up to LAST_LABEL."""
    return [read_face(line, values) for line, values in read_table(path, COLUMNS)]


def read_face(line: Line, values: list[str]) -> Listed:
    """Return the face of one row; raise DataError naming the line of a bad one."""
    sides = zip(values[1:5], COLUMNS[1:5], strict=True)
    left, top, width, height = (to_int(value, line, what, -SIDE, SIDE) for value, what in sides)
    label = to_int(values[5], line, "expression", 0, LAST_LABEL)
    return Listed(to_file(values[0], line), label, box=Box(left, top, left + width, top + height))


def read_expression(path: Path) -> int:
    """Return the label in an `_exp.npy` file, a number or its digits; raise DataError for anything else.

    Pickled objects, which could run code, are refused.
    """
    try:
        value = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        label = int(str(value.item()))
    except Exception as error:  # NumPy's reader raises whatever it trips over in a broken header
        raise DataError(f"{path} holds no expression ({type(error).__name__}); restore the official file") from None
    return to_int(str(label), Line(str(label), 1, path), "expression", 0, LAST_LABEL)
