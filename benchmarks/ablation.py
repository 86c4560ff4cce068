"""What each part of `dtm_infonce` is worth on procedural faces: runs of `+sweep=ablation`, a table of a page."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import mean, stdev

from writing import write_between_marks

from fer_ssl.reports.grouping import draw_of
from fer_ssl.reports.run import Run

PARTS = Path(__file__).parent.parent / "conf" / "ablation"
WHOLE = "full"
HEAD = "| ablation | what is changed | seeds | macro-F1 | over `full`, each seed | kept | right | minutes |"


def ablations(seeds: list[int], only: list[str] | None) -> Iterator[tuple[str, list[str]]]:
    """Yield name and overrides of every run."""
    names = [WHOLE, *sorted(path.stem for path in PARTS.glob("*.yaml") if path.stem != WHOLE)]
    for seed, name in product(seeds, only or names):
        yield f"{name}_seed{seed}", ["+experiment=dtm_infonce", f"+ablation={name}", f"seed={seed}"]


def write_ablations(records: Path, page: Path) -> None:
    """Put the table of the runs in `records` between the marks of `page`."""
    write_between_marks(page, table(records))


def table(records: Path) -> Iterator[str]:
    """Yield the lines of a table of scores in percent, best first, with every seed's difference to the whole."""
    whole = {draw_of(run): run for run in (Run(folder) for folder in sorted(records.glob(f"{WHOLE}_seed?")))}
    groups = {path.stem: [Run(each) for each in sorted(records.glob(f"{path.stem}_seed?"))] for path in PARTS.glob("*")}
    ran = {name: runs for name, runs in groups.items() if runs}
    yield HEAD
    yield "| --- |" + " --- |" * (HEAD.count("|") - 2)
    for name in sorted(ran, key=lambda name: -mean(map(score, ran[name]))):
        what = (PARTS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[1].removeprefix("# ")
        differences = [score(run) - score(whole[draw_of(run)]) for run in ran[name]] if name != WHOLE else []
        yield f"| {' | '.join([f'`{name}`', what, *cells(ran[name], differences)])} |"


def cells(runs: list[Run], differences: list[float]) -> list[str]:
    """Return seeds, mean and deviation of the score, differences, shares of pseudo-labels in percent, minutes."""
    scores = [score(run) for run in runs]
    spread = f" ± {stdev(scores):.2f}" if len(scores) > 1 else ""
    shares = [average(runs, f"pseudo.{name}", 100) for name in ("keep_rate", "accuracy")]
    seeds = ", ".join(str(run.setting("seed")) for run in runs)
    told = ", ".join(f"{each:+.1f}" for each in differences) or "-"
    return [seeds, f"{mean(scores):.2f}{spread}", told, *shares, average(runs, "train.seconds", 1 / 60)]


def score(run: Run) -> float:
    """Return macro-F1 on the test split in percent."""
    return 100 * float(run.score("test.macro_f1"))


def average(runs: list[Run], key: str, times: float) -> str:
    """Return a mean over runs, - where they did not measure it."""
    values = [run.score(key) for run in runs]
    return "-" if None in values else f"{times * mean(values):.1f}"
