"""Labeled faces that `python -m fer_ssl.prepare` packed."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from fer_ssl.data.decode import Decoder
from fer_ssl.data.ids import compact
from fer_ssl.data.images import hold
from fer_ssl.data.pools.prepared import packed
from fer_ssl.data.preparing.manifest import read_manifest
from fer_ssl.data.provenance import of_rows
from fer_ssl.data.sources.folder import split_among
from fer_ssl.data.sources.parquet import to_labels
from fer_ssl.errors import DataError
from fer_ssl.types import Faces, LabelSpace, Splits


class PreparedSource:
    """The faces of the manifest in `root`: labels, subjects and splits are the manifest's, no split is train.

    `classes` orders the labels (default: alphabetical).
    """

    channels = 3

    def __init__(self, root: str | Path, classes: Sequence[str] | None = None) -> None:
        self.root = Path(root)
        self.classes = classes

    @cached_property
    def _table(self) -> pa.Table:
        return read_manifest(self.root, "set data.root=<dir>")

    @cached_property
    def space(self) -> LabelSpace:
        """Return the classes in order; raise DataError where no face has a label, or a label looks like a split."""
        names = self.classes or sorted(set(self._table["label"].to_pylist()) - {None})
        if not names:
            raise DataError(f"no face in {self.root} has a label; prepare the photos with pattern='(?P<label>[^/]+)/'")
        if self.classes is None and (split := split_among(names)):
            raise DataError(
                f"{self.root} has the label {split!r}, which looks like a split; prepare the photos in train/, val/ "
                "and test/ with pattern='(?P<split>[^/]+)/(?P<label>[^/]+)/', or set "
                f"data.classes=[{','.join(names)}] where it is a class"
            )
        return LabelSpace.of(self.root.name, names)

    def load(self, decoder: Decoder) -> Splits:
        """Return train and, where there are any, val and test; raise DataError for a split or label it lacks."""
        splits = pc.fill_null(self._table["split"], "train")
        unknown = set(splits.to_pylist()) - {"train", "val", "test"}
        if unknown:
            raise DataError(
                f"{self.root} has the split {min(unknown)!r}; prepare with splits named train, val and test"
            )
        tables = {name: self._table.filter(pc.equal(splits, name)) for name in ("train", "val", "test")}
        return Splits(
            **{name: self._faces(table, decoder) for name, table in tables.items() if len(table) or name == "train"}
        )

    def _faces(self, table: pa.Table, decoder: Decoder) -> Faces:
        labels = to_labels(table["label"], self.space, str(self.root))
        subjects = None if table["subject"].null_count or not len(table) else compact(table["subject"].to_pylist())
        ids = compact(table["id"].to_pylist())
        return hold(
            packed(self.root, table), ids, decoder, str(self.root), labels, subjects=subjects, origins=of_rows(table)
        )
