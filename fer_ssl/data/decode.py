"""Bytes of an image file to a face of fixed size, and a record of those that could not be read."""

import csv
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from fer_ssl.data.jpeg import from_jpeg
from fer_ssl.data.pictures import flatten, read_picture
from fer_ssl.errors import ConfigError, DataError, UnreachableError
from fer_ssl.types import Ids

LARGE_FILE = 2**14  # bytes
CHUNK = 64  # faces that are asked for and decoded together
RESIDENT = ("auto", "cpu", "device", "never")


class Encoded(Protocol):
    """Faces as they are stored: the bytes of an image file each, or a uint8 array [H, W] or [H, W, 3].

    Those that cannot be read by several threads at once have a `threads` that is False.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> bytes | NDArray[np.uint8]: ...


@runtime_checkable
class Asked(Protocol):
    """Faces that cost less when many are asked for at once."""

    def ask(self, rows: list[int], /) -> None:
        """Fetch the faces at `rows`, which are read next."""
        ...


def ask_ahead(encoded: Encoded, rows: list[int]) -> None:
    """Tell `encoded` which `rows` are read next, where that helps it."""
    if rows and isinstance(encoded, Asked):
        encoded.ask(rows)


class Rejects:
    """The images that could not be read, each with its reason, counted by the set they come from (`origin`).

    More than `max_rejected` of a set is an error, raised by `check`.
    """

    def __init__(self, max_rejected: float = 0.01) -> None:
        self.max_rejected = max_rejected
        self.totals: dict[str, int] = {}
        self.reasons: dict[tuple[str, str], str] = {}

    def __len__(self) -> int:
        return len(self.reasons)

    def expect(self, origin: str, total: int) -> None:
        """Announce `total` images of `origin`."""
        self.totals[origin] = self.totals.get(origin, 0) + total

    def add(self, origin: str, image_id: str, reason: str) -> None:
        """Note that `image_id` was left out, and why."""
        self.reasons[origin, image_id] = reason

    def since(self, known: int) -> dict[tuple[str, str], str]:
        """Return what was noted after the first `known`, for another process to `merge`."""
        return dict(list(self.reasons.items())[known:])

    def merge(self, reasons: dict[tuple[str, str], str]) -> None:
        """Take over what another process noted; raises DataError as `check` does."""
        self.reasons |= reasons
        self.check()

    def write_csv(self, path: Path) -> None:
        """Write the columns id, reason, origin."""
        rows = [(image_id, reason, origin) for (origin, image_id), reason in self.reasons.items()]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("id", "reason", "origin"), *rows])

    def check(self) -> None:
        """Raise DataError when more than `max_rejected` of a set's images were rejected."""
        for origin, count in Counter(origin for origin, _ in self.reasons).items():
            if count > self.max_rejected * self.totals[origin]:
                found = ((image_id, reason) for (of, image_id), reason in self.reasons.items() if of == origin)
                share = math.ceil(100 * count / self.totals[origin]) / 100
                first = "; ".join(f"{image_id}: {reason}" for image_id, reason in islice(found, 3))
                raise DataError(
                    f"{count} of {self.totals[origin]} images of {origin} cannot be read ({first}), more than the "
                    f"{self.max_rejected:.0%} allowed; mend them, or set data.max_rejected={share} to raise the limit"
                )


