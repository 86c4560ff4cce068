"""Sets whose file names say everything: JAFFE and KDEF."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fer_ssl.data.decode import Decoder
from fer_ssl.data.labels import JAFFE as JAFFE_SPACE
from fer_ssl.data.labels import KDEF as KDEF_SPACE
from fer_ssl.data.sources.folder import found, image_names
from fer_ssl.data.sources.folds import split_by_subject
from fer_ssl.data.sources.listed import Listed, hold_listed
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import LabelSpace, Splits

JAFFE_NAME = re.compile(r"(?P<person>[A-Z]{2})\.(?P<code>AN|DI|FE|HA|NE|SA|SU)\d\.\d+\.(?:tiff?|png|jpe?g)", re.I)
JAFFE_CODES = {
    "NE": "neutral",
    "HA": "happiness",
    "SA": "sadness",
    "SU": "surprise",
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
}
KDEF_NAME = re.compile(
    r"[AB](?P<person>[FM]\d\d)(?P<code>AF|AN|DI|HA|NE|SA|SU)(?P<angle>FL|HL|S|HR|FR)\.(?:jpe?g|png)", re.I
)
KDEF_CODES = {
    "AF": "afraid",
    "AN": "angry",
    "DI": "disgusted",
    "HA": "happy",
    "NE": "neutral",
    "SA": "sad",
    "SU": "surprised",
}
ANGLES = ("FL", "HL", "S", "HR", "FR")  # full left, half left, straight, half right, full right


class JAFFE:
    """213 TIFF images `KA.AN1.39.tiff` of 10 women, anywhere below `root`.

    The people are dealt to `folds` folds, of which `fold` is test (None: all faces are train). The ids are the paths.
    """

    space: LabelSpace = JAFFE_SPACE
    channels = 1

    def __init__(self, root: str | Path, fold: int | None = 0, folds: int = 10) -> None:
        self.root = Path(root)
        self.fold = fold
        self.folds = folds

    def load(self, decoder: Decoder) -> Splits:
        """Return train and test; raise DataError when no file is named as published."""
        files = coded_files(self.root, JAFFE_NAME, "KA.AN1.39.tiff")
        faces = [coded_face(name, match, self.space, JAFFE_CODES) for name, match in files]
        held = hold_listed(self.root, split_by_subject(faces, self.fold, self.folds, self.root), decoder)
        return Splits(held["train"], test=held.get("test"))


class KDEF:
    """JPEG images `AF01ANS.JPG` of 70 people, two sessions A and B, five angles, anywhere below `root`.

    `angles` chooses among FL, HL, S (straight, the default), HR and FR. The people are dealt to `folds` folds, of which
    `fold` is test (None: all faces are train). The ids are the paths.
    """

    space: LabelSpace = KDEF_SPACE
    channels = 3

    def __init__(self, root: str | Path, fold: int | None = 0, folds: int = 10, angles: Sequence[str] = ("S",)) -> None:
        if not angles or not set(angles) <= set(ANGLES):
            raise ConfigError(f"data.angles=[{','.join(angles)}] is not of {', '.join(ANGLES)}; set data.angles=[S]")
        self.root = Path(root)
        self.fold = fold
        self.folds = folds
        self.angles = angles

    def load(self, decoder: Decoder) -> Splits:
        """Return train and test; raise DataError when no file is named as published."""
        files = coded_files(self.root, KDEF_NAME, "AF01ANS.JPG")
        shown = [(name, match) for name, match in files if match["angle"].upper() in self.angles]
        faces = [coded_face(name, match, self.space, KDEF_CODES) for name, match in shown]
        splits = split_by_subject(faces, self.fold, self.folds, self.root)
        held = hold_listed(self.root, splits, decoder, ignored=[name for name, _ in files])
        return Splits(held["train"], test=held.get("test"))


def coded_files(root: Path, pattern: re.Pattern[str], example: str) -> list[tuple[str, re.Match[str]]]:
    """Return the images below `root` whose names follow `pattern`; raise DataError when there is none."""
    matches = [(name, pattern.fullmatch(name.rpartition("/")[2])) for name in image_names(root)]
    coded = [(name, match) for name, match in matches if match]
    if not coded:
        raise DataError(f"expected images named like {example} below {root}, but {found(root)}; set data.root=<dir>")
    return coded


def coded_face(name: str, match: re.Match[str], space: LabelSpace, codes: Mapping[str, str]) -> Listed:
    """Return the face that a file name describes."""
    return Listed(name, space.index(codes[match["code"].upper()]), match["person"].upper())
