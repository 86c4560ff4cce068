"""The values that travel through the house: label spaces, faces, batches, one training step."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fer_ssl.errors import DataError

UNKNOWN = -1  # the label of a face nobody has labeled


@dataclass(frozen=True)
class LabelSpace:
    """An explicit order of classes; the index of a class is its label."""

    name: str
    classes: tuple[str, ...]

    @classmethod
    def of(cls, name: str, classes: Iterable[object], key: str = "data.classes") -> Self:
        """Return the space of classes as YAML may write them at `key`; raise DataError for null and for one twice."""
        names = [class_name(each, key) for each in classes]
        if twice := [each for each in names if names.count(each) > 1]:
            raise DataError(f"{key} lists {twice[0]} twice, and a label is of one class; take one out")
        return cls(name, tuple(names))

    def __len__(self) -> int:
        return len(self.classes)

    def index(self, name: str) -> int:
        """Return the label of class `name`; raise DataError for a class outside the space."""
        if name not in self.classes:
            raise DataError(f"class {name!r} is not in label space {self.name!r}, which has {', '.join(self.classes)}")
        return self.classes.index(name)


def class_name(name: object, key: str = "data.classes") -> str:
    """Return a class as YAML may write it at `key`, a number among them; raise DataError for null."""
    if name is None:
        raise DataError(f"{key} holds null, which names no class; take it out, or quote a class of that name")
    return str(name)


class Images(Protocol):
    """Faces of one size, in memory or read on demand."""

    def __len__(self) -> int: ...

    def read(self, indices: Tensor) -> Tensor:
        """Return the images at `indices` (int64 [B]) as uint8 [B, channels, H, W]."""
        ...

    def subset(self, indices: Tensor) -> "Images":
        """Return the images at `indices` (int64 [M]), in that order."""
        ...


class Ids(Protocol):
    """Names, one for each face: an array of strings, or names made on demand."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any:
        """Return the name at a row number, or the names at rows int64 [M] as another such sequence."""
        ...

    def tolist(self) -> list[str]: ...


@dataclass(frozen=True)
class Provenance:
    """Where faces come from and what they may serve; None, and no allowed use, are unknown.

    `collected` is a date or its beginning, such as 2019-05; `bias` says who or what the faces show too often.
    """

    source: str | None = None
    licence: str | None = None
    consent: str | None = None
    allowed_use: tuple[str, ...] = ()
    collected: str | None = None
    bias: str | None = None


class Origins(NamedTuple):
    """The provenance of faces: `records`, and which of them is that of each face, int32 [N]."""

    records: tuple[Provenance, ...]
    rows: NDArray[np.int32]


@dataclass(frozen=True)
class Faces:
    """A set of faces with what is known of each.

    `ids` [N] name the faces and are unique within their source; `labels` int64 [N] are UNKNOWN where nobody labeled;
    `soft_labels` float32 [N, C] are votes as probabilities; `subjects` [N], strings or numbers,
    name the person or video; `sources` [N] name the set that a face of a mixture comes from; `origins` tell what is
    known of their provenance, None where nothing is.
    """

    images: Images
    ids: Ids
    labels: Tensor
    soft_labels: Tensor | None = None
    subjects: NDArray[Any] | None = None
    sources: NDArray[Any] | None = None
    origins: Origins | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, indices: Tensor) -> "Faces":
        """Return the faces at `indices` (int64 [M]), in that order."""
        rows = indices.numpy()
        return Faces(
            images=self.images.subset(indices),
            ids=self.ids[rows],
            labels=self.labels[indices],
            soft_labels=None if self.soft_labels is None else self.soft_labels[indices],
            subjects=None if self.subjects is None else self.subjects[rows],
            sources=None if self.sources is None else self.sources[rows],
            origins=None if self.origins is None else self.origins._replace(rows=self.origins.rows[rows]),
        )


class Splits(NamedTuple):
    """What a labeled source brings: its training faces and, where the set defines them, the others.

    `pool` holds unlabeled faces that belong to the source itself; their labels, if any, serve diagnostics only.
    """

    train: Faces
    val: Faces | None = None
    test: Faces | None = None
    pool: Faces | None = None


class Batch(NamedTuple):
    """One training batch of raw images, before any view is drawn. L labeled and U unlabeled faces."""

    labeled: Tensor  # uint8 [L, channels, H, W]
    labels: Tensor  # int64 [L]
    soft_labels: Tensor | None  # float32 [L, C], votes as probabilities
    unlabeled: Tensor | None  # uint8 [U, channels, H, W]
    pool_rows: Tensor | None  # int64 [U], rows of the pool
    truth: Tensor | None  # int64 [U], UNKNOWN where it is; for diagnostics only, never for training
    position: int  # which batch of the run this is, counted from 0: the seed of its views
    identities: Tensor | None = None  # int64 [U], who is on the unlabeled faces, where the pool names people


class EvalBatch(NamedTuple):
    """Faces to score; `rows` are their positions in the split."""

    images: Tensor  # uint8 [B, channels, H, W]
    labels: Tensor  # int64 [B]
    rows: Tensor  # int64 [B]


class Output(NamedTuple):
    """What a model says of B faces: `logits` [B, C] and unit-norm `embeddings` [B, D]."""

    logits: Tensor
    embeddings: Tensor


class LabeledView(NamedTuple):
    """What a model says of labeled faces: `probs` [L, C] beside their `labels` int64 [L]."""

    probs: Tensor
    labels: Tensor


class Gate(NamedTuple):
    """What a threshold says of a batch of pseudo-labels: `keep` float [B] in [0, 1], `tau` float [C] in force.

    `prior` float [C] is the running mean prediction on unlabeled faces, where alignment keeps one.
    """

    keep: Tensor
    tau: Tensor
    prior: Tensor | None = None


class Recalled(NamedTuple):
    """What a memory of K faces or classes held: their `keys` [K, D] and `probs` [K, C], and whether it was `full`.

    `weights` [U, K] say how similar the unlabeled faces are to them, `aligned` [U, C] are predictions on those before
    the memory smoothed them, which it does once it is full.
    """

    keys: Tensor
    probs: Tensor
    weights: Tensor
    aligned: Tensor
    full: Tensor


@dataclass(frozen=True)
class Step:
    """All that a loss term may look at in one training step.

    `student` maps a view (`labeled`, `strong`, `strong2`, `weak`, `weak2`, `rotated`, and `mixed_<view>`) to the
    student's output with gradient, `mixed` the same view to the targets float [B, C] of its mixed faces; `teacher` maps
    views to the teacher's output without gradient. `probs` [U, C] are the teacher's, `pseudo_labels` int64 [U] and
    `targets` float [U, C] what the target part made of them; they are None where no term asks for them. `identities`
    int64 [U] number the people, where the pool names them.
    """

    student: Mapping[str, Output]
    teacher: Mapping[str, Output]
    labels: Tensor
    soft_labels: Tensor | None
    probs: Tensor | None
    pseudo_labels: Tensor | None
    targets: Tensor | None
    gate: Gate | None
    global_step: int
    identities: Tensor | None = None
    mixed: Mapping[str, Tensor] = field(default_factory=dict)
    recalled: Recalled | None = None
