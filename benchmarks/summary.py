"""The table of the README: scores of the short FER2013 protocol by method and labels per class."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev

from heads import runs_at_home
from writing import write_between_marks

from fer_ssl.reports.grouping import draw_of, experiments
from fer_ssl.reports.run import Run

BUDGETS = (25, 100, 250)
OURS = "best"
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
METHODS = PEERS | {
    "dtm_infonce": "`dtm_infonce`",
    "dtm_infonce_two_views": "`dtm_infonce_faces` with two views of a face",
    "dtm_infonce_faces": "`dtm_infonce_faces`",
    "best_whole_prior": "`best` with the pool's frequencies from the first step on",
    "best": "our recipe, `best`",
    "supervised_pretrained": "supervised, from features learned on the pool",
    "best_pretrained": "`best_pretrained`, from features learned on the pool",
}


def write_summary(records: Path, page: Path) -> None:
    """Put the scores of the runs in `records` between the marks of `page`."""
    write_between_marks(page, table(records))


def table(records: Path) -> Iterator[str]:
    """Yield the lines of a table of PublicTest macro-F1 in percent, mean and sample deviation over seeds."""
    found = experiments(runs_at_home(records))
    groups = {(group[0].name, group[0].setting("data.labels_per_class")): group for group in found}
    yield "| labels per class | " + " | ".join(map(str, BUDGETS)) + " |"
    yield "| --- |" + " --- |" * len(BUDGETS)
    for name, shown in METHODS.items():
        if any((name, budget) in groups for budget in BUDGETS):
            cells = [score(groups.get((name, budget), [])) for budget in BUDGETS]
            yield f"| {shown} | {' | '.join(cells)} |"
    leads = [lead(groups[OURS, budget], [groups.get((name, budget), []) for name in PEERS]) for budget in BUDGETS]
    yield f"| `{OURS}` over the best peer or supervised, paired by seed | {' | '.join(leads)} |"


def lead(ours: Sequence[Run], peers: Sequence[Sequence[Run]]) -> str:
    """Return the differences to the peer that is best on our draws, which share labels and seed: mean and deviation."""
    own = by_draw(ours)
    met = [scores for scores in map(by_draw, peers) if scores.keys() >= own.keys()]
    best = max(met, key=lambda scores: mean(scores[draw] for draw in own))
    differences = [own[draw] - best[draw] for draw in own]
    return f"{mean(differences):+.2f} ± {stdev(differences):.2f}"


def by_draw(group: Sequence[Run]) -> dict[str, float]:
    """Return the scores of an experiment's runs in percent, by seeds and splits."""
    return {draw_of(run): 100 * run.score("test.macro_f1") for run in group}


def score(group: Sequence[Run]) -> str:
    """Return mean and deviation over the seeds; one that has fewer than three says so."""
    scores = [100 * run.score("test.macro_f1") for run in group]
    if len(scores) < 2:
        return f"{scores[0]:.2f} (1 seed)" if scores else ""
    return f"{mean(scores):.2f} ± {stdev(scores):.2f}" + (" (2 seeds)" if len(scores) == 2 else "")
