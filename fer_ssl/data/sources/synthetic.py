"""Procedural faces: a few posed ones with labels, and many in the wild whose truth is for diagnostics alone."""

import dataclasses
import hashlib
import json
import logging
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fer_ssl.data.cache import cache_folder
from fer_ssl.data.decode import Decoder
from fer_ssl.data.faces.action_units import SPACE
from fer_ssl.data.faces.domains import POOL_PRIORS, Domain, draw_labels, studio, wild
from fer_ssl.data.faces.renderer import VERSION, render_split
from fer_ssl.data.images import ResidentImages
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import Faces, Splits

log = logging.getLogger(__name__)

LUMA = torch.tensor([77, 150, 29])[:, None, None]  # 256ths of red, green and blue


class SyntheticFaces:
    """Faces of seven expressions drawn from FACS action units; nothing is downloaded.

    `labeled` posed faces, frontal and in studio light, whose most frequent class is `imbalance` times as frequent as
    its rarest; `pool` neutral-heavy faces in the wild; `val` and `test` faces in the wild, balanced over classes. No
    subject is in two splits. A face depends on `seed`, its split and its row alone. Pictures are kept in `cache_dir`.
    """

    space = SPACE
    channels = 3

    def __init__(
        self,
        labeled: int = 700,
        pool: int = 8000,
        val: int = 700,
        test: int = 2100,
        seed: int = 0,
        imbalance: float = 10.0,
        cache_dir: str | None = None,
    ) -> None:
        if min(labeled, pool, val, test) < 0 or labeled == 0:
            raise ConfigError("synthetic faces need labeled >= 1 and no negative count; set data.source.labeled=700")
        if imbalance < 1:
            raise ConfigError(f"an imbalance of {imbalance} is below 1, which is balanced; set data.source.imbalance=1")
        self.seed = seed
        self.counts = {"train": labeled, "val": val, "test": test, "pool": pool}
        even = dict.fromkeys(SPACE.classes, 1.0)
        self.domains = {"train": studio(imbalance), "val": wild(even), "test": wild(even), "pool": wild(POOL_PRIORS)}
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else cache_folder("synthetic")

    def load(self, decoder: Decoder) -> Splits:
        """Return the splits at the decoder's size and channels; pool labels are the truth, for diagnostics.

        Raises DataError when the pictures cannot be written to the cache.
        """
        train = self._faces("train", decoder)
        val, test, pool = (
            self._faces(split, decoder) if self.counts[split] else None for split in ("val", "test", "pool")
        )
        return Splits(train, val, test, pool)

    def _faces(self, split: str, decoder: Decoder) -> Faces:
        domain, rows = self.domains[split], torch.arange(self.counts[split])
        subjects = (rows // domain.faces_per_subject).tolist()
        pixels = self._pixels(split, decoder.image_size)
        return Faces(
            images=ResidentImages(pixels if decoder.channels == 3 else to_gray(pixels)),
            ids=np.array([f"synthetic/{split}/{row:06d}" for row in rows.tolist()]),
            labels=draw_labels(domain, split, self.seed, rows),
            subjects=np.array([f"{split}-{subject:05d}" for subject in subjects]),
        )

    def _pixels(self, split: str, image_size: int) -> Tensor:
        domain, count = self.domains[split], self.counts[split]
        path = self.cache_dir / f"{split}-{fingerprint(domain, split, self.seed, count, image_size)}.npz"
        pixels = read_pixels(path, (count, 3, image_size, image_size))
        if pixels is None:
            log.info("drawing %d faces of %d pixels for %s", count, image_size, path)
            pixels = render_split(domain, split, self.seed, count, image_size)
            write_pixels(path, pixels)
        return pixels


def fingerprint(domain: Domain, split: str, seed: int, count: int, image_size: int) -> str:
    """Return a name for all that decides a split's pixels."""
    recipe = [VERSION, dataclasses.asdict(domain), split, seed, count, image_size]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]


def to_gray(pixels: Tensor) -> Tensor:
    """Return the brightness of pixels uint8 [N, 3, H, W] as uint8 [N, 1, H, W]."""
    parts = [(part.int() * LUMA.int()).sum(1, keepdim=True) // 256 for part in pixels.split(1024)]
    return torch.cat(parts).to(torch.uint8)


def read_pixels(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """Return cached pixels, or None where there are none; a damaged file is reported and counts as none."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:  # the archive's checksum is verified on reading
            pixels = torch.from_numpy(archive["pixels"])
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        log.warning("the cached faces in %s are damaged and are drawn again: %s", path, error)
        return None
    if pixels.shape != shape or pixels.dtype != torch.uint8:
        log.warning("the cached faces in %s are not uint8 of shape %s and are drawn again", path, shape)
        return None
    return pixels


def write_pixels(path: Path, pixels: Tensor) -> None:
    """Write pixels so that other processes see the whole file or none; raise DataError when that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            np.savez(file, pixels=pixels.numpy())
        Path(file.name).replace(path)
    except OSError as error:
        raise DataError(
            f"synthetic faces cannot be cached at {path} ({error.strerror}); set data.source.cache_dir=<writable dir>"
        ) from error
