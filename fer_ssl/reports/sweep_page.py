"""The page of a sweep: tables and figures in a single file, beside the same tables as Markdown, LaTeX and CSV."""

from pathlib import Path

from fer_ssl.reports import sweep_figures, sweep_tables
from fer_ssl.reports.markup import Html, document, table, tag
from fer_ssl.reports.sections import figure, grid, remark
from fer_ssl.reports.sweep import Sweep, read_sweep


def write_sweep(path: Path, baseline: str | None = None) -> list[Path]:
    """Write `sweep.md`, `sweep.tex`, `sweep.csv` and `sweep.html` into a sweep directory and return their paths.

    Raises DataError for runs that cannot be averaged, and for a directory without a finished run.
    """
    sweep = read_sweep(path, baseline)
    contents = {
        "sweep.md": sweep_tables.markdown(sweep),
        "sweep.tex": sweep_tables.latex(sweep),
        "sweep.csv": sweep_tables.as_csv(sweep),
        "sweep.html": render(sweep),
    }
    for name, content in contents.items():
        (path / name).write_text(content, encoding="utf-8")
    return [path / name for name in contents]


def render(sweep: Sweep) -> str:
    """Return the whole page."""
    name = sweep.path.resolve().name
    return document(
        f"{name} · fer_ssl",
        [_heading(sweep, name), _missing(sweep), _scores(sweep), _parts(sweep), _classes(sweep), _thresholds(sweep)],
    )


def _heading(sweep: Sweep, name: str) -> Html:
    items = [tag("li", f"{key}: ", tag("b", value)) for key, value in sweep_tables.facts(sweep).items()]
    kicker = tag("p", "Facial expression recognition · sweep report", class_="kicker")
    return tag("header", kicker, tag("h1", name), tag("ul", *items, class_="facts"))


def _missing(sweep: Sweep) -> Html:
    if not sweep.missing:
        return Html("")
    lines = [tag("li", line) for line in sweep.missing]
    return tag("aside", tag("p", tag("b", "Not in these tables")), tag("ul", *lines), class_="note")


def _scores(sweep: Sweep) -> Html:
    notes = map(remark, sweep_tables.meaning(sweep))
    tables = [table(*sweep_tables.scores(sweep)), *notes, table(*sweep_tables.costs(sweep))]
    return tag("section", tag("h2", "Scores"), *tables)


def _parts(sweep: Sweep) -> Html:
    steps, curve = sweep_figures.waterfall(sweep), sweep_figures.budgets(sweep)
    told = "Macro-F1, mean over runs; the line across a bar is its interval, if it has one."
    figures = [
        figure(f"Beside {sweep.baseline}", told, steps) if steps else "",
        figure("Labels", "Macro-F1 over labels per class ± standard deviation.", curve) if curve else "",
    ]
    return tag("section", tag("h2", "Differences"), *figures) if any(figures) else Html("")


def _classes(sweep: Sweep) -> Html:
    bars = sweep_figures.class_bars(sweep)
    drawn = figure("F1 per class", "Mean over runs.", bars) if bars else Html("")
    return tag("section", tag("h2", "Classes"), drawn, table(*sweep_tables.per_class(sweep)))


def _thresholds(sweep: Sweep) -> Html:
    drawn = [(row.title, sweep_figures.thresholds(row)) for row in sweep.rows]
    figures = [figure(title, "Confidence a pseudo-label needs, mean over runs.", each) for title, each in drawn if each]
    return tag("section", tag("h2", "Thresholds"), grid(figures)) if figures else Html("")
