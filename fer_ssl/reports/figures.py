"""Curves as inline SVG that takes its ink from the page, so that it reads on light and dark ground."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_ssl.reports.markup import Html
from fer_ssl.reports.run import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers, less the black and yellow that vanish on some grounds
PALETTE = ("#1a7fc0", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#8a8d91", "#a39a00")
INK, GRID = "#010203", "#040506"  # stand-ins that become the page's own colours
STYLE: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon", "text.parse_math"), False),
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "font.size": 9,
    "svg.fonttype": "none",
}
SMOOTH_FROM = 120  # points; beyond, a curve is drawn as its running mean over its pale self
STRETCHES = 40  # columns of a stacked figure


class Curve(NamedTuple):
    """A named line; `color` and `dash` as matplotlib takes them."""

    name: str
    series: Series
    color: str
    dash: str = "-"


def class_color(index: int) -> str:
    """Return the colour of a class, the same in every figure and table."""
    return PALETTE[index % len(PALETTE)]


def class_curves(family: dict[str, Series], classes: Sequence[str], scale: float = 1.0) -> list[Curve]:
    """Return one curve per class of `family`, values times `scale`; classes beyond the palette are dashed."""
    places = {name: index for index, name in enumerate(classes)}
    dashes = {name: "--" if place >= len(PALETTE) else "-" for name, place in places.items()}
    return [
        Curve(name, Series(steps, scale * values), class_color(places[name]), dashes[name])
        for name, (steps, values) in family.items()
    ]


def lines(curves: Sequence[Curve], label: str, unit_range: tuple[float, float] | None = None) -> Html:
    """Return the curves over training steps; `unit_range` fixes the vertical axis."""
    with canvas(label) as (figure, axes, svg):
        for curve in curves:
            _draw(axes, curve)
        if unit_range:
            axes.set_ylim(*unit_range)
        elif axes.dataLim.y0 >= 0:  # no room for shares and losses below 0, around a constant above all
            axes.set_ylim(bottom=max(axes.get_ylim()[0], 0))
        finish(figure, axes, len(curves))
    return inline(svg)


def shares(curves: Sequence[Curve], label: str) -> Html:
    """Return counts per step stacked, scaled to a total of 100; long curves are summed over stretches of steps."""
    steps = np.unique(np.concatenate([curve.series.steps for curve in curves]))
    counts = np.stack([np.interp(steps, *curve.series) for curve in curves])
    stretches = np.array_split(np.arange(len(steps)), min(len(steps), STRETCHES))
    steps = np.array([steps[stretch].mean() for stretch in stretches])
    counts = np.stack([counts[:, stretch].sum(1) for stretch in stretches], axis=1)
    heights = 100 * counts / np.maximum(counts.sum(0), 1e-12)
    if len(steps) == 1:  # between one step and itself there is no area to see
        steps, heights = steps[0] + np.array([-0.5, 0.5]), heights.repeat(2, axis=1)
    with canvas(label) as (figure, axes, svg):
        names, colors = [curve.name for curve in curves], [curve.color for curve in curves]
        axes.stackplot(steps, heights, labels=names, colors=colors, alpha=0.85, linewidth=0)
        axes.set_ylim(0, 100)
        finish(figure, axes, len(curves))
    return inline(svg)


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 15) -> Html:
    """Return accuracy against confidence in `bins` equal bins; empty bins are left out."""
    rows = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(rows, minlength=bins)
    filled = counts > 0
    heights = 100 * np.bincount(rows, right, bins)[filled] / counts[filled]
    with canvas("accuracy (%)", across="confidence (%)") as (figure, axes, svg):
        centers = 100 * (np.arange(bins)[filled] + 0.5) / bins
        axes.bar(centers, heights, 90 / bins, color=PALETTE[0], alpha=0.85, label="measured")
        axes.plot([0, 100], [0, 100], color=INK, linewidth=1, linestyle="--", label="perfectly calibrated")
        axes.set(xlim=(0, 100), ylim=(0, 100))
        finish(figure, axes, 2)
    return inline(svg)


def _draw(axes: "Axes", curve: Curve) -> None:
    steps, values = curve.series
    marker = "o" if len(steps) <= 30 else ""
    if len(steps) > SMOOTH_FROM:
        axes.plot(steps, values, color=curve.color, linewidth=0.6, alpha=0.25)
        values = _running_mean(values, len(values) // 40)
    width = 2.2 if curve.color == INK else 1.5
    (line,) = axes.plot(steps, values, curve.dash, color=curve.color, label=curve.name, linewidth=width)
    line.set(marker=marker, markersize=2.5)


def _running_mean(values: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """Mean over up to 2 half + 1 neighbours, fewer at the ends; a value that is no number counts as none."""
    known = np.isfinite(values)
    window = np.ones(2 * half + 1)
    total = np.convolve(np.where(known, values, 0), window, mode="same")
    count = np.convolve(known, window, mode="same")
    means: NDArray[np.float64] = np.where(count > 0, total, np.nan) / np.maximum(count, 1)
    return means


@contextmanager
def canvas(
    label: str, across: str = "step", width: float = 4.9, height: float = 3.3
) -> Iterator[tuple["Figure", "Axes", StringIO]]:
    """Yield figure, axes and the file that holds the SVG afterwards; sizes in inches of a page 9.8 wide."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE | {"svg.hashsalt": label + across}):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes, svg = figure.add_subplot(), StringIO()
        axes.set(xlabel=across, ylabel=label)
        yield figure, axes, svg
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(svg, format="svg", transparent=True, metadata=nothing)


def finish(figure: "Figure", axes: "Axes", entries: int) -> None:
    """Close the margins and add a legend of `entries` below, none for 0."""
    axes.margins(x=0.01)
    handles, names = axes.get_legend_handles_labels()
    if not entries:
        return
    room = int(figure.get_figwidth() / (0.065 * (max(map(len, names)) + 5)))  # inches per letter, and for the handle
    columns = min(entries, 4, max(1, room))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, fontsize=8, handlelength=1.4)


def inline(svg: StringIO) -> Html:
    """Keep what a page needs: no prologue, no fixed size, no repeated ids, the page's colours and font."""
    box, _, rest = svg.getvalue().partition('viewBox="')[2].partition('"')
    body = rest.partition(">")[2]
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)
    body = body.replace(INK, "var(--ink)").replace(GRID, "var(--grid)")
    return Html(f'<svg viewBox="{box}" role="img">{body.strip()}')
