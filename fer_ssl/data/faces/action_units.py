"""Expressions as distributions over the intensities of facial action units (Ekman and Friesen's FACS)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fer_ssl.data.faces.draws import Draws
from fer_ssl.types import LabelSpace

SPACE = LabelSpace("synthetic7", ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise"))

ActionUnits = Mapping[int, Tensor]
"""Intensity [N, 1, 1] in about [0, 1.2] by FACS number."""

NAMES = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    12: "lip corner puller",
    14: "dimpler",
    15: "lip corner depressor",
    17: "chin raiser",
    20: "lip stretcher",
    23: "lip tightener",
    25: "lips part",
    26: "jaw drop",
    43: "eyes closed",
}

EXPRESSIONS: Mapping[str, Mapping[int, tuple[float, float]]] = {
    "neutral": {},
    "anger": {
        4: (1.0, 0.95), 5: (0.5, 0.4), 7: (0.75, 0.8), 9: (0.15, 0.3), 10: (0.25, 0.4), 15: (0.2, 0.3),
        17: (0.35, 0.5), 23: (0.65, 0.9), 25: (0.35, 0.6), 26: (0.15, 0.5),
    },
    "disgust": {
        4: (0.55, 0.5), 6: (0.3, 0.4), 7: (0.4, 0.5), 9: (0.8, 0.95), 10: (0.8, 0.9), 15: (0.3, 0.4),
        17: (0.4, 0.6), 25: (0.4, 0.5), 26: (0.1, 0.4),
    },
    "fear": {
        1: (0.95, 0.9), 2: (0.7, 0.5), 4: (0.8, 0.65), 5: (0.9, 0.85), 7: (0.2, 0.3), 20: (0.85, 0.85),
        25: (0.8, 0.7), 26: (0.35, 0.4),
    },
    "happiness": {6: (0.85, 0.8), 7: (0.2, 0.4), 12: (1.0, 0.9), 25: (0.65, 0.8), 26: (0.2, 0.4)},
    "sadness": {
        1: (0.9, 0.9), 4: (0.65, 0.5), 7: (0.2, 0.3), 15: (0.9, 0.85), 17: (0.5, 0.6), 25: (0.1, 0.3),
        43: (0.35, 0.3),
    },
    "surprise": {
        1: (0.95, 0.9), 2: (0.95, 0.9), 5: (0.8, 0.75), 25: (0.85, 0.7), 26: (0.85, 0.9), 12: (0.1, 0.2),
    },
}  # fmt: skip
"""For each class and unit: how often the unit joins in, and how strongly when it does."""

CHATTER: Mapping[int, tuple[float, float]] = {
    1: (0.08, 0.3), 2: (0.08, 0.3), 4: (0.1, 0.3), 7: (0.1, 0.4), 12: (0.08, 0.25), 14: (0.1, 0.4),
    15: (0.08, 0.25), 17: (0.06, 0.3), 20: (0.05, 0.3), 23: (0.06, 0.3), 25: (0.15, 0.5), 26: (0.06, 0.35),
    43: (0.05, 0.9),
}  # fmt: skip
"""What faces do for no reason of emotion: talk, blink, squint, smile politely."""


def _table(rows: Mapping[str, Mapping[int, tuple[float, float]]], column: int) -> Tensor:
    zero = (0.0, 0.0)
    return torch.tensor([[units.get(number, zero)[column] for number in NAMES] for units in rows.values()])


def draw_action_units(draws: Draws, labels: Tensor, intensity: Tensor, chatter: float) -> ActionUnits:
    """Draw the units of faces that show `labels` (int64 [N]) at an overall `intensity` [N, 1, 1].

    `chatter` scales how often units move that belong to no expression.
    """
    chance, strength = _table(EXPRESSIONS, 0)[labels], _table(EXPRESSIONS, 1)[labels]
    idle_chance, idle_strength = (_table({"chatter": CHATTER}, column) for column in (0, 1))
    shape = (len(labels), len(NAMES))
    joins = draws.between(0, 1, shape) < chance
    idles = draws.between(0, 1, shape) < idle_chance * chatter
    moved = joins * strength * draws.between(0.7, 1.3, shape) * intensity[:, :, 0]
    idled = idles * idle_strength * draws.between(0.5, 1.3, shape)
    units = torch.maximum(moved, idled).clamp(max=1.2)
    return {number: units[:, column, None, None].contiguous() for column, number in enumerate(NAMES)}
