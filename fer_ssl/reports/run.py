"""Reading of a run directory."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from fer_ssl.errors import DataError
from fer_ssl.trees import at

LAST_SHARE = 0.1  # of the steps, over which figures of pseudo-labels are averaged, here and in metrics.json
Columns = Mapping[str, NDArray[Any]]


class Series(NamedTuple):
    """The values of one history column at the steps that logged it."""

    steps: NDArray[np.float64]
    values: NDArray[np.float64]


class Run:
    """A run directory; `config` and `metrics` are read at once, all else on demand.

    Raises DataError when the directory holds no readable config.yaml and metrics.json.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config = _mapping(self.path / "config.yaml", yaml.safe_load)
        self.metrics = _mapping(self.path / "metrics.json", json.loads)

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return str(self.setting("name") or self.path.resolve().name)

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the labels."""
        return [str(name) for name in self.metrics.get("classes", [])]

    def setting(self, key: str) -> Any:
        """Return the config value at dotted `key`; None where the config has no such node."""
        return at(self.config, key)

    @property
    def labels_per_class(self) -> int | None:
        """Labels per class, the mean over classes where a split file names the faces; None where all are used."""
        asked: int | None = self.setting("data.labels_per_class")
        if asked is None and self.setting("data.split_file") is not None and self.data is not None:
            return round(mean(map(int, self.data["per_class"]["labeled"].values())))
        return asked

    @property
    def backbone(self) -> str | None:
        """Return the backbone's name, or that of the class or function which makes it."""
        target = self.setting("backbone._target_")
        return self.setting("backbone.name") or (target and str(target).rsplit(".", 1)[-1])

    def score(self, key: str) -> Any:
        """Return the value of metrics.json at dotted `key`; None where it was not measured."""
        return at(self.metrics, key)

    @cached_property
    def history(self) -> Mapping[str, Series]:
        """Logged values per column of history.csv; empty columns and a missing file give no entry."""
        path = self.path / "history.csv"
        return _read_history(path) if path.is_file() else {}

    def family(self, prefix: str) -> dict[str, Series]:
        """Return the history columns `<prefix>/<class>`, keyed by class in label order."""
        columns = {name: f"{prefix}/{name}" for name in self.classes}
        return {name: self.history[column] for name, column in columns.items() if column in self.history}

    @property
    def thresholds(self) -> dict[str, Series]:
        """Tau over training by class; nothing where it stays 0, for what weighs pseudo-labels cuts none off."""
        taus = self.family("tau")
        return taus if any(series.values.any() for series in taus.values()) else {}

    def tail(self, column: str, weights: Sequence[str] = ()) -> float | None:
        """Return the mean of a history column over the last steps, None where it or a weight was not logged there.

        Lines weigh by the product of their values in the columns `weights`, all alike without any.
        """
        end = max((series.steps.max() for series in self.history.values()), default=0)
        steps, values = self.history.get(column, Series(np.empty(0), np.empty(0)))
        late = steps > (1 - LAST_SHARE) * end
        if not late.any() or not set(weights) <= self.history.keys():
            return None
        weight = np.ones(int(late.sum()))
        for known in (self.history[name] for name in weights):
            weight *= known.values[np.searchsorted(known.steps, steps[late])]
        return float(values[late] @ weight / weight.sum()) if weight.any() else None

    @cached_property
    def right(self) -> float | None:
        """Share of the kept pseudo-labels that were right at the end; older metrics.json hold a mean of lines."""
        measured: float | None = self.tail("pseudo/accuracy", weights=["pseudo/keep_rate"])
        return self.score("pseudo.accuracy") if measured is None else measured

    @cached_property
    def predictions(self) -> Columns | None:
        """Columns of predictions.parquet."""
        return self._parquet("predictions.parquet")

    @cached_property
    def pseudo_labels(self) -> Columns | None:
        """Columns of pseudo_labels.parquet."""
        return self._parquet("pseudo_labels.parquet")

    @cached_property
    def data(self) -> Mapping[str, Any] | None:
        """Content of data.json."""
        path = self.path / "data.json"
        return _mapping(path, json.loads) if path.is_file() else None

    @cached_property
    def rejected(self) -> int:
        """Number of rows in rejected.csv."""
        path = self.path / "rejected.csv"
        if not path.is_file():
            return 0
        with path.open(newline="", encoding="utf-8") as file:
            return sum(1 for _ in csv.DictReader(file))

    def _parquet(self, name: str) -> Columns | None:
        from pyarrow import ArrowException, parquet

        path = self.path / name
        if not path.is_file():
            return None
        try:
            table = parquet.read_table(path)
        except ArrowException as error:
            raise DataError(f"{path} is no Parquet file ({error}), write it again with fer_ssl.evaluate") from error
        return {column: table[column].to_numpy() for column in table.column_names}


def _mapping(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    if not path.is_file():
        begun = (path.parent / "config.yaml").is_file()
        remedy = (
            f"end it by its command with hydra.run.dir={path.parent} ckpt_path=auto"
            if begun
            else "name a directory fer_ssl.train wrote"
        )
        raise DataError(f"{path.parent} is no finished run, it has no {path.name}: {remedy}")
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read ({str(error).splitlines()[0]}), run fer_ssl.train again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no mapping of names to values, run fer_ssl.train again")
    return content


def _read_history(path: Path) -> dict[str, Series]:
    points: dict[str, list[tuple[float, float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            try:
                step = float(row["step"])
                for name, text in row.items():
                    if text:
                        points.setdefault(name, []).append((step, float(text)))
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{path} line {line} holds no step and numbers, remove that line") from error
    columns = {name: np.array(pairs, dtype=np.float64) for name, pairs in points.items()}
    return {name: Series(pairs[:, 0], pairs[:, 1]) for name, pairs in columns.items()}
