"""The people of a pool as numbers."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def number_people(subjects: NDArray[np.str_] | None) -> Tensor | None:
    """Return int64 [N] that counts people from 0 in the order of their first faces; None where nobody is named."""
    if subjects is None:
        return None
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(name, len(numbers)) for name in subjects.tolist()])
