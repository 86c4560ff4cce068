"""Folds of sets without an official split: whole people, photos or videos, never single frames."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_ssl.data.sources.listed import Listed
from fer_ssl.errors import ConfigError, DataError


def fold_of(subjects: Sequence[str], folds: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the fold int64 [N] of each face: people in the order of their names are dealt to the folds in turn."""
    _, numbers = np.unique(np.array(subjects), return_inverse=True)
    return numbers % folds


def split_by_subject(
    faces: Sequence[Listed], fold: int | None, folds: int, origin: Path
) -> dict[str, Sequence[Listed]]:
    """Return fold `fold` of `folds` as test and the others as train; without a fold all faces are train.

    Raises ConfigError for a fold outside 0..folds - 1, DataError for fewer people than folds.
    """
    if fold is None:
        return {"train": faces}
    if not 0 <= fold < folds or folds < 2:
        raise ConfigError(f"data.fold={fold} is none of the {folds} folds; set data.fold=0 to {max(folds, 2) - 1}")
    numbers = fold_of([face.subject for face in faces], folds)
    if len(faces) and numbers.max() + 1 < folds:
        raise DataError(
            f"{origin} has {numbers.max() + 1} people, fewer than {folds} folds; set data.folds={numbers.max() + 1}"
        )
    return {
        "train": [face for face, number in zip(faces, numbers, strict=True) if number != fold],
        "test": [face for face, number in zip(faces, numbers, strict=True) if number == fold],
    }
