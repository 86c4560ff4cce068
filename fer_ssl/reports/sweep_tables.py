"""The tables of a sweep as Markdown, LaTeX and CSV, all from the same cells."""

import csv
import re
from collections.abc import Sequence
from io import StringIO

from fer_ssl.reports.grouping import pool_name
from fer_ssl.reports.statistics import LEVEL, Difference
from fer_ssl.reports.sweep import ENOUGH_RUNS, Row, Spread, Sweep

SIGNED = re.compile(r"(?<![\w.])([+-]\d[\d.]*)")  # set in mathematics, where a hyphen is a minus
Table = tuple[list[str], list[list[str]]]


def scores(sweep: Sweep) -> Table:
    """Return head and rows of the main table; scores in percent, differences in points."""
    gains = [f"Δ {sweep.baseline}", f"{LEVEL:.0%} interval", "p", "paired over"] if sweep.baseline else []
    head = ["experiment", "runs", "macro-F1", *gains, "accuracy"]
    return head, [_scores(row, bool(gains)) for row in sweep.rows]


def _scores(row: Row, gains: bool) -> list[str]:
    return [
        row.title,
        f"{len(row.runs)} ({', '.join(row.seeds)})",
        _with_std(row.spread("test.macro_f1")),
        *(difference_cells(row) if gains else []),
        _with_std(row.spread("test.accuracy")),
    ]


def costs(sweep: Sweep) -> Table:
    """Return head and rows of what became of the pseudo-labels, in percent, and of what a run cost."""
    head = ["experiment", "kept", "right", "minutes", "images/s"]
    return head, [[row.title, *_costs(row)] for row in sweep.rows]


def _costs(row: Row) -> list[str]:
    return [
        _mean(row.spread("pseudo.keep_rate"), 100),
        _mean(row.spread("pseudo.accuracy"), 100),
        _mean(row.spread("train.seconds"), 1 / 60),
        _mean(row.spread("train.images_per_second"), 1, 0),
    ]


def difference_cells(row: Row) -> list[str]:
    """Return difference, interval, p-value and what it is paired over, dashes where there is nothing to pair."""
    if row.difference is None:
        return ["-"] * 4
    (center, low, high, p), over = row.difference
    p_text = "< 0.001" if p < 0.001 else f"{p:.3f}"
    return [f"{100 * center:+.2f}", f"{100 * low:+.2f} to {100 * high:+.2f}", p_text, over]


def per_class(sweep: Sweep) -> Table:
    """Return head and rows of F1 per class, mean over runs, in percent."""
    rows = [[row.title, *(f"{100 * value:.1f}" for value in row.per_class_f1().values())] for row in sweep.rows]
    return ["F1", *sweep.classes], rows


def _with_std(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{100 * spread.mean:.2f} ± {'-' if spread.std is None else f'{100 * spread.std:.2f}'}"


def _mean(spread: Spread | None, scale: float, digits: int = 1) -> str:
    return "-" if spread is None else f"{scale * spread.mean:.{digits}f}"


TABLES = (scores, costs, per_class)


def meaning(sweep: Sweep) -> list[str]:
    """Return what the columns mean, a sentence each."""
    sentences = [
        "Test split, in percent: mean ± sample standard deviation over runs (- for one run).",
        "Kept: share of pseudo-labels kept; right: accuracy of those kept, where the truth is known.",
    ]
    if sweep.baseline:
        sentences += [
            f"Δ {sweep.baseline}: difference of macro-F1 in points to runs of {sweep.baseline} on the same labels, "
            "seeds and splits, with a percentile bootstrap interval and a two-sided p-value, not corrected for the "
            "number of rows.",
            f"From {ENOUGH_RUNS} paired runs on, runs are resampled and p is of the sign-flip test; with fewer, the "
            "faces of the test split are (where predictions were kept), which leaves out how seeds and splits vary.",
        ]
    return sentences


def markdown(sweep: Sweep) -> str:
    """Return the tables and what is missing as Markdown."""
    parts = [f"# {sweep.path.resolve().name}", " ".join(meaning(sweep)), *(_markdown(*part(sweep)) for part in TABLES)]
    if sweep.missing:
        parts.append("\n".join(["Not in the tables:", "", *(f"- {line}" for line in sweep.missing)]))
    return "\n\n".join(parts) + "\n"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def latex(sweep: Sweep) -> str:
    """Return the tables for `\\usepackage{booktabs}`."""
    notes = [f"% {line}" for line in (*meaning(sweep), *(f"not in the tables: {each}" for each in sweep.missing))]
    return "\n".join([*notes, "\n\n".join(_latex(*part(sweep)) for part in TABLES)]) + "\n"


def _latex(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" & ".join(map(_latex_text, line)) + r" \\" for line in (head, *rows)]
    begin = rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}"
    return "\n".join([begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}"])


def _latex_text(cell: str) -> str:
    if cell == "-":
        return "--"
    for plain, command in (("\\", r"\textbackslash "), *((each, f"\\{each}") for each in "&%$#_{}")):
        cell = cell.replace(plain, command)
    cell = SIGNED.sub(r"$\1$", cell)
    for plain, command in (("~", r"\textasciitilde "), ("^", r"\textasciicircum ")):
        cell = cell.replace(plain, command)
    return cell.replace("±", r"$\pm$").replace("Δ", r"$\Delta$").replace("< ", "$<$ ")


def as_csv(sweep: Sweep) -> str:
    """Return one line per row with unrounded fractions; differences over runs and over faces side by side."""
    file = StringIO()
    rows = [_csv_row(row, sweep) for row in sweep.rows]
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _csv_row(row: Row, sweep: Sweep) -> dict[str, object]:
    cells: dict[str, object] = {"experiment": row.name, "labels_per_class": row.labels, "pool": pool_name(row.runs[0])}
    cells["seeds"] = " ".join(row.seeds)
    for key in ("test.macro_f1", "test.accuracy", "test.balanced_accuracy"):
        spread, name = row.spread(key), key.removeprefix("test.")
        cells |= {name: spread and spread.mean, f"{name}_std": spread and spread.std}
    cells |= {"baseline": sweep.baseline if row.baseline else None, "pairs": len(row.pairs)}
    for over, difference in (("runs", row.by_seeds), ("faces", row.by_faces)):
        values = difference or (None,) * len(Difference._fields)
        cells |= {f"{name}_over_{over}": value for name, value in zip(Difference._fields, values, strict=True)}
    for name, key in (("kept", "pseudo.keep_rate"), ("right", "pseudo.accuracy"), ("seconds", "train.seconds")):
        spread = row.spread(key)
        cells[name] = spread and spread.mean
    speed = row.spread("train.images_per_second")
    cells["images_per_second"] = speed and speed.mean
    return cells | {f"f1_{name}": value for name, value in row.per_class_f1().items()}
