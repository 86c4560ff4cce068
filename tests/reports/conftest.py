"""A run directory made of drawn numbers."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from PIL import Image
from pyarrow import parquet
from shifted import SEEDS, SHIFTS

CLASSES = ["Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other"]
STEPS = range(0, 4000, 20)
Make = Callable[..., Path]


def config(**changes: Any) -> dict[str, Any]:
    """Return a resolved config; keyword arguments are top-level nodes that replace its own."""
    base: dict[str, Any] = {
        "name": "dtm_infonce",
        "seed": 0,
        "image_size": 48,
        "batch": {"labeled": 32, "unlabeled": 96},
        "trainer": {"max_steps": 4000},
        "backbone": {"name": "resnet18"},
        "data": {"name": "fer2013", "labels_per_class": 25, "split_seed": 0, "split_file": None},
        "unlabeled": {"name": "lfw"},
        "optim": {"lr": 0.03},
    }
    return base | changes


def scores(shift: float, classes: list[str]) -> dict[str, Any]:
    """Return one split's scores as metrics.json holds them, drawn around `shift`."""
    draw = np.random.default_rng(int(shift * 1000))
    confusion = draw.integers(0, 14, (len(classes), len(classes)))
    confusion += np.diag(150 - confusion.sum(1))  # one test split for all
    hits, predicted, true = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
    named = {"f1": 2 * hits / (predicted + true), "precision": hits / predicted, "recall": hits / true}
    per_class = {f"per_class_{key}": dict(zip(classes, value.tolist(), strict=True)) for key, value in named.items()}
    means = {"macro_f1": 0.4336 + shift, "accuracy": 0.5127 + shift, "balanced_accuracy": 0.4671 + shift, "ece": 0.0719}
    return means | per_class | {"confusion": confusion.tolist(), "count": int(confusion.sum())}


def metrics(shift: float = 0.0, classes: list[str] = CLASSES) -> dict[str, Any]:
    return {
        "test": scores(shift, classes),
        "val": scores(shift + 0.0123, classes),
        "train": {"steps": 4000, "seconds": 1230.0, "images_per_second": 512.3},
        "pseudo": {"keep_rate": 0.6142, "accuracy": 0.7319},
        "classes": classes,
        "environment": {"commit": "0a1b2c3", "torch": "2.15.0", "device": "cpu"},
    }


