"""The people of a pool as numbers."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def number_people(subjects: NDArray[Any] | None) -> Tensor | None:
    """Return int64 [N] that counts people from 0 in the order of their first faces; None where nobody is named."""
    if subjects is None:
        return None
    _, firsts, person = np.unique(subjects, return_index=True, return_inverse=True)
    rank = np.empty(len(firsts), np.int64)
    rank[np.argsort(firsts)] = np.arange(len(firsts))
    return torch.from_numpy(rank[person])
