"""FER2013 with its own labels or the FER+ votes, as the official CSV, as Parquet or as class folders."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_ssl.data.decode import Decoder, Encoded
from fer_ssl.data.images import ImageFiles, hold
from fer_ssl.data.labels import FER2013 as FER2013_SPACE
from fer_ssl.data.labels import FERPLUS, VOTE_COLUMNS, vote_majority, vote_probabilities
from fer_ssl.data.sources.folder import OWN_CLASSES, found, labeled_files, require_every_class
from fer_ssl.data.sources.parquet import ParquetImages, read_columns, read_schema, to_labels
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import UNKNOWN, Faces, LabelSpace, Splits

SIDE = 48
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
PARQUET_NAMES = {"Training": "train", "PublicTest": "public_test", "PrivateTest": "private_test"}
FOLDER_NAMES = {
    "Training": ("Training", "train"),
    "PublicTest": ("PublicTest", "test"),
    "PrivateTest": ("PrivateTest", "test"),
}
CLASS_FOLDERS = {variant: name for name in FER2013_SPACE.classes for variant in (name, name.capitalize())}

Usage = Literal["Training", "PublicTest", "PrivateTest"]
Votes = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """The faces of one usage as stored; `rows` int64 [N] are those of the official file, where they are known."""

    encoded: Encoded
    ids: NDArray[np.str_]
    labels: Tensor
    rows: NDArray[np.int64] | None = None
    votes: Votes | None = None


class FER2013:
    """The 35,887 gray 48 x 48 faces of FER2013: Training is train, `test_split` is test.

    `root` is a folder with the official `fer2013.csv` (or that file), with `train.parquet` and `public_test.parquet`,
    or with class folders in `train|Training` and `test|PublicTest|PrivateTest`. The ids are `fer2013/<row>`, the row of
    the official file, or the path below `root` for class folders. With `ferplus_majority` or `ferplus_soft` the
    labels are the majority of the FER+ votes, from `ferplus_csv` (default: the Parquet column, else
    `root/fer2013new.csv`); training faces without majority are UNKNOWN, test faces without are left out.
    """

    channels = 1

    def __init__(
        self,
        root: str | Path,
        labels: Literal["fer2013", "ferplus_majority", "ferplus_soft"] = "fer2013",
        ferplus_csv: str | Path | None = None,
        test_split: Literal["PublicTest", "PrivateTest"] = "PublicTest",
    ) -> None:
        if labels not in ("fer2013", "ferplus_majority", "ferplus_soft"):
            raise ConfigError(f"unknown labels {labels!r}; set data.labels=fer2013|ferplus_majority|ferplus_soft")
        if test_split not in ("PublicTest", "PrivateTest"):
            raise ConfigError(f"unknown test split {test_split!r}; set data.test_split=PublicTest|PrivateTest")
        self.root = Path(root)
        self.labels = labels
        self.ferplus_csv = None if ferplus_csv is None else Path(ferplus_csv)
        self.test_split: Usage = test_split

    @property
    def space(self) -> LabelSpace:
        """Return the label space of FER2013 or FER+."""
        return FER2013_SPACE if self.labels == "fer2013" else FERPLUS

    def load(self, decoder: Decoder) -> Splits:
        """Return train and test; raise DataError for a layout, row or vote file that is not as published."""
        read = self._reader()
        train, test = (self._faces(read(usage), usage, decoder) for usage in ("Training", self.test_split))
        return Splits(train, test=test.subset(torch.nonzero(test.labels != UNKNOWN).flatten()))

    def _reader(self) -> Callable[[Usage], Part]:
        """Return the reader of the form that `root` has."""
        csv_paths = [self.root, *(self.root / name for name in CSV_NAMES)]
        csv_path = next((path for path in csv_paths if path.is_file()), None)
        if csv_path:
            table = read_csv(csv_path, ("emotion", "pixels", "Usage"))
            return lambda usage: read_official(table, usage, csv_path)
        if (self.root / "train.parquet").is_file():
            return lambda usage: read_parquet(self.root, usage)
        if any((self.root / name).is_dir() for name in FOLDER_NAMES["Training"]):
            return lambda usage: read_folders(self.root, usage)
        raise DataError(
            f"expected fer2013.csv, train.parquet with public_test.parquet, or class folders in train/ and test/ in "
            f"{self.root}, but {found(self.root)}; set data.root=<dir>"
        )

    def _faces(self, part: Part, usage: Usage, decoder: Decoder) -> Faces:
        origin = f"{usage} in {self.root}"
        if self.labels == "fer2013":
            return hold(part.encoded, part.ids, decoder, origin, part.labels)
        votes = self._votes(part, usage)
        soft = vote_probabilities(votes) if self.labels == "ferplus_soft" else None
        return hold(part.encoded, part.ids, decoder, origin, vote_majority(votes), soft)

    def _votes(self, part: Part, usage: Usage) -> Votes:
        folder = self.root.parent if self.root.is_file() else self.root
        path = self.ferplus_csv or folder / "fer2013new.csv"
        if part.votes is not None and self.ferplus_csv is None:
            return part.votes
        if part.rows is None:
            raise DataError(
                f"the image files in {self.root} do not tell their row in the official file, which the FER+ votes "
                "need; set data.root=<dir> to the CSV or Parquet form"
            )
        if not path.is_file():
            raise DataError(f"no FER+ votes at {path}; set data.ferplus_csv=<fer2013new.csv>")
        return read_votes(path, part.rows, usage)


def read_csv(path: Path, columns: tuple[str, ...]) -> pa.Table:
    """Read columns of a CSV file whose header may carry spaces; raise DataError naming a missing one."""
    try:
        table = pyarrow.csv.read_csv(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is not a CSV table ({error}); restore the official file") from error
    table = table.rename_columns([name.strip() for name in table.column_names])
    for name in columns:
        if name not in table.column_names:
            raise DataError(f"{path} has no column {name!r} but {', '.join(table.column_names)}; use the official file")
    return table.select(columns)


def read_official(table: pa.Table, usage: Usage, path: Path) -> Part:
    """Return the rows of `usage` from the official CSV; raise DataError naming a malformed row."""
    is_usage = pc.equal(pc.utf8_trim_whitespace(table["Usage"]), usage)
    rows = np.flatnonzero(is_usage.to_numpy())
    if len(rows) == 0:
        raise DataError(f"{path} has no row with Usage {usage}; set data.root=<dir> to the whole official file")
    table = table.filter(is_usage)
    pixels = np.empty((len(rows), SIDE, SIDE), np.uint8)
    for slot, text in enumerate(table["pixels"]):
        pixels[slot] = parse_pixels(str(text.as_py() or ""), int(rows[slot]), path)
    return Part(pixels, _ids(rows), to_labels(table["emotion"], FER2013_SPACE, str(path), rows), rows)


def parse_pixels(text: str, row: int, path: Path) -> NDArray[np.uint8]:
    """Return the pixels of one CSV row as uint8 [48, 48]; raise DataError naming the row."""
    try:
        pixels = np.fromstring(text, dtype=np.int32, sep=" ")
    except ValueError:
        raise DataError(f"row {row} of {path} has pixels that are not numbers; restore the official file") from None
    if pixels.size != SIDE * SIDE:
        raise DataError(
            f"row {row} of {path} has {pixels.size} pixels instead of {SIDE * SIDE}; restore the official file"
        )
    if pixels.min() < 0 or pixels.max() > 255:
        raise DataError(f"row {row} of {path} has pixels outside 0..255; restore the official file")
    return pixels.astype(np.uint8).reshape(SIDE, SIDE)


def read_parquet(root: Path, usage: Usage) -> Part:
    """Return the faces of `usage` from its Parquet file, whose image paths are the rows of the official file."""
    path = root / f"{PARQUET_NAMES[usage]}.parquet"
    if not path.is_file():
        raise DataError(f"no {path.name} in {root}; add it, or set data.test_split to a split that is there")
    columns = ["image", "label"] + ["ferplus_votes"] * ("ferplus_votes" in read_schema(path).names)
    table = read_columns([path], columns, "set data.root=<dir> to FER2013 in Parquet")
    rows = _official_rows(table["image"], path)
    labels = to_labels(table["label"], FER2013_SPACE, str(path), rows)
    votes = np.array(table["ferplus_votes"].to_pylist()) if "ferplus_votes" in columns else None
    return Part(ParquetImages(table["image"]), _ids(rows), labels, rows, votes)


def _official_rows(images: pa.ChunkedArray, path: Path) -> NDArray[np.int64]:
    """Return the row of the official file that each image path names."""
    names = pc.struct_field(images, "path").to_pylist() if pa.types.is_struct(images.type) else [None] * len(images)
    found_rows = [re.fullmatch(r"(?:.*/)?(\d+)\.\w+", name or "") for name in names]
    for position, (name, match) in enumerate(zip(names, found_rows, strict=True)):
        if match is None:
            raise DataError(
                f"image.path {name!r} in row {position} of {path} is not `<row of the official file>.png`; "
                "load the set with data=parquet"
            )
    return np.array([int(match[1]) for match in found_rows if match])


def _ids(rows: NDArray[np.int64]) -> NDArray[np.str_]:
    return np.array([f"fer2013/{row:05d}" for row in rows])


def read_folders(root: Path, usage: Usage) -> Part:
    """Return the faces of `usage` from its class folders."""
    folder = next((root / name for name in FOLDER_NAMES[usage] if (root / name).is_dir()), None)
    if folder is None:
        raise DataError(f"no folder {' or '.join(FOLDER_NAMES[usage])} in {root}, but {found(root)}; add it")
    names, labels = labeled_files(root, folder, CLASS_FOLDERS, FER2013_SPACE)
    require_every_class(labels, FER2013_SPACE, folder, OWN_CLASSES)
    return Part(ImageFiles(root, names), names, labels)


def read_votes(path: Path, rows: NDArray[np.int64], usage: Usage) -> Votes:
    """Return the FER+ votes int64 [N, 10] of the official `rows`, whose usage they must share."""
    table = read_csv(path, ("Usage", *VOTE_COLUMNS))
    if rows.max() >= len(table):
        raise DataError(f"{path} has {len(table)} rows, too few for row {rows.max()}; use the official fer2013new.csv")
    table = table.take(rows)
    if table["Usage"].unique().to_pylist() != [usage]:
        raise DataError(f"{path} does not hold row by row the faces of {usage}; use the official fer2013new.csv")
    try:
        votes = [pc.cast(table[name], pa.int64()) for name in VOTE_COLUMNS]
    except pa.ArrowException as error:
        raise DataError(f"{path} holds votes that are no numbers ({error}); use the official fer2013new.csv") from None
    if any(column.null_count for column in votes):
        raise DataError(f"{path} lacks votes in some rows; use the official fer2013new.csv")
    return np.stack([column.to_numpy() for column in votes], axis=1)
