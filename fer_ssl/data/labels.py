"""Label spaces of the public sets, the maps between them, and the FER+ votes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_ssl.errors import DataError
from fer_ssl.types import UNKNOWN, LabelSpace

FER2013 = LabelSpace("fer2013", ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"))
FERPLUS = LabelSpace("ferplus", ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"))
ABAW = LabelSpace("abaw", ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other"))
RAFDB = LabelSpace("rafdb", ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"))
# The orders of the next two are believed, not confirmed from their owners' files.
AFFECTNET = LabelSpace("affectnet", ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"))
EXPW = LabelSpace("expw", ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"))
SPACES = {space.name: space for space in (FER2013, FERPLUS, ABAW, RAFDB, AFFECTNET, EXPW)}

VOTE_COLUMNS = (*FERPLUS.classes, "unknown", "NF")


@dataclass(frozen=True)
class LabelMap:
    """A translation of labels from one space into another; `mapping` takes every class of `source` to one of `target`.

    Raises DataError for a class that either space lacks or that the mapping leaves out.
    """

    source: LabelSpace
    target: LabelSpace
    mapping: Mapping[str, str]

    def __post_init__(self) -> None:
        for name in (*self.mapping, *self.source.classes):
            if name not in self.mapping:
                raise DataError(f"class {name!r} of {self.source.name!r} has no counterpart in {self.target.name!r}")
            self.source.index(name)
            self.target.index(self.mapping[name])

    @property
    def table(self) -> Tensor:
        """Return int64 [source classes], the target label of each source label."""
        return torch.tensor([self.target.index(self.mapping[name]) for name in self.source.classes])

    def labels(self, labels: Tensor) -> Tensor:
        """Translate labels int64 [N]; UNKNOWN stays UNKNOWN."""
        return torch.where(labels == UNKNOWN, UNKNOWN, self.table[labels.clamp(min=0)])

    def soft_labels(self, soft_labels: Tensor) -> Tensor:
        """Translate float32 [N, source classes] to [N, target classes], adding up classes that become one."""
        soft = soft_labels.new_zeros(len(soft_labels), len(self.target))
        return soft.index_add(1, self.table, soft_labels)


def _ordered(source: LabelSpace, target: LabelSpace, table: tuple[int, ...]) -> LabelMap:
    pairs = zip(source.classes, table, strict=True)
    return LabelMap(source, target, {name: target.classes[label] for name, label in pairs})


MAPS = {
    (label_map.source.name, label_map.target.name): label_map
    for label_map in (
        _ordered(RAFDB, ABAW, (6, 3, 2, 4, 5, 1, 0)),
        _ordered(FERPLUS, ABAW, (0, 4, 6, 5, 1, 2, 3, 7)),
        _ordered(FER2013, ABAW, (1, 2, 3, 4, 5, 6, 0)),
        _ordered(AFFECTNET, ABAW, (0, 4, 5, 6, 3, 2, 1, 7)),  # unconfirmed, as is the order of AFFECTNET
        _ordered(EXPW, ABAW, (1, 2, 3, 4, 5, 6, 0)),  # unconfirmed, as is the order of EXPW
    )
}


def label_map(source: LabelSpace, target: LabelSpace) -> LabelMap:
    """Return the known map between two spaces, or the one by equal class names.

    Raises DataError for a source class without a counterpart in the target.
    """
    known = MAPS.get((source.name, target.name))
    if known and (known.source, known.target) == (source, target):
        return known
    return LabelMap(source, target, {name: name for name in source.classes if name in target.classes})


def remap(labels: Tensor, source: LabelSpace, target: LabelSpace) -> Tensor:
    """Translate labels int64 [N] of `source` into `target`; UNKNOWN stays UNKNOWN.

    Raises DataError for a source class without a counterpart in the target.
    """
    return label_map(source, target).labels(labels)


def vote_majority(votes: NDArray[np.int64]) -> Tensor:
    """Return the FER+ label of each face from votes int [N, 10] (the columns of VOTE_COLUMNS) as int64 [N].

    Single votes are dropped; the winner needs more than half of what remains, else, and where it is `unknown` or `NF`,
    the label is UNKNOWN. This is the majority rule published with the FER+ votes.
    """
    counts = np.where(votes > 1, votes, 0)
    winner = counts.argmax(axis=1)
    wins = (2 * counts.max(axis=1) > counts.sum(axis=1)) & (winner < len(FERPLUS))
    return torch.from_numpy(np.where(wins, winner, UNKNOWN))


def vote_probabilities(votes: NDArray[np.int64]) -> Tensor:
    """Return votes int [N, 10] as float32 [N, 8]: the share of each expression, single votes dropped.

    Where only single votes remain they count; a face without any vote for an expression is uniform.
    """
    expressions = votes[:, : len(FERPLUS)].astype(np.float32)
    repeated = np.where(expressions > 1, expressions, 0)
    counts = np.where(repeated.any(axis=1, keepdims=True), repeated, expressions)
    counts = np.where(counts.any(axis=1, keepdims=True), counts, np.float32(1))
    return torch.from_numpy(counts / counts.sum(axis=1, keepdims=True))
