"""The data card, as Markdown and in the page."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import Page

from fer_ssl.reports import write_report
from fer_ssl.reports.card import data_card, write_card
from fer_ssl.reports.run import Run

DATA = {
    "card": {
        "classes": {"labeled": {"calm": 3, "glad": 1}},
        "imbalance": {"labeled": 3.0, "val": None},
        "source": {"labeled": {"a|b": 4}, "pool": {"web": 9}},
        "shared people": {},
        "policy": {"use": "research"},
        "refused": {"train": {"it allows sale only": 2}},
    },
    "leaked": 5,
    "rejected": 0,
}


def test_the_card_is_a_table_for_each_part(tmp_path: Path) -> None:
    write_card(tmp_path / "data_card.md", DATA)
    lines = (tmp_path / "data_card.md").read_text().splitlines()
    assert lines[0] == "# Data card"
    assert "| labeled | 3 | 1 |" in lines
    assert "| val | - |" in lines
    assert "| source | a\\|b | web |" in lines
    assert "| pool | 0 | 9 |" in lines
    assert "| train | 2 |" in lines
    assert "| use | research |" in lines
    assert "| pixel-identical to a face across a split | 5 |" in lines
    assert lines[lines.index("## Shared people") + 4] == "None."


def test_the_page_shows_the_card(tmp_path: Path) -> None:
    class Carded(Run):
        data = DATA

        def __init__(self) -> None:
            self.path = tmp_path

    page = Page(data_card(Carded()))
    assert "it allows sale only" in page.text
    assert "People who are learned from and scored on, compared within a set." in page.text


def test_a_run_without_a_card_says_so(tmp_path: Path) -> None:
    class Bare(Run):
        data = None

        def __init__(self) -> None:
            self.path = tmp_path

    assert "No data card was kept." in Page(data_card(Bare())).text


@pytest.mark.browser
def test_a_browser_shows_the_card_without_overflow(make_run: Callable[..., Path], tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("there is no browser")
    folder = make_run()
    biases = {"known biases": {"web": "found by a search " * 9}}
    (folder / "data.json").write_text(json.dumps(DATA | {"card": DATA["card"] | biases}))
    probe = "<script>document.querySelectorAll('details').forEach(part => part.open = true); document.title = "
    probe += (
        "[document.body.scrollWidth <= innerWidth, document.querySelector('.told').offsetHeight > 40]</script></body>"
    )
    (tmp_path / "probe.html").write_text(write_report(folder).read_text().replace("</body>", probe))
    for width in (1240, 500):
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
        command.append((tmp_path / "probe.html").as_uri())
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        assert "<title>true,true</title>" in shown
