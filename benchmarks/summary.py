"""The table of the README: scores on FER2013 by method and labels per class, on a longer protocol, on FER+ labels."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from heads import runs_at_home
from writing import write_between_marks

from fer_ssl.reports.grouping import draw_of, experiments
from fer_ssl.reports.run import Run


class Column(NamedTuple):
    """What the runs of a column have in common, besides the method's own overrides."""

    title: str
    suite: str
    budget: int  # labels per class


COLUMNS = (
    Column("25", "p1", 25),
    Column("100", "p1", 100),
    Column("250", "p1", 250),
    Column("100, 4,000 steps", "p2", 100),
    Column("100, FER+ labels", "ferplus", 100),
)
PEERS = {
    "supervised": "supervised",
    "pseudolabel": "PseudoLabel",
    "pi_model": "Pi-model",
    "mean_teacher": "Mean Teacher",
    "mixmatch": "MixMatch",
    "uda": "UDA",
    "remixmatch": "ReMixMatch",
    "fixmatch": "FixMatch",
    "dash": "Dash",
    "flexmatch": "FlexMatch",
    "comatch": "CoMatch",
    "simmatch": "SimMatch",
    "debiaspl": "DebiasPL",
    "freematch": "FreeMatch",
    "softmatch": "SoftMatch",
    "adamatch": "AdaMatch",
    "adacm": "Ada-CM, plain linear head",
}
REFITTED = {
    f"{name}_refitted": f"{PEERS[name]}, its classifier fitted anew" for name in ("flexmatch", "freematch", "softmatch")
}
METHODS = PEERS | REFITTED | {
    "softmatch_labels_2": "SoftMatch, labels x 2",
    "dtm_infonce_uncertain": "`dtm_infonce_uncertain`",
    "dtm_infonce": "`dtm_infonce`",
    "dtm_infonce_refitted": "`dtm_infonce`, its classifier fitted anew",
    "dtm_infonce_two_views": "`dtm_infonce_faces` with two views of a face",
    "dtm_infonce_faces": "`dtm_infonce_faces`",
    "best_whole_prior": "`best` with the pool's frequencies from the first step on",
    "best": "our recipe, `best`",
    "best_labels_2": "`best`, labels x 2",
    "best_refitted": "`best_refitted`: `best`, its classifier fitted anew",
    "supervised_pretrained": "supervised, from features learned on the pool",
    "best_pretrained": "`best_pretrained`, from features learned on the pool",
}  # fmt: skip
# ours, whom it is compared with, and how that is told
LEADS = (
    *((name, PEERS, "peer or supervised") for name in ("dtm_infonce", "best", "best_labels_2", "best_refitted")),
    ("best_refitted", REFITTED, "peer whose classifier is fitted anew too"),
)


def write_summary(records: Path, page: Path) -> None:
    """Put the scores of the runs in `records` between the marks of `page`."""
    write_between_marks(page, table(records))


def table(records: Path) -> Iterator[str]:
    """Yield the lines of a table of PublicTest macro-F1 in percent, mean and sample deviation over seeds."""
    found = {column.title: column_of(records / column.suite, column.budget) for column in COLUMNS}
    yield "| labels per class | " + " | ".join(found) + " |"
    yield "| --- |" + " --- |" * len(found)
    for name, shown in METHODS.items():
        if any(name in groups for groups in found.values()):
            yield f"| {shown} | {' | '.join(score(groups.get(name, [])) for groups in found.values())} |"
    for name, rivals, told in LEADS:
        leads = [lead(groups.get(name, []), [groups.get(rival, []) for rival in rivals]) for groups in found.values()]
        yield f"| `{name}` over the best {told}, paired by seed | {' | '.join(leads)} |"


def column_of(records: Path, budget: int) -> dict[str, list[Run]]:
    """Return the runs with so many labels per class by the method's name."""
    groups = experiments(runs_at_home(records))
    return {group[0].name: group for group in groups if group[0].setting("data.labels_per_class") == budget}


def lead(ours: Sequence[Run], peers: Sequence[Sequence[Run]]) -> str:
    """Return the differences to the peer that is best on our draws, which share labels and seed: mean and deviation."""
    own = by_draw(ours)
    met = [scores for scores in map(by_draw, peers) if own and scores.keys() >= own.keys()]
    if not met:
        return ""
    best = max(met, key=lambda scores: mean(scores[draw] for draw in own))
    return spread([own[draw] - best[draw] for draw in own], "+")


def by_draw(group: Sequence[Run]) -> dict[str, float]:
    """Return the scores of an experiment's runs in percent, by seeds and splits."""
    return {draw_of(run): 100 * run.score("test.macro_f1") for run in group}


def score(group: Sequence[Run]) -> str:
    """Return mean and deviation of an experiment's scores in percent, nothing where it was not run."""
    return spread([100 * run.score("test.macro_f1") for run in group]) if group else ""


def spread(values: Sequence[float], sign: str = "") -> str:
    """Return mean and deviation over the seeds; fewer than three say so."""
    deviation = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    seeds = {1: " (1 seed)", 2: " (2 seeds)"}.get(len(values), "")
    return f"{mean(values):{sign}.2f}{deviation}{seeds}"
