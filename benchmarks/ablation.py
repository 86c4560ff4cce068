"""What each part of `dtm_infonce` is worth on FER2013: runs of `+sweep=ablation`, a table of a page."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean

from writing import write_between_marks

from fer_ssl.reports.grouping import draw_of
from fer_ssl.reports.run import Run
from fer_ssl.reports.statistics import Spread, spread

PARTS = Path(__file__).parent.parent / "conf" / "ablation"
WHOLE, BUDGET = "full", 100  # labels per class
ABLATED = {path.stem: ["+experiment=dtm_infonce", f"+ablation={path.stem}"] for path in sorted(PARTS.glob("*.yaml"))}
HEAD = "| ablation | what is changed | seeds | macro-F1 | over `full`, each seed | kept | right | minutes |"


def write_ablations(records: Path, page: Path) -> None:
    """Put the table of the runs in `records` between the marks of `page`."""
    write_between_marks(page, table(records))


def table(records: Path) -> Iterator[str]:
    """Yield the lines of a table of scores in percent, best first, with every seed's difference to the whole."""
    found = {part: [Run(each) for each in sorted(records.glob(f"{part.stem}_*_seed?"))] for part in PARTS.glob("*")}
    ran = {part: runs for part, runs in found.items() if runs}
    whole = {draw_of(run): score(run) for run in found[PARTS / f"{WHOLE}.yaml"]}
    yield HEAD
    yield "| --- |" + " --- |" * (HEAD.count("|") - 2)
    for part, runs in sorted(ran.items(), key=lambda item: -mean(map(score, item[1]))):
        what = part.read_text(encoding="utf-8").splitlines()[1].removeprefix("# ")
        yield f"| `{part.stem}` | {what} | {' | '.join(cells(runs, {} if part.stem == WHOLE else whole))} |"


def cells(runs: list[Run], whole: Mapping[str, float]) -> list[str]:
    """Return seeds, mean and deviation of the score, gains over `whole`, pseudo-labels in percent, minutes."""
    over = [f"{score(run) - whole[draw_of(run)]:+.1f}" if draw_of(run) in whole else "-" for run in runs]
    gains = ", ".join(over) if whole else "-"
    shares = [average([run.score("pseudo.keep_rate") for run in runs], 100), average([run.right for run in runs], 100)]
    minutes = average([run.score("train.seconds") for run in runs], 1 / 60)
    seeds = ", ".join(str(run.setting("seed")) for run in runs)
    return [seeds, Spread(run.score("test.macro_f1") for run in runs).text(alone=""), gains, *shares, minutes]


def score(run: Run) -> float:
    """Return macro-F1 on the test split in percent."""
    return 100 * float(run.score("test.macro_f1"))


def average(values: list[float | None], times: float) -> str:
    """Return a mean over runs, - where one did not measure it."""
    known = spread(values)
    return "-" if known is None else f"{times * known.mean:.1f}"
