"""Read the golden values under tests/golden."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, Tensor]:
    """Return the arrays of `tests/golden/<name>.npz` as tensors."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: torch.from_numpy(np.array(arrays[key])) for key in arrays.files}
