"""The page of a run: self-contained, complete, escaped, and honest about what is missing."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pages import Page

from fer_ssl.errors import DataError
from fer_ssl.reports import write_report
from fer_ssl.reports.figures import class_curves
from fer_ssl.reports.run import Series

Make = Callable[..., Path]
HOSTILE = "<script>alert('x')</script>"


def read(folder: Path) -> Page:
    path = write_report(folder)
    assert path == folder / "report.html"
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(whole_run: Path) -> Page:
    return read(whole_run)


def test_page_needs_nothing_from_outside(page: Page, whole_run: Path) -> None:
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    source = (whole_run / "report.html").read_text(encoding="utf-8")
    assert "http" not in source
    assert "@import" not in source
    assert "url(" not in re.sub(r"url\(#\w+\)", "", source)
    assert len(source) < 2_000_000


def test_page_shows_every_number(page: Page, whole_run: Path) -> None:
    results = json.loads((whole_run / "metrics.json").read_text())
    for split in ("test", "val"):
        for key in ("macro_f1", "accuracy", "balanced_accuracy", "ece"):
            assert f"{100 * results[split][key]:.2f}" in page.text
    for key in ("per_class_f1", "per_class_precision", "per_class_recall"):
        assert all(f"{100 * value:.2f}" in page.text for value in results["test"][key].values())
    words = page.text.split()
    assert all(str(count) in words for row in results["test"]["confusion"] for count in row)
    assert {"61.42", "73.19", "13233", "2.15.0", "0a1b2c3"} <= set(words)
    assert "max_steps: 4000" in page.text
    assert "Responsible use" in page.text


def test_page_draws_every_figure_and_face(page: Page) -> None:
    assert page.tags.count("svg") == 8
    assert page.tags.count("img") == 1 + 2 * 16
    for title in ("Loss", "Validation", "Calibration", "Learning rate", "Threshold", "Kept", "Histogram", "Right"):
        assert title in page.words


def test_missing_parts_say_so(page: Page, make_scored: Make) -> None:
    bare = read(make_scored("bare", unlabeled=None))
    assert "43.36" in bare.text
    assert not {"svg", "img"} & set(bare.tags)
    sentences = [
        "there are no curves",
        "a supervised run has none",
        "No pseudo-labels were",
        "No views.png",
        "No data.json",
    ]
    for sentence in sentences:
        assert sentence in bare.text
        assert sentence not in page.text


@pytest.mark.parametrize(("absent", "shown"), [("test", "val"), ("val", "test")])
def test_one_split_is_enough(make_scored: Make, absent: str, shown: str) -> None:
    folder = make_scored("run")
    results = json.loads((folder / "metrics.json").read_text())
    del results[absent]
    (folder / "metrics.json").write_text(json.dumps(results))
    text = read(folder).text
    assert f"Split {absent} was not scored" in text
    assert f"{shown} split" in text


def test_unknown_truth_is_said(make_scored: Make) -> None:
    folder = make_scored("run")
    (folder / "history.csv").write_text("step,tau/Fear,keep/Fear\n0,0.8,\n10,0.9,0.5\n")
    page = read(folder)
    assert "accuracy of those kept is unknown" in page.text
    assert page.tags.count("svg") == 2
    assert "Right" not in page.words


def test_what_weighs_pseudo_labels_has_no_thresholds_to_draw(make_scored: Make) -> None:
    folder = make_scored("run")
    (folder / "history.csv").write_text("step,tau/Fear,keep/Fear\n0,0,0.4\n10,0,0.5\n")
    words = read(folder).words
    assert "Threshold" not in words
    assert "Kept" in words


def test_hostile_names_stay_text(make_run: Make) -> None:
    page = read(
        make_run(classes=["Neutral", HOSTILE, "a & b", "$x$", "_hidden"], ids=[f"{HOSTILE}{row}" for row in range(20)])
    )
    assert "script" not in page.tags
    assert HOSTILE in page.text
    assert f"{HOSTILE}7" in page.text


def test_classes_beyond_the_palette_are_dashed() -> None:
    series = Series(np.arange(3.0), np.ones(3))
    names = [f"class {place}" for place in range(11)]
    curves = class_curves(dict.fromkeys(names, series), names, scale=100)
    assert len({(curve.color, curve.dash) for curve in curves}) == 11
    assert curves[10].series.values[0] == 100


def test_same_run_gives_the_same_page(page: Page, whole_run: Path) -> None:
    first = (whole_run / "report.html").read_bytes()
    assert write_report(whole_run).read_bytes() == first


def test_damaged_image_is_named(make_scored: Make) -> None:
    folder = make_scored("run")
    (folder / "views.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"views\.png is no readable image"):
        write_report(folder)


def test_run_without_classes_is_refused(make_scored: Make) -> None:
    folder = make_scored("run")
    (folder / "metrics.json").write_text("{}")
    with pytest.raises(DataError, match="names no classes"):
        write_report(folder)
