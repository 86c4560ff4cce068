"""ExpW: 91,793 faces on photos that a search engine found by an expression and an occupation or origin."""

from pathlib import Path

from fer_ssl.data.decode import Decoder
from fer_ssl.data.labels import EXPW
from fer_ssl.data.sources.annotations import Line, read_lines, to_file, to_int
from fer_ssl.data.sources.folds import split_by_subject
from fer_ssl.data.sources.listed import SIDE, Box, Listed, first_file, first_folder, hold_listed
from fer_ssl.types import Splits

LISTS = ("label/label.lst", "label.lst", "data/label/label.lst")
FOLDERS = ("image/origin", "origin", "data/image/origin")
FIELDS = "image_name face_id top left right bottom confidence label"


class ExpW:
    """Faces cut from their photos by the boxes of the set.

    There is no official split and the people are unknown, so photos are dealt to `folds` folds, of which `fold` is
    test (None: all faces are train). Faces whose detector was less sure than `confidence` (0..100) are left out. The
    ids are `<photo>:<face>`.
    """

    space = EXPW
    channels = 3

    def __init__(self, root: str | Path, fold: int | None = 0, folds: int = 10, confidence: float = 0.0) -> None:
        self.root = Path(root)
        self.fold = fold
        self.folds = folds
        self.confidence = confidence

    def load(self, decoder: Decoder) -> Splits:
        """Return train and test; raise DataError for a list or image folder that is not as published."""
        path = first_file(self.root, LISTS)
        rated = read_list(path)
        faces = [face for face, confidence in rated if confidence >= self.confidence]
        splits = split_by_subject(faces, self.fold, self.folds, path)
        folder = first_folder(self.root, FOLDERS, "the photos")
        held = hold_listed(folder, splits, decoder, ignored=[face.file for face, _ in rated])
        return Splits(held["train"], test=held.get("test"))


def read_list(path: Path) -> list[tuple[Listed, float]]:
    """Return the faces of `label.lst`, each with the detector's confidence; raise DataError naming a bad line.

    The name of a photo may hold spaces.
    """
    return [read_face(line) for line in read_lines(path)]


def read_face(line: Line) -> tuple[Listed, float]:
    """Return the face of one line and the detector's confidence."""
    values = line.text.rsplit(maxsplit=7)
    if len(values) != 8:
        raise line.error(f"is not `{FIELDS}`")
    face, top, left, right, bottom = (
        to_int(value, line, what, -SIDE, SIDE) for value, what in zip(values[1:6], FIELDS.split()[1:6], strict=True)
    )
    try:
        confidence = float(values[6])
    except ValueError:
        raise line.error(f"has confidence {values[6][:40]!r} instead of a number") from None
    file, label = to_file(values[0], line), to_int(values[7], line, "label", 0, len(EXPW) - 1)
    return Listed(file, label, file, Box(left, top, right, bottom), str(face)), confidence
