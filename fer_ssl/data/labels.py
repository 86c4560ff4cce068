"""Label spaces of the public sets, the maps between them, and the FER+ votes."""

from collections.abc import Mapping, Sequence
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
AFFECTNET = LabelSpace("affectnet", ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"))
AFFECTNET7 = LabelSpace("affectnet7", AFFECTNET.classes[:7])
EXPW = LabelSpace("expw", ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"))
SFEW = LabelSpace("sfew", ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"))
CKPLUS = LabelSpace("ckplus", ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise"))
CKPLUS7 = LabelSpace("ckplus7", CKPLUS.classes[1:])
CKPLUS_CSV = LabelSpace(
    "ckplus_csv", ("anger", "disgust", "fear", "happy", "sadness", "surprise", "neutral", "contempt")
)
JAFFE = LabelSpace("jaffe", ("neutral", "happiness", "sadness", "surprise", "anger", "disgust", "fear"))
KDEF = LabelSpace("kdef", ("afraid", "angry", "disgusted", "happy", "neutral", "sad", "surprised"))
DFEW = LabelSpace("dfew", ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"))
SPACES = {
    space.name: space
    for space in (FER2013, FERPLUS, ABAW, RAFDB, AFFECTNET, AFFECTNET7, EXPW, SFEW, CKPLUS, CKPLUS7, JAFFE, KDEF, DFEW)
}

MEANINGS = {
    "angry": "anger",
    "afraid": "fear",
    "disgusted": "disgust",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
}
DROPPED = -2  # the label of a face whose class a map leaves out

VOTE_COLUMNS = (*FERPLUS.classes, "unknown", "NF")


@dataclass(frozen=True)
class LabelMap:
    """A translation of labels from one space into another.

    `mapping` takes every class of `source` to one of `target`, or to None to drop it. Raises DataError for a class
    that either space lacks or that the mapping leaves out.
    """

    source: LabelSpace
    target: LabelSpace
    mapping: Mapping[str, str | None]

    def __post_init__(self) -> None:
        for name in (*self.mapping, *self.source.classes):
            if name not in self.mapping:
                raise DataError(f"class {name!r} of {self.source.name!r} has no counterpart in {self.target.name!r}")
            self.source.index(name)
            self._label(name)

    def _label(self, name: str) -> int:
        target = self.mapping[name]
        return DROPPED if target is None else self.target.index(target)

    @property
    def table(self) -> Tensor:
        """Return int64 [source classes], the target label of each source label, or DROPPED."""
        return torch.tensor([self._label(name) for name in self.source.classes])

    def labels(self, labels: Tensor) -> Tensor:
        """Translate labels int64 [N]; UNKNOWN stays UNKNOWN."""
        return torch.where(labels == UNKNOWN, UNKNOWN, self.table[labels.clamp(min=0)])

    def soft_labels(self, soft_labels: Tensor) -> Tensor:
        """Translate float32 [N, source classes] to [N, target classes].

        Classes that become one add up; what remains without those dropped is scaled to its former sum.
        """
        kept = self.table != DROPPED
        soft = soft_labels.new_zeros(len(soft_labels), len(self.target))
        soft = soft.index_add(1, self.table[kept], soft_labels[:, kept])
        if kept.all():
            return soft
        remaining = soft.sum(1, keepdim=True)
        return torch.where(remaining > 0, soft * (soft_labels.sum(1, keepdim=True) / remaining), soft)


def meaning(name: str) -> str:
    """Return the expression that a class name means, whatever its part of speech and case."""
    name = name.casefold()
    return MEANINGS.get(name, name)


def label_map(source: LabelSpace, target: LabelSpace, choices: Mapping[str, str | None] | None = None) -> LabelMap:
    """Return the map to classes of equal name, else of equal meaning; contempt is `other` where only that exists.

    `choices` (a class of the source: a class of the target, or None to drop it) come first. Raises DataError for a
    source class without a counterpart in the target.
    """
    counterparts = {meaning(name): name for name in target.classes}
    counterparts.setdefault("contempt", counterparts.get("other", ""))
    counterparts |= {name: name for name in target.classes}
    by_name = {name: counterparts.get(name) or counterparts.get(meaning(name)) for name in source.classes}
    return LabelMap(source, target, {name: other for name, other in by_name.items() if other} | dict(choices or {}))


def class_counts(labels: Tensor, space: LabelSpace) -> list[int]:
    """Return how many of `labels` int64 [N] are of each class of `space`."""
    counts: list[int] = torch.bincount(labels, minlength=len(space)).tolist()
    return counts


def scarce(counts: Sequence[int], space: LabelSpace, least: int) -> dict[str, int]:
    """Return the classes that fewer than `least` faces show, with how many do."""
    return {name: count for name, count in zip(space.classes, counts, strict=True) if count < least}


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
