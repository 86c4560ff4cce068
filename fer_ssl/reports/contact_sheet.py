"""The contact sheet of prepared photos: a single file that opens without a server or a network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_ssl.files import whole
from fer_ssl.reports.faces import FACE_SIDE, inline
from fer_ssl.reports.markup import Html, document, tag
from fer_ssl.reports.sections import remark

if TYPE_CHECKING:
    from PIL import Image

# a picture, where there is one to show; its name; what was measured, or why it was rejected
Sample = tuple["Image.Image | None", str, str]
Group = tuple[int, Sequence[Sample]]


def write_sheet(path: Path, summary: Mapping[str, Any], accepted: Group, rejected: Mapping[str, Group]) -> None:
    """Write faces that were accepted, and photos of each reason why others were not, of as many as there are."""
    counts = tag("ul", *(tag("li", f"{name}: ", tag("b", count)) for name, count in summary.items()), class_="facts")
    kicker = tag("p", "Facial expression recognition · prepared faces", class_="kicker")
    parts = [
        tag("header", kicker, tag("h1", "Contact sheet"), counts),
        tag("section", tag("h2", "Accepted"), *_group("Faces as they are stored", accepted)),
        tag(
            "section",
            tag("h2", "Rejected"),
            *(part for name, group in rejected.items() for part in _group(name, group)),
        ),
        tag("aside", tag("p", "This page shows faces: share it with the same care as the photos."), class_="note"),
    ]
    with whole(path) as partial:
        partial.write_text(document("Contact sheet · fer_ssl", parts), encoding="utf-8")


def _group(title: str, group: Group) -> list[Html]:
    total, samples = group
    heading = tag("h3", f"{title} ({len(samples)} of {total})")
    return [heading, tag("div", *map(_card, samples), class_="faces") if samples else remark("None.")]


def _card(sample: Sample) -> Html:
    picture, name, text = sample
    shown = remark("no picture") if picture is None else inline(picture, FACE_SIDE, name)
    return tag("figure", shown, tag("figcaption", text, tag("br"), tag("small", name)), class_="card")
