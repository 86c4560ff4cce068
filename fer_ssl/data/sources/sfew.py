"""SFEW 2.0: still frames of films in class folders."""

import re
from pathlib import Path

import numpy as np

from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import ImageFiles, hold
from fer_ssl.data.labels import SFEW as SFEW_SPACE
from fer_ssl.data.sources.folder import OWN_CLASSES, labeled_files, require_every_class
from fer_ssl.data.sources.listed import first_folder
from fer_ssl.types import Faces, Splits

FOLDERS = {split: (f"{split}/{split}_Aligned_Faces", f"{split}_Aligned_Faces", split) for split in ("Train", "Val")}
CLASS_FOLDERS = {variant: name for name in SFEW_SPACE.classes for variant in (name, name.capitalize())}


class SFEW:
    """Train, and the official validation set as test: labels of the official test set are not public.

    The subjects are the films, whose names begin the names of the frames. The ids are the paths below `root`.
    """

    space = SFEW_SPACE
    channels = 3

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def load(self, decoder: Decoder) -> Splits:
        """Return train and test; raise DataError for a missing folder and a folder that is no class."""
        return Splits(self._faces("Train", decoder), test=self._faces("Val", decoder))

    def _faces(self, split: str, decoder: Decoder) -> Faces:
        folder = first_folder(self.root, FOLDERS[split], f"the class folders of {split}")
        names, labels = labeled_files(self.root, folder, CLASS_FOLDERS, self.space)
        require_every_class(labels, self.space, folder, OWN_CLASSES)
        films = np.array([film(name) for name in names.tolist()])
        return hold(ImageFiles(self.root, names), names, decoder, str(folder), labels, subjects=films)


def film(name: str) -> str:
    """Return the film in `<class>/<film>_<time>_<frame>.png`, or the whole stem of another name."""
    return re.sub(r"(_\d+)+$", "", Path(name).stem)
