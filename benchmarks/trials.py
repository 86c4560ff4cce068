"""What was tried for `best`, scored on faces whose labels no run learns or is tested on."""

from collections.abc import Iterator
from pathlib import Path

DTM_OF_TWO_VIEWS = [
    "+experiment=dtm_infonce_faces", "view=weak_strong", "loss=[supervised_pool_adjusted,pseudo_label,infonce_all]",
    "loss.infonce.weight=1.0", "loss.infonce.temperature=0.1",
]  # fmt: skip
UNCERTAIN = [*DTM_OF_TWO_VIEWS, "loss.infonce.uncertain_only=true"]
SOFT = ["+experiment=soft_teacher", "threshold.alignment=none"]
STUDENT = ["loss.infonce.temperature=0.2", "loss.infonce.against=student"]
CONTRAST = ["loss=[supervised,pseudo_label,infonce_all]"]
ADJUSTED = [*SOFT, "loss=[supervised_pool_adjusted,pseudo_label,infonce_all]"]
TWO_VIEWS = [*ADJUSTED, "loss.infonce.weight=1.0"]
SHARPER = [*TWO_VIEWS, "loss.infonce.temperature=0.1"]
RISING = "{_target_: fer_ssl.method.ramp.Ramp, peak: 1.0, start: %s, end: 0.4, steps: 1000}"
MOVED = ["+experiment=best", "loss=[supervised_pool_adjusted,pseudo_label_two_views,infonce_three_views]"]
LATE = "{_target_: fer_ssl.method.ramp.Ramp, peak: 1.0, start: 0.5, end: 0.55, steps: 4000}"
FALLING = "++loss.infonce.weight={_target_: fer_ssl.method.ramp.Fall, peak: 2.0, start: 0.0, end: 0.5, steps: %d}"
STRONG_LABELS = "view.labeled=${view.strong}"
MOVES = (
    "ops: 4, operations: [scale, translate_x, translate_y, rotate], translate: 0.08, rotate: 10, scale: 0.2, cutout: 0"
)
MOVED_LABELS = f"view.labeled={{_target_: fer_ssl.views.StrongView, {MOVES}}}"
MIXED = [
    "loss=[supervised_pool_adjusted_rising,pseudo_label_two_views,infonce_three_views,mixed_unlabeled]",
    "loss.mixed_unlabeled.weight=1.0", "loss.mixed_unlabeled.kind=ce", "loss.mixed_unlabeled.views=[labeled,strong]",
]  # fmt: skip
NORMED = "head.norm=true"
TWICE, HALF = "loss.supervised.weight=2", "loss.supervised.strength=0.5"
LOW_ALL = ["+experiment=dtm_infonce_uncertain", "threshold=dtm_low", "teacher.views=[weak]"]
LOW_MOVED = [*LOW_ALL, "view=weak_moved"]
LOW_ALL_MOVED = [*LOW_MOVED, "loss=[supervised_pool_adjusted_rising,pseudo_label,infonce_all]"]
FADING = ["+experiment=dtm_infonce"]
UNCERTAIN_MOVED = [*LOW_ALL_MOVED, "loss.infonce.weight=1.0", "loss.infonce.uncertain_only=true"]
UNCERTAIN_FADING = [*FADING, "loss.infonce.uncertain_only=true"]
TEACH_TWO = "loss.pseudo_label.views=[strong,strong2]"
# by record: what was tried, and its overrides; from scratch, from scratch with more labels, from features
TRIED = {
    "supervised": ("labels alone", ["+experiment=supervised"]),
    "supervised_cosine": ("labels alone, logits from cosines", ["+experiment=supervised", "head=cosine"]),
    "dtm_infonce": (
        "`dtm_infonce_uncertain` with InfoNCE x 0.5 between two views of the student, temperature 0.2",
        ["+experiment=dtm_infonce_uncertain", "loss.infonce.weight=0.5", *STUDENT],
    ),
    "dtm_quantile": (
        "`dtm_quantile` that keeps 70 % of each class; InfoNCE x 1 on the others",
        [
            "+experiment=dtm_quantile",
            "threshold.share=0.7",
            "teacher.views=[weak]",
            "loss.infonce.weight=1.0",
            *STUDENT,
        ],
    ),
    "soft_contrast": ("soft pseudo-labels, not aligned; InfoNCE x 0.5", [*SOFT, *CONTRAST]),
    "two_views": ("the same, labels taught for the pool's frequencies; InfoNCE x 1: *two views*", TWO_VIEWS),
    "two_views_contrast_2": ("*two views*, InfoNCE x 2", [*ADJUSTED, "loss.infonce.weight=2.0"]),
    "two_views_queue": (
        "*two views*, InfoNCE against the teacher, 4,096 negatives in a queue",
        [*TWO_VIEWS, "loss.infonce.against=teacher", "loss.infonce.queue=4096"],
    ),
    "two_views_softmatch": (
        "*two views*, pseudo-labels weighed as SoftMatch does",
        [*TWO_VIEWS, "threshold=softmatch", "threshold.alignment=none"],
    ),
    "two_views_rising": (
        "*two views*, pseudo-labels rising in weight over 400 steps",
        [*TWO_VIEWS, f"++loss.pseudo_label.weight={RISING % 0.0}"],
    ),
    "two_views_strong_labels": (
        "*two views*, labels taught on strong views",
        [*TWO_VIEWS, STRONG_LABELS],
    ),
    "two_views_moved": (
        "*two views*, strong views that move, scale and turn, as in pre-training",
        [*TWO_VIEWS, "view=weak_moved"],
    ),
    "sharper": ("*two views*, temperature 0.1 in InfoNCE: *sharper*", SHARPER),
    "sharper_contrast_2": ("*sharper*, InfoNCE x 2", [*SHARPER, "loss.infonce.weight=2.0"]),
    "sharper_moved": ("*sharper*, strong views that move", [*SHARPER, "view=weak_moved"]),
    "sharper_soft": ("*sharper*, pseudo-labels not sharpened", [*SHARPER, "target.temperature=1.0"]),
    "sharper_weak_labels": (
        "*sharper*, pseudo-labels x 2, taught on the weak view too",
        [*SHARPER, "loss.pseudo_label.views=[strong,weak]", "loss.pseudo_label.weight=2.0"],
    ),
    "sharper_late": (
        "*sharper*, labels and pseudo-labels rising in weight between steps 100 and 400",
        [*SHARPER, *(f"++loss.{term}.weight={RISING % 0.1}" for term in ("supervised", "pseudo_label"))],
    ),
    "three_views": (
        "*sharper*, InfoNCE x 2 between three views, pseudo-labels on two of them: *three views*",
        [*SHARPER, "loss.infonce.weight=2.0", "loss.infonce.views=[strong,strong2,weak]", TEACH_TWO],
    ),
    "dtm_high": (
        "*sharper*, DTM with Ada-CM's constants (0.97, 0.8) in place of weights, InfoNCE on what it leaves out",
        [*UNCERTAIN, "threshold.beta=0.97", "threshold.floor=0.8", "threshold.init=0.8"],
    ),
    "dtm_half": (
        "the same, DTM lower (0.8, 0.5), nothing kept in the first epoch",
        [*UNCERTAIN, "threshold.beta=0.8", "threshold.floor=0.5"],
    ),
    "dtm_low": ("the same, DTM lower still (0.6, 0.3: `dtm_low`), InfoNCE on every face", DTM_OF_TWO_VIEWS),
    "dtm_low_hard": (
        "`dtm_infonce_uncertain` with `dtm_low` and InfoNCE x 0.5 on every face, temperature 0.2",
        [*LOW_ALL, "loss=[supervised,pseudo_label,infonce_all]"],
    ),
    "dtm_low_hard_moved": (
        "the same, strong views that move, labels taught for the pool's frequencies more and more",
        LOW_ALL_MOVED,
    ),
    "dtm_low_hard_moved_falling": (
        "the same, InfoNCE x 1 at first and nothing from half-way on: `dtm_infonce`",
        FADING,
    ),
    "dtm_low_hard_moved_uncertain": (
        "the same, InfoNCE x 1 throughout, on the faces that DTM leaves out",
        UNCERTAIN_MOVED,
    ),
    "dtm_low_hard_moved_uncertain_falling": (
        "the same, InfoNCE x 1 at first and nothing from half-way on",
        UNCERTAIN_FADING,
    ),
    "two_strong_views_moved": (
        "*three views*, contrast between the two strong ones alone, which move",
        [*SHARPER, "view=weak_moved", "loss.infonce.weight=2.0", "loss.infonce.views=[strong,strong2]", TEACH_TWO],
    ),
    "moved": ("*three views*, strong views that move: *moved*", MOVED),
    "moved_two_passes": ("*moved*, strong views in a pass of their own", [*MOVED, "passes=two"]),
    "moved_labels_2": ("*moved*, labels x 2", [*MOVED, TWICE]),
    "moved_half_prior": ("*moved*, labels taught for half the log of the pool's frequencies", [*MOVED, HALF]),
    "best": ("*moved*, labels taught for the pool's frequencies more and more: `best`", ["+experiment=best"]),
    "best_rotation": (
        "`best`, and by how many right angles a strong view is turned is to be told, as in ReMixMatch",
        [
            "+experiment=best",
            "loss=[supervised_pool_adjusted_rising,pseudo_label_two_views,infonce_three_views,rotation]",
        ],
    ),
    "best_norm": ("`best`, batch norm in the projection", ["+experiment=best", NORMED]),
}
# features alone: how soon contrast learns them, as a classifier tells that is fitted at the end
ALONE = ["+experiment=pretrain_infonce", "batch.labeled=7", "trainer.max_steps=400", "refit=logistic"]
TRIED_ALONE = {
    "contrast_400": ("a classifier fitted at the end", ALONE),
    "contrast_400_norm": ("the same, batch norm in the projection", [*ALONE, NORMED]),
}
MORE = "data.labels_per_class=250"
TRIED_WITH_250 = {
    "softmatch_250": ("`softmatch`", ["+experiment=softmatch", MORE]),
    "softmatch_250_labels_2": ("`softmatch`, labels x 2", ["+experiment=softmatch", TWICE, MORE]),
    "moved_250": ("*moved*", [*MOVED, MORE]),
    "moved_250_labels_2": ("*moved*, labels x 2", [*MOVED, TWICE, MORE]),
    "moved_250_half_prior": ("*moved*, half the log of the pool's frequencies", [*MOVED, HALF, MORE]),
    "moved_250_half_prior_labels_2": ("the same, labels x 2", [*MOVED, HALF, TWICE, MORE]),
    "best_250_rising_sooner": (
        "`best`, the pool's frequencies all counted from half-way on",
        ["+experiment=best", "loss.supervised.strength.end=0.5", MORE],
    ),
    "best_250": ("`best`", ["+experiment=best", MORE]),
    "best_250_labels_2": ("`best`, labels x 2", ["+experiment=best", TWICE, MORE]),
    "best_250_falling": (
        "`best`, InfoNCE x 2 at first and nothing from half-way on",
        ["+experiment=best", FALLING % 1000, MORE],
    ),
    "dtm_infonce_250": ("`dtm_infonce`", ["+experiment=dtm_infonce", MORE]),
    "dtm_infonce_250_labels_2": ("`dtm_infonce`, labels x 2", ["+experiment=dtm_infonce", TWICE, MORE]),
    "comatch_250": ("`comatch`", ["+experiment=comatch", MORE]),
    "comatch_250_labels_2": ("`comatch`, labels x 2", ["+experiment=comatch", TWICE, MORE]),
}
FEATURES_FIRST = [f"++loss.{term}.weight={LATE}" for term in ("supervised", "pseudo_label")]
# under p2: labels are learned by heart there, and from half-way on little more of the pool is labeled rightly
TRIED_LONG = {
    "long_best": ("`best`", ["+experiment=best"]),
    "long_best_strong_labels": ("`best`, labels taught on strong views", ["+experiment=best", STRONG_LABELS]),
    "long_best_strong_labels_half_prior": (
        "the same, labels taught for half the log of the pool's frequencies throughout",
        ["+experiment=best", STRONG_LABELS, HALF],
    ),
    "long_best_features_first": (
        "`best`, InfoNCE alone until half-way: *features first*",
        ["+experiment=best", *FEATURES_FIRST],
    ),
    "long_dtm_infonce": ("`dtm_infonce`", FADING),
    "long_best_statistics": (
        "`best`, its classifier fitted anew to features with the statistics of faces as they are",
        ["+experiment=best", "refit=logistic", "refit.statistics=true"],
    ),
    "long_best_statistics_penalty_3": (
        "the same, three times the penalty",
        ["+experiment=best", "refit=logistic", "refit.statistics=true", "refit.penalty=0.3"],
    ),
    "long_best_moved_labels": ("`best`, labels moved, scaled and turned a little", ["+experiment=best", MOVED_LABELS]),
    "long_best_mixed": (
        "`best`, and labels and a strong view of the pool are taught in mixtures too",
        ["+experiment=best", "mix=mixup", *MIXED],
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
ON_PROCEDURAL = ["+experiment=dtm_infonce_uncertain", "score=[val]"]
LOW = [*ON_PROCEDURAL, "threshold=dtm_low"]
FACES = ["+experiment=dtm_infonce_faces", "score=[val]"]
RISING_PRIOR = "loss=[supervised_pool_adjusted_rising,pseudo_label_two_views,infonce_three_views]"
# on the default data, 100 labels of a class, the default network and steps: what dtm_infonce_faces loses there
TRIED_ON_PROCEDURAL = {
    "procedural_dtm": ("`dtm_infonce_uncertain`", ON_PROCEDURAL),
    "procedural_low": ("the same, a lower DTM (`dtm_low`): *low*", LOW),
    "procedural_low_adjusted": (
        "*low*, labels taught for the pool's frequencies more and more",
        [*LOW, "loss=[supervised_pool_adjusted_rising,pseudo_label,infonce]"],
    ),
    "procedural_low_moved": ("*low*, strong views that move", [*LOW, "view=weak_moved"]),
    "procedural_low_all": (
        "*low*, InfoNCE x 0.5 on every face, temperature 0.2",
        [*LOW, "loss=[supervised,pseudo_label,infonce_all]"],
    ),
    "procedural_low_hard_moved": (
        "the same, strong views that move, labels taught for the pool's frequencies more and more",
        [*LOW_ALL_MOVED, "score=[val]"],
    ),
    "procedural_low_hard_moved_falling": (
        "the same, InfoNCE x 1 at first and nothing from half-way on: `dtm_infonce`",
        [*FADING, "score=[val]"],
    ),
    "procedural_low_hard_moved_uncertain": (
        "the same, InfoNCE x 1 throughout, on the faces that DTM leaves out",
        [*UNCERTAIN_MOVED, "score=[val]"],
    ),
    "procedural_low_hard_moved_uncertain_falling": (
        "the same, InfoNCE x 1 at first and nothing from half-way on",
        [*UNCERTAIN_FADING, "score=[val]"],
    ),
    "procedural_low_falling": (
        "*low*, InfoNCE on every face, x 1 at first and nothing from half-way on",
        [*LOW, "loss=[supervised,pseudo_label,infonce_falling]"],
    ),
    "procedural_two_views": (
        "`dtm_infonce_faces` with two views of a face, InfoNCE x 1, temperature 0.1, the pool's frequencies rising",
        [
            *FACES,
            "view=weak_strong",
            "loss=[supervised_pool_adjusted_rising,pseudo_label,infonce_all]",
            "loss.infonce.weight=1.0",
            "loss.infonce.temperature=0.1",
        ],
    ),
    "procedural_three_views": (
        "`dtm_infonce_faces`, InfoNCE x 2, the pool's frequencies rising",
        [*FACES, RISING_PRIOR],
    ),
    "procedural_three_views_falling": (
        "the same, InfoNCE x 2 at first and nothing from half-way on",
        [*FACES, RISING_PRIOR, FALLING % 2750],
    ),
}
SEEDS = [10]  # of labels and runs, by default; the table of scores has 0 to 2


def trials(fold: Path, init: Path | None, seeds: list[int]) -> Iterator[tuple[str, list[str]]]:
    """Yield name and overrides of every trial on faces of `fold` and procedural ones, from features too with `init`."""
    for seed in seeds:
        draw = [f"data.root={fold}", "data.labels_per_class=100", f"data.split_seed={seed}", f"seed={seed}"]
        for name, (_, (experiment, *parts)) in (TRIED | TRIED_ALONE | TRIED_WITH_250).items():
            yield f"{name}_seed{seed}", [experiment, "+protocol=p1", *draw, *parts]
        for name, (_, (experiment, *parts)) in TRIED_LONG.items():
            yield f"{name}_seed{seed}", [experiment, "+protocol=p2", *draw, *parts]
        for name, (_, overrides) in TRIED_ON_PROCEDURAL.items():
            yield f"{name}_seed{seed}", [*overrides, f"seed={seed}"]
        for name, (_, (experiment, *parts)) in TRIED_FROM_FEATURES.items() if init else ():
            yield f"{name}_seed{seed}", [experiment, "+protocol=p1", *draw, *parts, f"backbone.init={init}"]
