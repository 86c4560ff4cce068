"""Faces in memory or read on demand: the two kinds of `Images`."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_ssl.data.decode import Decoder, Encoded, ask_ahead, decode_all
from fer_ssl.errors import DataError, UnreachableError
from fer_ssl.types import UNKNOWN, Faces, Ids, Images, Origins

log = logging.getLogger(__name__)


class ResidentImages:
    """Decoded faces in memory, the host's or a device's: `pixels` uint8 [N, C, H, W]."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, indices: Tensor) -> Tensor:
        """Return the images at `indices` (int64 [B]) as uint8 [B, C, H, W], where the pixels are."""
        if self.pixels.device.type == "cuda":
            indices = indices.pin_memory().to(self.pixels.device, non_blocking=True)
        return self.pixels[indices]

    def subset(self, indices: Tensor) -> "ResidentImages":
        """Return the images at `indices` (int64 [M]), in that order."""
        return ResidentImages(self.pixels[indices])


class StreamedImages:
    """Faces decoded at each read; `encoded` must be picklable so that loader workers can hold it.

    A face that cannot be read is replaced by the next readable one of its group (`groups` int64 [N], one group by
    default: labeled faces are grouped by label so that a replacement never carries a wrong one), logged, and noted in
    the decoder's rejects under its id and `origin`.
    """

    def __init__(
        self,
        encoded: Encoded,
        ids: Ids,
        decoder: Decoder,
        origin: str,
        groups: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> None:
        self.encoded = encoded
        self.ids = ids
        self.decoder = decoder
        self.origin = origin
        self.groups = groups
        self.rows = rows  # None: all, without an array of millions that counts up

    def __len__(self) -> int:
        return len(self.encoded) if self.rows is None else len(self.rows)

    def read(self, indices: Tensor) -> Tensor:
        """Decode the images at `indices` (int64 [B]) to uint8 [B, C, S, S].

        Raises DataError when no face of a group can be read.
        """
        faces = np.empty((len(indices), *self.decoder.shape), np.uint8)
        rows = self._rows(indices).tolist()
        ask_ahead(self.encoded, rows)
        for slot, (index, row) in enumerate(zip(indices.tolist(), rows, strict=True)):
            faces[slot] = self._read_one(index, row)
        return torch.from_numpy(faces)

    def subset(self, indices: Tensor) -> "StreamedImages":
        """Return the images at `indices` (int64 [M]), in that order."""
        return StreamedImages(self.encoded, self.ids, self.decoder, self.origin, self.groups, self._rows(indices))

    def _rows(self, indices: Tensor) -> Tensor:
        return indices if self.rows is None else self.rows[indices]

    def _read_one(self, index: int, row: int) -> NDArray[np.uint8]:
        face = self._try_row(row)
        return self._replacement(index, row) if face is None else face

    def _replacement(self, index: int, failed: int) -> NDArray[np.uint8]:
        for row in self._following(index, failed):
            face = self._try_row(row)
            if face is not None:
                return face
        raise DataError(f"none of the faces that could replace {self.ids[failed]} can be read; restore the images")

    def _following(self, index: int, failed: int) -> Iterator[int]:
        """Yield the other rows of the group, from `index` on around the set."""
        for other in chain(range(index + 1, len(self)), range(index)):
            row = other if self.rows is None else int(self.rows[other])
            if self.groups is None or self.groups[row] == self.groups[failed]:
                yield row

    def _try_row(self, row: int) -> NDArray[np.uint8] | None:
        try:
            return self.decoder.to_face(self.encoded[row])
        except UnreachableError:
            raise
        except (DataError, OSError) as error:
            image_id, rejects = str(self.ids[row]), self.decoder.rejects
            if (self.origin, image_id) not in rejects.reasons:
                log.warning("the face %s cannot be read and is replaced: %s", image_id, error)
            rejects.add(self.origin, image_id, str(error))
            return None


class ImageFiles:
    """The image files `names` [N] below `root`, read one by one."""

    def __init__(self, root: Path, names: Ids) -> None:
        self.root = root
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> bytes:
        return (self.root / str(self.names[row])).read_bytes()


def hold(
    encoded: Encoded,
    ids: Ids,
    decoder: Decoder,
    origin: str,
    labels: Tensor | None = None,
    soft_labels: Tensor | None = None,
    subjects: NDArray[Any] | None = None,
    origins: Origins | None = None,
) -> Faces:
    """Return the faces of `encoded`, decoded now where the decoder keeps them in memory and at each read otherwise.

    Without `labels` int64 [N] all are UNKNOWN. Faces decoded now that cannot be read are left out; raises DataError
    naming `origin` when they are more than the decoder allows.
    """
    decoder.rejects.expect(origin, len(encoded))
    images: Images = StreamedImages(encoded, ids, decoder, origin, groups=labels)
    known = torch.tensor(UNKNOWN).expand(len(encoded)) if labels is None else labels
    faces = Faces(images, ids, known, soft_labels, subjects, origins=origins)
    if not decoder.is_resident(len(encoded)):
        return faces
    pixels, kept = decode_all(encoded, ids, decoder, origin)
    decoder.rejects.check()
    return replace(faces.subset(kept), images=ResidentImages(pixels))
