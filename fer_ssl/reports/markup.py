"""HTML in which every text is escaped by construction."""

from collections.abc import Iterable, Sequence
from html import escape

from fer_ssl.reports.style import CSS

VOID = frozenset({"br", "img", "meta"})


class Html(str):
    """Markup that is safe to insert as it is; any other text is escaped when it enters a tag."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """Return an element; a trailing `_` of an attribute is dropped (`class_`), text children are escaped."""
    head = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items())
    return Html(f"<{name}{head}>" if name in VOID else f"<{name}{head}>{join(children)}</{name}>")


def join(children: Iterable[object]) -> Html:
    """Return the children one after the other, text among them escaped."""
    return Html("".join(child if isinstance(child, Html) else escape(str(child)) for child in children))


def table(head: Sequence[object], rows: Iterable[Sequence[object]], class_: str = "") -> Html:
    """Return a table that scrolls sideways on a narrow screen; the first cell of a row is its header."""
    top = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    body = [tag("tr", tag("th", row[0], scope="row"), *map(_cell, row[1:])) for row in rows]
    return tag("div", tag("table", tag("thead", top), tag("tbody", *body), class_=class_), class_="scroll")


def _cell(cell: object) -> Html:
    return cell if isinstance(cell, Html) and cell.startswith("<td") else tag("td", cell)


def percent(value: object) -> str:
    """Return a fraction as percent without the sign; a dash for what was not measured."""
    return f"{100 * value:.2f}" if isinstance(value, int | float) else "-"


def document(title: str, parts: Iterable[Html]) -> str:
    """Return a whole page that needs nothing from outside."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(CSS)),
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", *parts), lang="en") + "\n"
