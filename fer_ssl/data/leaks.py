"""Pixel-identical faces on both sides of a split."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from fer_ssl.types import Faces

BLOCK = 4096  # faces hashed at a time, so that a streamed set is never wholly in memory


def digests(faces: Faces) -> NDArray[np.bytes_]:
    """Return a 16-byte hash of each face's pixels, [N]."""
    found: list[bytes] = []
    for start in range(0, len(faces), BLOCK):
        rows = torch.arange(start, min(start + BLOCK, len(faces)))
        pixels = faces.images.read(rows).numpy()
        found += [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in pixels]
    return np.array(found, dtype="V16")


def identical_to_any(candidates: NDArray[np.bytes_], held_out: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    """Return which `candidates` [N] have a pixel-identical twin among `held_out` [M], bool [N]."""
    known = set(held_out.tolist())
    return np.fromiter((digest in known for digest in candidates.tolist()), dtype=bool, count=len(candidates))
