"""The tables of a sweep as Markdown, LaTeX and CSV, all from the same cells."""

import csv
import re
from collections.abc import Sequence
from io import StringIO

from fer_ssl.reports.diagnosis import KEPT
from fer_ssl.reports.grouping import folds, known_precisions, pool_name, precisions
from fer_ssl.reports.markdown import line
from fer_ssl.reports.statistics import ENOUGH_RUNS, LEVEL, Difference, Spread
from fer_ssl.reports.sweep import Row, Sweep

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
    head = ["experiment", "kept", "right", "minutes", "images/s", "precision"]
    return head, [[row.title, *_costs(row)] for row in sweep.rows]


def _costs(row: Row) -> list[str]:
    return [
        _mean(row.spread("pseudo.keep_rate"), 100),
        _mean(row.right, 100),
        _mean(row.spread("train.seconds"), 1 / 60),
        _mean(row.spread("train.images_per_second"), 1, 0),
        ", ".join(precisions(row.runs)),
    ]


def difference_cells(row: Row) -> list[str]:
    """Return difference, interval, p-value and what it is paired over, dashes where there is nothing to pair."""
    if row.difference is None:
        return ["-"] * 4
    (center, low, high, p), over = row.difference
    interval = "-" if low is None or high is None else f"{100 * low:+.2f} to {100 * high:+.2f}"
    p_text = "-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
    return [f"{100 * center:+.2f}", interval, p_text, over]


def per_class(sweep: Sweep) -> Table:
    """Return head and rows of F1 per class, mean over runs, in percent."""
    rows = [[row.title, *(f"{100 * value:.1f}" for value in row.per_class_f1().values())] for row in sweep.rows]
    return ["F1", *sweep.classes], rows


def _with_std(spread: Spread | None) -> str:
    return "-" if spread is None else spread.text()


def _mean(spread: Spread | None, scale: float, digits: int = 1) -> str:
    return "-" if spread is None else f"{scale * spread.mean:.{digits}f}"


TABLES = (scores, costs, per_class)


def facts(sweep: Sweep) -> dict[str, object]:
    """Return what the runs of a sweep share, how many they are, and what they took."""
    first = sweep.runs[0]
    minutes = sum(run.score("train.seconds") or 0 for run in sweep.runs) / 60
    return {
        "data": first.setting("data.name"),
        **({"folds": ", ".join(found)} if (found := folds(sweep.runs)) else {}),
        "labels per class": ", ".join("all" if each is None else str(each) for each in sweep.budgets),
        "backbone": first.backbone,
        "steps": first.setting("trainer.max_steps"),
        "experiments": len(sweep.rows),
        "runs": len(sweep.runs),
        "training": f"{minutes:.0f} min in all",
        "precision": ", ".join(precisions(sweep.runs)),
        "commit": ", ".join(sorted({str(run.score("environment.commit") or "unknown") for run in sweep.runs})),
    }


def meaning(sweep: Sweep) -> list[str]:
    """Return what the columns mean, a sentence each."""
    sentences = [
        "Test split, in percent: mean ± sample standard deviation over runs (- for one run).",
        f"Kept: {KEPT}; right: accuracy of what was kept, where the truth is known. Minutes are of whatever machine "
        "a run had.",
    ]
    if len(known_precisions(sweep.runs)) > 1:
        sentences.append("Runs of two precisions, which the table of costs tells, are no fair pair.")
    if sweep.baseline:
        sentences += [
            f"Δ {sweep.baseline}: difference of macro-F1 in points to runs of {sweep.baseline} on the same labels, "
            "seeds and splits, with an interval and a two-sided p-value, not corrected for the number of rows.",
            f"From {ENOUGH_RUNS} paired runs on, p is of the sign-flip test over them, and the interval holds the "
            "differences that it does not reject; with fewer, both are of a bootstrap over the faces of the test "
            "split, which leaves out how seeds and splits vary. Where no predictions were kept, fewer runs have no "
            "interval, p is of the sign-flip test still, and one run has none.",
        ]
    return sentences


def markdown(sweep: Sweep) -> str:
    """Return the tables and what is missing as Markdown."""
    told = "; ".join(f"{key}: {value}" for key, value in facts(sweep).items())
    tables = [_markdown(*part(sweep)) for part in TABLES]
    parts = [f"# {sweep.path.resolve().name}", f"{told}.", " ".join(meaning(sweep)), *tables]
    if sweep.missing:
        parts.append("\n".join(["Not in the tables:", "", *(f"- {each}" for each in sweep.missing)]))
    return "\n\n".join(parts) + "\n"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(map(line, (head, ["---", *(["---:"] * (len(head) - 1))], *rows)))


def latex(sweep: Sweep) -> str:
    """Return the tables for `\\usepackage{booktabs}`."""
    told = [f"{key}: {value}" for key, value in facts(sweep).items()]
    missing = [f"not in the tables: {each}" for each in sweep.missing]
    notes = [f"% {each}" for each in (*told, *meaning(sweep), *missing)]
    return "\n".join([*notes, "\n\n".join(_latex(*part(sweep)) for part in TABLES)]) + "\n"


def _latex(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" & ".join(map(_latex_text, cells)) + r" \\" for cells in (head, *rows)]
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
    measured = {"kept": row.spread("pseudo.keep_rate"), "right": row.right, "seconds": row.spread("train.seconds")}
    measured["images_per_second"] = row.spread("train.images_per_second")
    cells |= {name: spread and spread.mean for name, spread in measured.items()}
    cells["precision"] = " ".join(precisions(row.runs))
    return cells | {f"f1_{name}": value for name, value in row.per_class_f1().items()}
