"""Small sets of faces made of random pixels."""

import numpy as np
import torch

from fer_ssl.data.images import ResidentImages
from fer_ssl.types import Faces, LabelSpace

SPACE = LabelSpace("three", ("calm", "glad", "cross"))


def faces(labels: list[int], prefix: str = "set", seed: int = 0, subjects: list[str] | None = None) -> Faces:
    """Return one random face of 1 x 6 x 6 for each label, named `prefix/00000` and on."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 1, 6, 6), dtype=np.uint8)
    return Faces(
        images=ResidentImages(torch.from_numpy(pixels)),
        ids=np.array([f"{prefix}/{row:05d}" for row in range(len(labels))]),
        labels=torch.tensor(labels),
        subjects=None if subjects is None else np.array(subjects),
    )
