"""Small data sets on disk, whole and broken."""

import io
import os
import struct
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
PARQUET_NAMES = {"Training": "train", "PublicTest": "public_test", "PrivateTest": "private_test"}
MAGIC = (0xCED7230A).to_bytes(4, "little")
VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")


def encode(pixels: NDArray[np.uint8], kind: str = "PNG", **options: object) -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@dataclass
class MiniFER2013:
    """14 training faces, 7 of each test split, two per class in training, in each of the published forms."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    usage: NDArray[np.str_]
    votes: NDArray[np.int64]

    def rows(self, usage: str) -> list[int]:
        return np.flatnonzero(self.usage == usage).tolist()

    def csv_line(self, row: int) -> str:
        return f"{self.labels[row]},{' '.join(map(str, self.pixels[row].ravel()))},{self.usage[row]}"

    def write_csv(self, root: Path) -> Path:
        lines = ["emotion,pixels,Usage", *(self.csv_line(row) for row in range(len(self.labels)))]
        (root / "fer2013.csv").write_text("\n".join(lines) + "\n")
        return root

    def write_votes(self, root: Path) -> Path:
        lines = [",".join(("Usage", "Image name", *VOTES))]
        for row, votes in enumerate(self.votes.tolist()):
            lines.append(",".join((self.usage[row], f"fer{row:07d}.png", *map(str, votes))))
        (root / "fer2013new.csv").write_text("\n".join(lines) + "\n")
        return root / "fer2013new.csv"

    def write_parquet(self, root: Path, votes: bool = True) -> Path:
        for usage, name in PARQUET_NAMES.items():
            rows = self.rows(usage)
            columns = {
                "image": [{"bytes": encode(self.pixels[row]), "path": f"{row}.png"} for row in rows],
                "label": self.labels[rows],
                "ferplus_votes": self.votes[rows].tolist(),
            }
            pq.write_table(pa.table(columns if votes else dict(list(columns.items())[:2])), root / f"{name}.parquet")
        return root

    def write_folders(self, root: Path) -> Path:
        for row, usage in enumerate(self.usage):
            if usage != "PrivateTest":
                folder = root / {"Training": "train", "PublicTest": "test"}[usage] / CLASSES[self.labels[row]]
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{row}.png").write_bytes(encode(self.pixels[row]))
        return root


@pytest.fixture
def mini_fer2013() -> MiniFER2013:
    rng = np.random.default_rng(0)
    usage = np.repeat(["Training", "PublicTest", "PrivateTest"], [14, 7, 7])
    votes = np.zeros((28, 10), np.int64)
    votes[np.arange(28), np.arange(28) % 8] = 9
    votes[:, 9] = 1
    votes[[3, 15], :4] = [3, 3, 2, 2]
    votes[[3, 15], 4:] = 0
    return MiniFER2013(rng.integers(0, 256, (28, 48, 48), np.uint8), np.arange(28) % 7, usage, votes)


@pytest.fixture
def face_bytes() -> list[bytes]:
    """200 gray PNG faces of 8 x 8; the value of every pixel is the position."""
    return [encode(np.full((8, 8), value, np.uint8)) for value in range(200)]


@pytest.fixture
def class_tree(tmp_path: Path) -> Path:
    """train/ val/ test/ trees of RGB faces with the classes a and b; the value of every pixel tells the file."""
    value = 0
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        for name in ("a", "b"):
            folder = tmp_path / "tree" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.png").write_bytes(encode(np.full((8, 8, 3), value, np.uint8)))
                value += 1
    return tmp_path / "tree"


@pytest.fixture
def write_shard() -> object:
    """Return a function that writes members (name, bytes) to an uncompressed tar."""

    def write(path: Path, members: list[tuple[str, bytes]], mode: str = "w") -> Path:
        with tarfile.open(path, mode) as archive:
            for name, data in members:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return path

    return write


@pytest.fixture
def real_data() -> Path:
    """The folder with the real sets; skips where it is absent."""
    root = Path(os.environ.get("FER_SSL_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no real data at {root}; set FER_SSL_REAL_DATA")
    return root


@pytest.fixture
def write_records() -> object:
    """Return a function that writes contents as `.rec` and `.idx` by InsightFace's layout and returns the folder."""

    def write(root: Path, contents: dict[int, bytes], split: bool = False) -> Path:
        offsets = []
        with (root / "train.rec").open("wb") as file:
            for key, content in contents.items():
                offsets.append(f"{key}\t{file.tell()}\n")
                parts = content.split(MAGIC) if split else [content]
                for number, part in enumerate(parts):
                    kind = 0 if len(parts) == 1 else 1 if number == 0 else 3 if number == len(parts) - 1 else 2
                    file.write(MAGIC + struct.pack("<I", kind << 29 | len(part)) + part + bytes(-len(part) % 4))
        (root / "train.idx").write_text("".join(offsets))
        return root

    return write


def labeled_record(data: bytes, *labels: float) -> bytes:
    """Return the content of a record: its labels and an image file."""
    if len(labels) == 1:
        return struct.pack("<IfQQ", 0, labels[0], 0, 0) + data
    return struct.pack("<IfQQ", len(labels), 0, 0, 0) + struct.pack(f"<{len(labels)}f", *labels) + data


@pytest.fixture
def insightface(face_bytes: list[bytes], write_records: object, tmp_path: Path) -> Path:
    """Five faces of three people behind InsightFace's header, and the records that describe the people."""
    people, ranges = [0, 0, 1, 2, 2], [(1, 3), (3, 4), (4, 6)]
    contents = {0: labeled_record(b"", 6, 9)}
    contents |= {key: labeled_record(face_bytes[key], person) for key, person in enumerate(people, 1)}
    contents |= {key: labeled_record(b"", *pair) for key, pair in enumerate(ranges, 6)}
    assert callable(write_records)
    (tmp_path / "set").mkdir()
    folder: Path = write_records(tmp_path / "set", contents)
    return folder
