"""The numbers and curves of the page, one function per section."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fer_ssl.reports.figures import INK, PALETTE, Curve, class_color, class_curves, lines, reliability, shares
from fer_ssl.reports.markup import Html, percent, table, tag
from fer_ssl.reports.run import Run, Series


def remark(reason: str) -> Html:
    """Return a sentence beside the figures, or in place of a part the run has no data for."""
    return tag("p", reason, class_="soft")


def class_name(run: Run, index: int) -> Html:
    """Return the name of a class after a patch of its colour."""
    return tag("span", tag("i", class_="dot", style=f"background:{class_color(index)}"), run.classes[index])


def final_split(run: Run) -> str | None:
    """Return the split the detailed parts show: test where it was scored, else val."""
    return next((split for split in ("test", "val") if run.score(split) is not None), None)


def per_class(run: Run) -> Html:
    """Return F1 bars per class with precision and recall."""
    split = final_split(run)
    if split is None:
        return tag("section", tag("h2", "Classes"), remark("No split was scored, so there are no scores per class."))
    scores: Mapping[str, Any] = run.metrics[split]
    counts = [sum(row) for row in scores.get("confusion", [])] or ["-"] * len(run.classes)
    rows = []
    for index, name in enumerate(run.classes):
        f1, precision, recall = (scores.get(f"per_class_{key}", {}).get(name) for key in ("f1", "precision", "recall"))
        bar = tag("i", style=f"width:{100 * (f1 or 0):.1f}%;background:{class_color(index)}")
        cells = [tag("td", bar, class_="bar"), percent(f1), percent(precision), percent(recall), counts[index]]
        rows.append([class_name(run, index), *cells])
    head = [f"{split} split", "", "F1", "precision", "recall", "faces"]
    return tag("section", tag("h2", "Classes"), table(head, rows, class_="wide"))


def confusion(run: Run) -> Html:
    """Return the confusion matrix: counts, coloured by their share of the row."""
    split = final_split(run)
    counts = run.score(f"{split}.confusion")
    if not counts:
        return tag("section", tag("h2", "Confusion"), remark("No confusion matrix was recorded."))
    rows = [
        [class_name(run, truth), *(_confusion_cell(count, sum(row), truth == index) for index, count in enumerate(row))]
        for truth, row in enumerate(counts)
    ]
    matrix = table(["truth ↓ prediction →", *run.classes], rows, class_="confusion")
    note = tag("p", f"Faces of the {split} split; colour and percentage are shares of the row.", class_="soft")
    return tag("section", tag("h2", "Confusion"), matrix, note)


def _confusion_cell(count: int, total: int, right: bool) -> Html:
    share = count / total if total else 0.0
    classes = " ".join(name for name, holds in (("right", right), ("hot", share > 0.6)) if holds)
    return tag("td", count, tag("small", f"{share:.0%}"), class_=classes, style=f"--share:{share:.0%}")


def training(run: Run) -> Html:
    """Return loss curves, validation curves and calibration."""
    losses = _loss_curves(run)
    named = (("macro-F1", "val/macro_f1", PALETTE[0]), ("accuracy", "val/accuracy", PALETTE[1]))
    scores = [Curve(name, _in_percent(run.history[key]), color) for name, key, color in named if key in run.history]
    figures = [
        figure("Loss", "Total and its terms, as the objective adds them.", lines(losses, "loss")) if losses else None,
        figure("Validation", "Scores of the validation split.", lines(scores, "%")) if scores else None,
        _calibration(run),
        _learning_rate(run),
    ]
    note = "Where a curve is long, the bold line is the running mean of the pale one."
    otherwise = "No history.csv with losses or validation scores was kept, so there are no curves."
    drawn = losses or scores
    return tag("section", tag("h2", "Training"), remark(note if drawn else otherwise), grid(figures))


def _learning_rate(run: Run) -> Html | None:
    if "lr" not in run.history:
        return None
    curve = Curve("learning rate", run.history["lr"], class_color(0))
    return figure("Learning rate", "As the schedule set it.", lines([curve], "learning rate"))


def _loss_curves(run: Run) -> list[Curve]:
    terms = [name for name in run.history if name.startswith("train/") and name != "train/loss"]
    curves = [
        Curve(name.removeprefix("train/"), run.history[name], class_color(place)) for place, name in enumerate(terms)
    ]
    return curves + ([Curve("total", run.history["train/loss"], INK)] if "train/loss" in run.history else [])


def _calibration(run: Run) -> Html | None:
    columns, split = run.predictions, final_split(run)
    if columns is None or split is None:
        return None
    rows = (columns["split"] == split) & (columns["label"] >= 0)
    if not rows.any():
        return None
    probs = np.stack([columns[f"prob_{name}"][rows] for name in run.classes], axis=1)
    right = probs.argmax(1) == columns["label"][rows]
    return figure("Calibration", f"Accuracy by confidence on the {split} split.", reliability(probs.max(1), right))


def pseudo_labels(run: Run) -> Html:
    """Return what the threshold let through: tau, keep-rate, histogram and accuracy per class over time."""
    title = tag("h2", "Pseudo-labels")
    taus = class_curves(run.thresholds, run.classes)
    kept, right = _rates(run, "keep", "pseudo/keep_rate"), _rates(run, "right", "pseudo/accuracy")
    figures = [
        figure("Threshold", "Confidence a pseudo-label needs, per class.", lines(taus, "tau")) if taus else None,
        figure("Kept", "Share of pseudo-labels kept, per class.", lines(kept, "kept (%)")) if kept else None,
        _histogram(run),
        figure("Right", "Accuracy of the kept ones, per class.", lines(right, "right (%)")) if right else None,
    ]
    if not any(figures):
        return tag("section", title, remark("No threshold or pseudo-label was logged: a supervised run has none."))
    unknown = remark("No pseudo-label was kept whose truth is known, so the accuracy of those kept is unknown.")
    return tag("section", title, _pseudo_totals(run), grid(figures), "" if right else unknown)


def _pseudo_totals(run: Run) -> Html:
    totals: Mapping[str, Any] = run.score("pseudo") or {}
    known = [(name, value) for name, value in totals.items() if isinstance(value, int | float)]
    facts = [tag("li", name.replace("_", " "), ": ", tag("b", _quantity(value))) for name, value in known]
    return tag("ul", *facts, class_="facts")


def _quantity(value: float) -> str:
    """Show a fraction as percent, a count or other number as it is."""
    return f"{percent(value)} %" if isinstance(value, float) and 0 <= value <= 1 else f"{value:g}"


def _rates(run: Run, prefix: str, overall: str) -> list[Curve]:
    curves = class_curves(run.family(prefix), run.classes, 100)
    return curves + ([Curve("all", _in_percent(run.history[overall]), INK)] if overall in run.history else [])


def _histogram(run: Run) -> Html | None:
    curves = class_curves(run.family("count"), run.classes)
    caption = "Share of each class among all pseudo-labels."
    return figure("Histogram", caption, shares(curves, "share (%)")) if curves else None


def data(run: Run) -> Html:
    """Return counts per split and class, and what was left out."""
    if run.data is None:
        return tag("section", tag("h2", "Data"), remark("No data.json was kept, so the faces per split are not known."))
    counts = {name: value for name, value in run.data.items() if name != "card"}  # a section of its own
    nested = [(name, value) for name, value in counts.items() if isinstance(value, Mapping)]
    plain = [(name, value) for name, value in counts.items() if not isinstance(value, Mapping)]
    plain += [("rejected rows", run.rejected)] if run.rejected else []
    tables = [_count_table(name, value) for name, value in nested]
    return tag("section", tag("h2", "Data"), *tables, table(["", ""], plain) if plain else "")


def _count_table(name: str, counts: Mapping[str, Any]) -> Html:
    """Show counts per split and class, or any other mapping, row by row."""
    if not counts or not all(isinstance(row, Mapping) for row in counts.values()):
        return table([name, ""], counts.items())
    columns = list(dict.fromkeys(column for row in counts.values() for column in row))
    rows = [[split, *(row.get(column, "-") for column in columns)] for split, row in counts.items()]
    return table([name, *columns], rows)


def _in_percent(series: Series) -> Series:
    return Series(series.steps, 100 * series.values)


def figure(title: str, caption: str, drawing: Html) -> Html:
    """Return a drawing on a card, below its title and caption."""
    return tag("figure", tag("figcaption", tag("b", title), caption), drawing, class_="card")


def grid(figures: Sequence[Html | None]) -> Html:
    """Return the cards side by side where there is room."""
    return tag("div", *(figure for figure in figures if figure), class_="grid")