def history(classes: list[str]) -> list[dict[str, float]]:
    draw = np.random.default_rng(0)
    rows: list[dict[str, float]] = []
    for step in STEPS:
        done = step / STEPS[-1]
        row: dict[str, float] = {"step": step, "epoch": step // 400, "lr": 0.03 * (1 - done)}
        terms = {"supervised": 1.9, "pseudo_label": 0.8, "infonce": 2.5}
        losses = {name: top * np.exp(-2 * done) + 0.08 * draw.random() for name, top in terms.items()}
        row |= {f"train/{name}": value for name, value in losses.items()} | {"train/loss": sum(losses.values())}
        if step % 400 == 0:
            row |= {"val/macro_f1": 0.15 + 0.3 * done, "val/accuracy": 0.2 + 0.35 * done}
        row |= {"pseudo/keep_rate": 0.2 + 0.5 * done, "pseudo/accuracy": 0.6 + 0.15 * done}
        for place, name in enumerate(classes):
            row[f"tau/{name}"] = 0.97 / (1 + np.exp(-4 * done)) * (0.8 + 0.025 * place)
            row[f"keep/{name}"] = float(np.clip(0.1 + 0.08 * place * done + 0.05 * draw.random(), 0, 1))
            row[f"count/{name}"] = 1 + (50 + 40 * np.sin(place + 3 * done)) * draw.random()
            row[f"right/{name}"] = 0.5 + 0.05 * place * done + 0.05 * draw.random()
        rows.append(row)
    return rows


def face(shade: int) -> bytes:
    """Return a PNG that looks a little like a face."""
    rows, columns = np.mgrid[-1:1:48j, -1:1:48j]
    pixels = np.full((48, 48), 40 + shade % 60, dtype=np.uint8)
    pixels[(rows / 0.9) ** 2 + (columns / 0.7) ** 2 < 1] = 170 + shade % 70
    eyes = (rows + 0.2) ** 2 + (abs(columns) - 0.3) ** 2 < 0.01
    mouth = (abs(rows - 0.45) < 0.05) & (abs(columns) < 0.3)
    pixels[eyes | mouth] = 30
    content = BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def write_tables(folder: Path, classes: list[str], ids: list[str]) -> None:
    draw = np.random.default_rng(1)
    probs = draw.dirichlet(np.full(len(classes), 0.4), 400)
    labels = np.where(draw.random(400) < 0.5, probs.argmax(1), draw.integers(0, len(classes), 400))
    ids_of_faces = [f"face{row}" for row in range(400)]
    columns = {"id": ids_of_faces, "split": ["test"] * 400, "label": labels, "prediction": probs.argmax(1)}
    columns |= {f"prob_{name}": probs[:, place] for place, name in enumerate(classes)}
    parquet.write_table(pa.table(columns), folder / "predictions.parquet")
    count = len(ids)
    pseudo = {
        "id": ids,
        "pseudo_label": draw.integers(0, len(classes), count),
        "confidence": draw.uniform(0.4, 1, count),
        "keep": draw.choice([0.0, 1.0], count),
        "truth": draw.integers(-1, len(classes), count),
        "image": [face(row * 7) for row in range(count)],
    }
    parquet.write_table(pa.table(pseudo), folder / "pseudo_labels.parquet")


def write_history(folder: Path, classes: list[str]) -> None:
    rows = history(classes)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def write_essentials(folder: Path, settings: Mapping[str, Any], results: Mapping[str, Any]) -> Path:
    """Write what makes a directory a run, and no more."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
    (folder / "metrics.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


def write_run(folder: Path, classes: list[str], ids: list[str]) -> Path:
    """Write a run with all its files."""
    write_essentials(folder, config(), metrics(classes=classes))
    write_history(folder, classes)
    write_tables(folder, classes, ids)
    views = np.concatenate([np.asarray(Image.open(BytesIO(face(row)))) for row in range(0, 300, 30)], axis=1)
    Image.fromarray(np.concatenate([views, views[:, ::-1]])).resize((960, 192)).save(folder / "views.png")
    counts = {split: dict.fromkeys(classes, 25 * size) for size, split in enumerate(("train", "val", "test"), 1)}
    (folder / "data.json").write_text(json.dumps({"counts": counts, "leaked": 7, "pool": 13233}))
    (folder / "rejected.csv").write_text("id,reason,origin\nx,too small,photos\ny,unreadable,photos\n")
    return folder


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a whole run that no test changes."""
    ids = [f"lfw/person_{row:04d}" for row in range(60)]
    return write_run(tmp_path_factory.mktemp("runs") / "whole", CLASSES, ids)


@pytest.fixture
def make_run(tmp_path: Path) -> Make:
    """Return a function that writes a whole run over given classes, with faces of given ids."""

    def make(classes: list[str] = CLASSES, ids: Sequence[str] = ("one", "two")) -> Path:
        return write_run(tmp_path / "run", classes, list(ids))

    return make


@pytest.fixture
def make_scored(tmp_path: Path) -> Make:
    """Return a function that writes a run of scores alone, as tables over runs need them."""

    def make(folder: str, shift: float = 0.0, **changes: Any) -> Path:
        return write_essentials(tmp_path / folder, config(**changes), metrics(shift))

    return make


@pytest.fixture
def sweep(make_scored: Make, tmp_path: Path) -> Path:
    for name, shifts in SHIFTS.items():
        own: dict[str, Any] = {"unlabeled": {"name": "none"}, "batch": {"labeled": 32}} if name == "no_pool" else {}
        for seed in SEEDS:
            make_scored(f"sweep/{name}_seed{seed}", shifts[seed], name=name, seed=seed, **own)
    return tmp_path / "sweep"
