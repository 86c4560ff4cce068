"""The page of one run: a single file that opens without a server or a network."""

from pathlib import Path

from fer_ssl.errors import DataError
from fer_ssl.files import whole
from fer_ssl.reports import card, faces, sections
from fer_ssl.reports.markup import Html, document, join, percent, table, tag
from fer_ssl.reports.run import Run

FACTS = {
    "seed": "seed",
    "data": "data.name",
    "labels per class": "data.labels_per_class",
    "unlabeled": "unlabeled.name",
    "image size": "image_size",
}
RESPONSIBLE_USE = (
    "The model estimates the expression a face displays, not what a person feels; the same expression has many causes, "
    "and errors differ between people and recordings. Inferring emotions of people at work or in education is "
    "prohibited in the European Union apart from medical and safety reasons (Regulation (EU) 2024/1689, Article 5), "
    "and other uses carry duties. Check that the people shown agreed to this use of their faces, and share this page, "
    "which may show faces, with the same care."
)


def write_report(run_dir: Path | str) -> Path:
    """Write `report.html` into a run directory and return its path; raise DataError when it is no finished run."""
    run = Run(run_dir)
    path = run.path / "report.html"
    with whole(path) as partial:
        partial.write_text(render(run), encoding="utf-8")
    return path


def render(run: Run) -> str:
    """Return the whole page; parts the run has no data for say so in a sentence."""
    if not run.classes:
        raise DataError(f"{run.path / 'metrics.json'} names no classes, run fer_ssl.evaluate on this run again")
    parts = [
        _heading(run),
        _scores(run),
        sections.per_class(run),
        sections.confusion(run),
        sections.training(run),
        sections.pseudo_labels(run),
        faces.views(run),
        faces.samples(run),
        sections.data(run),
        card.data_card(run),
        _settings(run),
        tag("aside", tag("p", tag("b", "Responsible use. "), RESPONSIBLE_USE), class_="note"),
    ]
    return document(f"{run.name} · fer_ssl", parts)


def _heading(run: Run) -> Html:
    facts = {name: run.setting(key) for name, key in FACTS.items()}
    seconds, speed = run.score("train.seconds"), run.score("train.images_per_second")
    facts["backbone"] = run.backbone
    facts["steps"] = run.score("train.steps")
    facts["time"] = None if seconds is None else f"{seconds / 60:.1f} min"
    facts["speed"] = None if speed is None else f"{speed:.0f} images/s"
    known = [tag("li", f"{name}: ", tag("b", value)) for name, value in facts.items() if value is not None]
    kicker = tag("p", "Facial expression recognition · run report", class_="kicker")
    return tag("header", kicker, tag("h1", run.name), tag("ul", *known, class_="facts"))


def _scores(run: Run) -> Html:
    keys = {"macro-F1": "macro_f1", "accuracy": "accuracy", "balanced accuracy": "balanced_accuracy", "ECE": "ece"}
    splits = [split for split in ("test", "val") if run.score(split) is not None]
    rows = [
        [split, *(percent(run.score(f"{split}.{key}")) for key in keys.values()), run.score(f"{split}.count") or "-"]
        for split in splits
    ]
    missing = [split for split in ("test", "val") if split not in splits]
    absent = [sections.remark(f"Split {split} was not scored in this run.") for split in missing]
    note = sections.remark(
        "In percent; macro-F1 counts every class alike, ECE is the calibration error (lower is better)."
    )
    scores = table(["split", *keys, "faces"], rows, class_="wide scores") if rows else ""
    return tag("section", tag("h2", "Scores"), scores, note, *absent)


def _settings(run: Run) -> Html:
    config = (run.path / "config.yaml").read_text(encoding="utf-8")
    environment = run.score("environment")
    facts = (
        table(["", ""], environment.items()) if environment else sections.remark("The environment was not recorded.")
    )
    folded = tag("details", tag("summary", "Resolved configuration"), tag("pre", config))
    return tag("section", tag("h2", "How it was run"), join([facts, folded]))
