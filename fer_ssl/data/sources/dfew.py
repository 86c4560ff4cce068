"""DFEW: clips of films, each labeled with one of seven expressions, as folders of aligned frames."""

from pathlib import Path

import numpy as np

from fer_ssl.data.decode import Decoder
from fer_ssl.data.labels import DFEW as DFEW_SPACE
from fer_ssl.data.sources.annotations import read_table, to_int
from fer_ssl.data.sources.folder import image_names
from fer_ssl.data.sources.listed import Listed, first_file, first_folder, hold_faces, refuse_repeats, reject
from fer_ssl.errors import ConfigError
from fer_ssl.types import Faces, Splits

FOLDERS = ("Clip/clip_224x224_16f", "clip_224x224_16f", "Clip/clip_224x224", "clip_224x224")
LAST_CLIP = 16372


class DFEW:
    """Frames of the single-labeled clips; `fold` 1..5 is one of the official train and test splits.

    Each clip gives `frames` of its frames, evenly spaced (None: all), all with the label of the clip. The subjects are
    the clips. The ids are `<clip>/<file>`.
    """

    space = DFEW_SPACE
    channels = 3

    def __init__(self, root: str | Path, fold: int = 1, frames: int | None = None) -> None:
        if fold not in range(1, 6):
            raise ConfigError(f"DFEW has no split {fold}; set data.fold=1 to 5")
        if frames is not None and frames < 1:
            raise ConfigError(f"data.frames={frames} takes no frame; set data.frames=1 or more, or null for all")
        self.root = Path(root)
        self.fold = fold
        self.frames = frames

    def load(self, decoder: Decoder) -> Splits:
        """Return train and test; raise DataError for a list or clip folder that is not as published."""
        train, test = (self._faces(split, decoder) for split in ("train", "test"))
        return Splits(train, test=test)

    def _faces(self, split: str, decoder: Decoder) -> Faces:
        parents = (f"{where}{split}(single{mark}labeled)" for where in ("EmoLabel_DataSplit/", "") for mark in "-_")
        path = first_file(self.root, [f"{parent}/set_{self.fold}.csv" for parent in parents])
        folder = first_folder(self.root, FOLDERS, "the clips")
        clips = read_split(path)
        origin = f"the clips of {path}"
        there = {clip: image_names(folder / clip) for clip in clips}
        decoder.rejects.expect(origin, sum(map(bool, there.values())))
        reject(decoder, origin, [clip for clip, names in there.items() if not names])
        decoder.rejects.check()
        faces = [Listed(f"{clip}/{name}", clips[clip], clip) for clip in clips for name in self._spaced(there[clip])]
        return hold_faces(folder, faces, decoder, str(path))

    def _spaced(self, names: list[str]) -> list[str]:
        if self.frames is None or self.frames >= len(names):
            return names
        middles = (np.arange(self.frames) + 0.5) * len(names) / self.frames
        return [names[int(place)] for place in middles]


def read_split(path: Path) -> dict[str, int]:
    """Return the label of each clip `00001` of a split file, whose labels count from 1; raise DataError on bad ones."""
    rows = [
        (f"{to_int(name, line, 'video_name', 1, LAST_CLIP):05d}", to_int(label, line, "label", 1, len(DFEW_SPACE)) - 1)
        for line, (name, label) in read_table(path, ("video_name", "label"))
    ]
    refuse_repeats([clip for clip, _ in rows], path)
    return dict(rows)