class Decoder:
    """Turns image files into uint8 faces [channels, image_size, image_size].

    `resident` holds decoded faces in memory always (true, `cpu`, `device`), never (false, `never`), or where they fit
    in `resident_gib` GiB (`auto`); with `device` and `auto` they are copied to an accelerator (`Placement`).
    `max_rejected` is the share of unreadable images above which loading stops.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        resident: bool | Literal["auto", "cpu", "device", "never"] = "auto",
        resident_gib: float = 8.0,
        max_rejected: float = 0.01,
    ) -> None:
        if not isinstance(resident, bool) and resident not in RESIDENT:
            raise ConfigError(f"data.resident={resident} is none of {', '.join(RESIDENT)}; set data.resident=auto")
        if channels not in (1, 3):
            raise ConfigError(f"data.channels={channels} is neither gray nor colour; set data.channels=1 or 3")
        self.image_size = image_size
        self.channels = channels
        self.resident = resident
        self.resident_gib = resident_gib
        self.rejects = Rejects(max_rejected)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of a decoded face: channels, height, width."""
        return self.channels, self.image_size, self.image_size

    def is_resident(self, count: int) -> bool:
        """Say whether `count` decoded faces belong in memory."""
        if self.resident == "auto":
            return count * self.channels * self.image_size**2 <= self.resident_gib * 2**30
        return self.resident not in (False, "never")

    def decode(self, data: bytes) -> Tensor:
        """Return the face in the bytes of a PNG, JPEG, BMP, WebP or TIFF file as uint8 [C, S, S].

        EXIF rotation is applied, transparency is laid over black, the aspect ratio is not kept.
        Raises DataError, with the reason alone, for bytes that are not a whole image.
        """
        return torch.from_numpy(self.to_face(data))

    def from_array(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return the face in a uint8 array [H, W] or [H, W, 3] as uint8 [C, S, S]."""
        return torch.from_numpy(self.to_face(pixels))

    def to_face(self, stored: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what `decode` or `from_array` would, as a NumPy array."""
        if isinstance(stored, np.ndarray):
            return self._fit(Image.fromarray(stored))
        pixels = from_jpeg(stored, self.channels)
        return self._fit(read_picture(stored)) if pixels is None else _resize(pixels, self.image_size)

    def _flat(self, image: Image.Image) -> Image.Image:
        """Return an 8-bit image of the decoder's channels, without transparency."""
        return flatten(image).convert("L" if self.channels == 1 else "RGB")

    def _fit(self, image: Image.Image) -> NDArray[np.uint8]:
        image = self._flat(image)
        if image.size != (self.image_size, self.image_size):
            # Pillow widens the bilinear kernel when it shrinks, so this averages areas rather than aliasing
            image = image.resize((self.image_size, self.image_size), Image.Resampling.BILINEAR)
        pixels = np.array(image)
        return pixels[None] if self.channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _resize(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return uint8 [H, W, C] as [C, side, side], within two levels of Pillow: torch has its arithmetic in SIMD."""
    face = pixels.transpose(2, 0, 1)
    if face.shape[1:] == (side, side):
        return face
    return interpolate(torch.from_numpy(face)[None], (side, side), mode="bilinear", antialias=True)[0].numpy()


def decode_all(encoded: Encoded, ids: Sequence[str] | Ids, decoder: Decoder, origin: str) -> tuple[Tensor, Tensor]:
    """Decode every face once, in order; note the unreadable ones in `decoder.rejects` under `origin` and their `ids`.

    Returns pixels uint8 [M, C, S, S] and the rows int64 [M] of `encoded` they came from.
    """
    pixels = np.empty((len(encoded), *decoder.shape), np.uint8)
    reasons: dict[int, str] = {}

    def decode_rows(rows: range) -> None:
        ask_ahead(encoded, list(rows))
        for row in rows:
            try:
                pixels[row] = decoder.to_face(encoded[row])
            except UnreachableError:
                raise
            except (DataError, OSError) as error:
                reasons[row] = str(error)

    chunks = [range(start, min(start + CHUNK, len(encoded))) for start in range(0, len(encoded), CHUNK)]
    if getattr(encoded, "threads", True) and _is_large(encoded):
        with ThreadPoolExecutor() as pool:
            list(pool.map(decode_rows, chunks))
    else:
        list(map(decode_rows, chunks))
    for row in sorted(reasons):
        decoder.rejects.add(origin, str(ids[row]), reasons[row])
    kept = np.setdiff1d(np.arange(len(encoded)), list(reasons))
    return torch.from_numpy(pixels[kept] if reasons else pixels), torch.from_numpy(kept)


def _is_large(encoded: Encoded) -> bool:
    """Say whether decoding one image takes long enough for threads to help; on small ones they wait for each other."""
    try:
        if not len(encoded):
            return False
        first = encoded[0]
    except (DataError, OSError):  # which decoding tells
        return False
    return (first.nbytes if isinstance(first, np.ndarray) else len(first)) > LARGE_FILE
