"""The figures of a sweep: what each part is worth, budgets, classes, thresholds."""

from collections.abc import Iterator, Sequence
from itertools import cycle, product
from statistics import mean
from typing import Any

import numpy as np

from fer_ssl.reports.figures import INK, PALETTE, canvas, class_curves, finish, inline, lines
from fer_ssl.reports.grouping import pool_name
from fer_ssl.reports.markup import Html
from fer_ssl.reports.run import Series
from fer_ssl.reports.sweep import Row, Sweep

WIDE = 9.8  # inches, the whole page
BARRED: Any = {"markersize": 3, "capsize": 2, "linewidth": 1.5}
POINTS = 100  # steps at which curves of several runs are averaged


def waterfall(sweep: Sweep) -> Html | None:
    """Return the rows' distances from the baseline, the largest loss first; None where nothing is compared."""
    rows = [(row, row.difference) for row in sweep.rows]
    compared = [(found[0], row.title) for row, found in rows if found]
    compared.sort(key=lambda each: each[0].mean, reverse=True)
    if not compared:
        return None
    titles = [title for _, title in compared]
    # rounded, or the axis of runs that all score the same spans what floats leave of zero
    spans = np.array([difference[:3] for difference, _ in compared], dtype=float)  # nan where there is no interval
    centers, lows, highs = np.round(100 * spans.T, 6)
    places = np.arange(len(titles))
    label = f"macro-F1, points from {sweep.baseline}"
    with canvas("", across=label, width=WIDE, height=0.9 + 0.28 * len(titles)) as (figure, axes, svg):
        colors = [PALETTE[2] if value >= 0 else PALETTE[3] for value in centers]
        axes.barh(places, centers, 0.62, color=colors, alpha=0.85)
        axes.hlines(places, lows, highs, color=INK, linewidth=1.2)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks(places, titles)
        axes.grid(axis="y", visible=False)
        finish(figure, axes, 0)
    return inline(svg)


def budgets(sweep: Sweep) -> Html | None:
    """Return macro-F1 over labels per class with its standard deviation; None for fewer than two budgets."""
    if len([each for each in sweep.budgets if each is not None]) < 2:
        return None
    with canvas("macro-F1 (%)", across="labels per class", width=WIDE) as (figure, axes, svg):
        names = _series(sweep)
        for (name, rows), (color, marker, dash) in zip(names.items(), strokes(), strict=False):
            found = [(row.labels, row.spread("test.macro_f1")) for row in rows]
            points = [(labels, 100 * each.mean, 100 * (each.std or 0)) for labels, each in found if labels and each]
            if points:
                x, y, error = zip(*points, strict=True)
                axes.errorbar(x, y, error, color=color, label=name, marker=marker, linestyle=dash, **BARRED)
        known = [each for each in sweep.budgets if each is not None]
        axes.set_xscale("log")
        axes.set_xticks(known, [str(each) for each in known])
        axes.minorticks_off()
        finish(figure, axes, len(names))
    return inline(svg)


def _series(sweep: Sweep) -> dict[str, list[Row]]:
    """Return the rows of each experiment, those of several pools apart."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in sweep.rows:
        found.setdefault((row.name, pool_name(row.runs[0])), []).append(row)
    names = [name for name, _ in found]
    return {f"{name} ({pool})" if names.count(name) > 1 else name: rows for (name, pool), rows in found.items()}


def class_bars(sweep: Sweep) -> Html | None:
    """Return F1 per class, a bar for each row; None for more rows than there are colours to tell them apart."""
    if len(sweep.rows) > len(PALETTE):
        return None
    rows, classes = sweep.rows, sweep.classes
    width = 0.84 / len(rows)
    with canvas("F1 (%)", across="", width=WIDE) as (figure, axes, svg):
        for place, (row, color) in enumerate(zip(rows, PALETTE, strict=False)):
            heights = [100 * value for value in row.per_class_f1().values()]
            x = np.arange(len(classes)) + (place - (len(rows) - 1) / 2) * width
            axes.bar(x, heights, width * 0.92, color=color, label=row.title, alpha=0.9)
        axes.set_xticks(np.arange(len(classes)), classes)
        axes.grid(axis="x", visible=False)
        finish(figure, axes, len(rows))
    return inline(svg)


def thresholds(row: Row) -> Html | None:
    """Return tau of every class over training, mean over runs; None where nothing is cut off."""
    families = [run.thresholds for run in row.runs]
    names = [name for name in row.runs[0].classes if all(name in family for family in families)]
    if not names:
        return None
    curves = {name: _average([family[name] for family in families]) for name in names}
    return lines(class_curves(curves, row.runs[0].classes), "tau")


def _average(series: Sequence[Series]) -> Series:
    """Return the mean of curves, each read at the same steps."""
    steps = np.linspace(max(each.steps[0] for each in series), min(each.steps[-1] for each in series), POINTS)
    values = [np.interp(steps, *each) for each in series]
    return Series(steps, np.array([mean(column) for column in zip(*values, strict=True)]))


def strokes() -> Iterator[tuple[str, str, str]]:
    """Yield colour, marker and dash of one line after the other, without end."""
    for (marker, dash), color in cycle(product(zip("os^D", ("-", "--", ":", "-."), strict=True), PALETTE)):
        yield color, marker, dash
