"""The data card, as Markdown and in the page."""

from pathlib import Path

from pages import Page

from fer_ssl.reports.card import data_card, write_card
from fer_ssl.reports.run import Run

DATA = {
    "card": {
        "classes": {"labeled": {"calm": 3, "glad": 1}},
        "imbalance": {"labeled": 3.0, "val": None},
        "source": {"labeled": {"a|b": 4}, "pool": {"web": 9}},
        "shared people": {},
    },
    "refused": {"train": {"it allows sale only": 2}},
}


def test_the_card_is_a_table_for_each_part(tmp_path: Path) -> None:
    write_card(tmp_path / "data_card.md", DATA)
    lines = (tmp_path / "data_card.md").read_text().splitlines()
    assert lines[0] == "# Data card"
    assert "| labeled | 3 | 1 |" in lines
    assert "| val | - |" in lines
    assert "|  | a\\|b | web |" in lines
    assert "| pool | 0 | 9 |" in lines
    assert "| train | 2 |" in lines
    assert "None are known." in lines


def test_the_page_shows_the_card(tmp_path: Path) -> None:
    class Carded(Run):
        data = DATA

        def __init__(self) -> None:
            self.path = tmp_path

    page = Page(data_card(Carded()))
    assert "it allows sale only" in page.text
    assert "People who are learned from and scored on." in page.text


def test_a_run_without_a_card_says_so(tmp_path: Path) -> None:
    class Bare(Run):
        data = None

        def __init__(self) -> None:
            self.path = tmp_path

    assert "No data card was kept." in Page(data_card(Bare())).text
