"""The report of a sweep as LaTeX and as a page."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from pages import Page

from fer_ssl.report import main
from fer_ssl.reports.sweep_figures import strokes

Make = Callable[..., Path]


def test_many_methods_are_told_apart(make_scored: Make, tmp_path: Path) -> None:
    for labels in (25, 100):
        for number in range(12):
            data = {"name": "fer2013", "labels_per_class": labels, "split_seed": 0}
            make_scored(f"sweep/{number}_{labels}", number / 100, name=f"method{number}", data=data)
    main([str(tmp_path / "sweep")])
    page = Page((tmp_path / "sweep" / "sweep.html").read_text())
    assert page.tags.count("svg") == 1, "the curves; bars of 24 rows would tell nothing"
    assert len(set(islice(strokes(), 32))) == 32


def test_pools_are_lines_of_their_own_over_the_labels(make_scored: Make, tmp_path: Path) -> None:
    for labels in (25, 100):
        for pool in ("folder", "same"):
            data = {"name": "fer2013", "labels_per_class": labels, "split_seed": 0}
            make_scored(f"sweep/{pool}_{labels}", name="full", data=data, unlabeled={"name": pool})
    main([str(tmp_path / "sweep")])
    figure = (tmp_path / "sweep" / "sweep.html").read_text().partition("Macro-F1 over labels")[2].partition("</svg>")[0]
    assert all(f">full ({pool})</text>" in figure for pool in ("folder", "same"))


def test_the_latex_is_well_formed_and_escaped(sweep: Path) -> None:
    main([str(sweep)])
    text = (sweep / "sweep.tex").read_text()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 3
    assert r"no\_infonce" in text
    assert re.search(r"& \$-\d+\.\d+\$ &", text)
    assert not re.search(r"[ &]-\d", text)
    for table in text.split(r"\begin{tabular}")[1:]:
        columns = table.split("{")[1].split("}")[0]
        lines = [line for line in table.splitlines() if line.endswith(r"\\")]
        assert {line.count(" & ") + 1 for line in lines} == {len(columns)}


def test_the_page_holds_every_figure_and_needs_nothing_from_outside(sweep: Path, whole_run: Path) -> None:
    shutil.copyfile(whole_run / "history.csv", sweep / "full_seed0" / "history.csv")
    for seed in (1, 2):
        shutil.copyfile(whole_run / "history.csv", sweep / f"full_seed{seed}" / "history.csv")
    main([str(sweep)])
    source = (sweep / "sweep.html").read_text()
    page = Page(source)
    assert "http" not in source
    assert page.tags.count("svg") == 3, "differences, classes and the thresholds of full"
    assert page.tags.count("table") == 3
    assert not {"script", "link"} & set(page.tags)


@pytest.mark.browser
def test_a_browser_shows_the_page_without_overflow(sweep: Path, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("there is no browser")
    main([str(sweep)])
    probe = "<script>document.title = JSON.stringify([document.body.scrollWidth, document.images.length, innerWidth,"
    probe += " [...document.querySelectorAll('svg')].map(svg => svg.getBoundingClientRect().height)])</script></body>"
    page = tmp_path / "probe.html"
    page.write_text((sweep / "sweep.html").read_text().replace("</body>", probe))
    for width in (1240, 500):
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
        shown = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, check=True, timeout=60).stdout
        used, images, inner, heights = json.loads(shown.split("<title>")[1].split("</title>")[0])
        assert used <= inner
        assert images == 0
        assert len(heights) == 2
        assert min(heights) > 80
