"""Several labeled sets as one, in one label space."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_ssl.data.decode import Decoder
from fer_ssl.data.joined import JoinedImages
from fer_ssl.data.labels import SPACES, LabelMap, label_map
from fer_ssl.data.provenance import joined, of_set, to_provenance
from fer_ssl.errors import ConfigError
from fer_ssl.types import UNKNOWN, Faces, LabelSpace, Splits


class Source(Protocol):
    """A labeled set."""

    space: LabelSpace
    channels: int

    def load(self, decoder: Decoder) -> Splits: ...


class MixedSets:
    """The `sets` by name, their faces labeled in `space`: one of SPACES, or a list of classes.

    A class becomes the one of equal meaning; `maps[set][class]` says otherwise, and null leaves the faces of a class
    out. Val and test hold the faces of the sets in `score_on` (None: all that have such a split). Ids and subjects
    begin with the name of their set; a face whose person is unknown counts as a person of its own.
    """

    def __init__(
        self,
        sets: Mapping[str, Mapping[str, Any]] | None,
        space: str | Sequence[str] = "abaw",
        maps: Mapping[str, Mapping[str, str | None]] | None = None,
        score_on: Sequence[str] | None = None,
    ) -> None:
        self.sets: dict[str, Source] = {name: part["source"] for name, part in (sets or {}).items()}
        self.provenance = {name: to_provenance(part.get("provenance", {})) for name, part in (sets or {}).items()}
        if not self.sets:
            raise ConfigError("data=mixed has no set; add one with +set@data.sets.<name>=<set>")
        for name in (*(maps or {}), *(score_on or ())):
            if name not in self.sets:
                raise ConfigError(f"{name!r} is none of the sets {', '.join(self.sets)}; add +set@data.sets.{name}=...")
        self.space = to_space(space)
        self.maps = {
            name: label_map(part.space, self.space, (maps or {}).get(name)) for name, part in self.sets.items()
        }
        self.score_on = list(self.sets) if score_on is None else score_on
        self.channels = max(part.channels for part in self.sets.values())

    def load(self, decoder: Decoder) -> Splits:
        """Return the sets' faces split by split; raises DataError as the sets do."""
        parts = {name: part.load(decoder) for name, part in self.sets.items()}
        held_out = {name: parts[name] for name in self.score_on}
        train = self._joined({name: splits.train for name, splits in parts.items()})
        assert train is not None  # every set has one
        return Splits(
            train,
            val=self._joined({name: splits.val for name, splits in held_out.items()}),
            test=self._joined({name: splits.test for name, splits in held_out.items()}),
            pool=self._joined({name: splits.pool for name, splits in parts.items()}),
        )

    def _joined(self, parts: Mapping[str, Faces | None]) -> Faces | None:
        known = {name: of_set(faces, self.provenance[name]) for name, faces in parts.items() if faces is not None}
        mapped = [translate(name, faces, self.maps[name]) for name, faces in known.items()]
        return merge(mapped, len(self.space)) if mapped else None


def to_space(space: str | Sequence[str]) -> LabelSpace:
    """Return a known space by name, or the space of a list of classes."""
    if not isinstance(space, str):
        return LabelSpace.of("mixed", space, "data.space")
    if space not in SPACES:
        raise ConfigError(f"data.space={space} is none of {', '.join(SPACES)}; choose one, or list the classes")
    return SPACES[space]


def translate(name: str, faces: Faces, mapping: LabelMap) -> Faces:
    """Return the faces of set `name` whose class is not dropped, labeled in the target space."""
    labels = mapping.labels(faces.labels)
    kept = torch.nonzero(labels >= UNKNOWN).flatten()
    kept_faces = faces.subset(kept)
    soft = kept_faces.soft_labels
    return Faces(
        images=kept_faces.images,
        ids=prefixed(name, kept_faces.ids.tolist()),
        labels=labels[kept],
        soft_labels=None if soft is None else mapping.soft_labels(soft),
        subjects=None if faces.subjects is None else prefixed(name, kept_faces.subjects),  # type: ignore[arg-type]
        sources=np.full(len(kept), name),
        origins=kept_faces.origins,
    )


def prefixed(name: str, ids: Sequence[Any]) -> NDArray[np.str_]:
    """Return `name/id` of each id."""
    return np.array([f"{name}/{each}" for each in ids], dtype=np.str_)


def merge(sets: Sequence[Faces], classes: int) -> Faces:
    """Return all faces as one set; votes and subjects are made up for sets that lack what another has."""
    votes_known = any(faces.soft_labels is not None for faces in sets)
    people_known = any(faces.subjects is not None for faces in sets)
    return Faces(
        images=JoinedImages(tuple(faces.images for faces in sets)),
        ids=np.concatenate([faces.ids for faces in sets]),
        labels=torch.cat([faces.labels for faces in sets]),
        soft_labels=torch.cat([votes(faces, classes) for faces in sets]) if votes_known else None,
        subjects=np.concatenate([people(faces) for faces in sets]) if people_known else None,
        sources=np.concatenate([faces.sources for faces in sets if faces.sources is not None]),
        origins=joined(sets),
    )


def votes(faces: Faces, classes: int) -> Tensor:
    """Return the votes float32 [N, C], one for the label where a set has none; zeros for an unknown label."""
    if faces.soft_labels is not None:
        return faces.soft_labels
    return nn.functional.one_hot(faces.labels + 1, classes + 1)[:, 1:].float()


def people(faces: Faces) -> NDArray[np.str_]:
    """Return the subjects, or the ids of faces whose subjects are unknown."""
    return np.array(faces.ids.tolist()) if faces.subjects is None else faces.subjects
