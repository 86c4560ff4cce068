"""What was tried for `best`, scored on Training faces of FER2013 that no run learns from: a table of docs/recipe.md."""

from collections.abc import Iterator
from pathlib import Path

from writing import write_between_marks

from fer_ssl.reports.run import Run

SOFT = ["+experiment=soft_teacher", "threshold.alignment=none"]
CONTRAST = ["loss=[supervised,pseudo_label,infonce_all]"]
RISING = "++loss.pseudo_label.weight={_target_: fer_ssl.method.ramp.Ramp, peak: 1.0, start: 0.0, end: 0.4, steps: 1000}"
MOVED = [
    "view.strong.ops=8",
    "+view.strong.operations=[scale,translate_x,translate_y,rotate,brightness,contrast,sharpness,shear_x]",
    "+view.strong.translate=0.12",
    "+view.strong.rotate=15.0",
    "+view.strong.scale=0.35",
    "+view.strong.shear=0.15",
    "+view.strong.enhance=0.6",
    "view.strong.cutout=0.35",
]
# by record: what was tried, and its overrides; first from scratch, then from features
TRIED = {
    "supervised": ("labels alone", ["+experiment=supervised"]),
    "dtm_infonce": (
        "`dtm_infonce` with InfoNCE x 0.5 between two views of the student, temperature 0.2",
        [
            "+experiment=dtm_infonce",
            "loss.infonce.weight=0.5",
            "loss.infonce.temperature=0.2",
            "loss.infonce.against=student",
        ],
    ),
    "soft_contrast": ("soft pseudo-labels, not aligned; InfoNCE x 0.5", [*SOFT, *CONTRAST]),
    "best": ("labels taught for the pool's frequencies; InfoNCE x 1: `best`", ["+experiment=best"]),
    "best_contrast_2": ("the same with InfoNCE x 2", ["+experiment=best", "loss.infonce.weight=2"]),
    "best_temperature_01": (
        "`best` with a temperature of 0.1 in InfoNCE",
        ["+experiment=best", "loss.infonce.temperature=0.1"],
    ),
    "best_queue": (
        "`best` with InfoNCE against the teacher, 4,096 negatives in a queue",
        ["+experiment=best", "loss.infonce.against=teacher", "loss.infonce.queue=4096"],
    ),
    "best_softmatch": (
        "`best` with pseudo-labels weighed as SoftMatch does",
        ["+experiment=best", "threshold=softmatch", "threshold.alignment=none"],
    ),
    "best_rising": ("`best` with pseudo-labels rising in weight over 400 steps", ["+experiment=best", RISING]),
    "best_strong_labels": (
        "`best` with labels taught on strong views",
        ["+experiment=best", "view.labeled=${view.strong}"],
    ),
    "best_moved": (
        "`best` with strong views that move, scale and turn, as in pre-training",
        ["+experiment=best", *MOVED],
    ),
    "dtm_quantile": (
        "`dtm_quantile` that keeps 70 % of each class; InfoNCE x 1 on the others",
        [
            "+experiment=dtm_quantile",
            "threshold.share=0.7",
            "teacher.views=[weak]",
            "loss.infonce.weight=1.0",
            "loss.infonce.temperature=0.2",
            "loss.infonce.against=student",
        ],
    ),
}
TRIED_FROM_FEATURES = {
    "features_uniform": ("soft pseudo-labels, aligned to uniform", ["+experiment=soft_teacher"]),
    "features_uniform_contrast": ("the same and InfoNCE x 0.5", ["+experiment=soft_teacher", *CONTRAST]),
    "features_soft": ("soft pseudo-labels, not aligned", SOFT),
    "best_pretrained": ("labels taught for the pool's frequencies: `best_pretrained`", ["+experiment=best_pretrained"]),
    "best_pretrained_smoothed": (
        "the same with labels smoothed by 0.1 and a learning rate of 0.02",
        ["+experiment=best_pretrained", "loss.supervised.smoothing=0.1", "optim.lr=0.02"],
    ),
}
SEEDS = [10]  # of labels and runs, by default; the table of scores has 0 to 2


def trials(fold: Path, init: Path | None, seeds: list[int]) -> Iterator[tuple[str, list[str]]]:
    """Yield name and overrides of every trial on the faces of `fold`, those from features where `init` holds some."""
    for seed in seeds:
        draw = [f"data.root={fold}", "data.labels_per_class=100", f"data.split_seed={seed}", f"seed={seed}"]
        for name, (_, (experiment, *parts)) in TRIED.items():
            yield f"{name}_seed{seed}", [experiment, "+protocol=p1", *parts, *draw]
        for name, (_, (experiment, *parts)) in TRIED_FROM_FEATURES.items() if init else ():
            yield f"{name}_seed{seed}", [experiment, "+protocol=p1", *parts, f"backbone.init={init}", *draw]


def write_recipe(records: Path, page: Path) -> None:
    """Put the table of the trials recorded in `records` between the marks of `page`."""
    write_between_marks(page, table(records))


def table(records: Path) -> Iterator[str]:
    """Yield the lines of a table: what was tried, scores in percent, pseudo-labels that were right, cost, commits."""
    yield "| from | tried | seeds | macro-F1 | accuracy | pseudo-labels right | minutes | commit |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for start, tried in (("scratch", TRIED), ("features", TRIED_FROM_FEATURES)):
        for name, (what, _) in tried.items():
            runs = [Run(folder) for folder in sorted(records.glob(f"{name}_seed*"))]
            if runs:
                yield _row(start, what, runs)


def _row(start: str, what: str, runs: list[Run]) -> str:
    seeds = ", ".join(str(run.setting("seed")) for run in runs)
    scores = [_each(runs, name, 100, 2) for name in ("test.macro_f1", "test.accuracy")]
    facts = [_each(runs, "pseudo.accuracy_all", 100, 1), _each(runs, "train.seconds", 1 / 60, 1)]
    commits = ", ".join(sorted({run.score("environment.commit") for run in runs}))
    return f"| {' | '.join([start, what, seeds, *scores, *facts, commits])} |"


def _each(runs: list[Run], score: str, times: float, digits: int) -> str:
    values = [run.score(score) for run in runs]
    return ", ".join("-" if value is None else f"{times * value:.{digits}f}" for value in values)
