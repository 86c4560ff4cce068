"""The page of an audit: twins side by side, in a single file that opens without a server or a network."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_ssl.files import whole
from fer_ssl.reports.faces import FACE_SIDE, inline
from fer_ssl.reports.markup import Html, document, table, tag
from fer_ssl.reports.sections import remark

Pairs = Sequence[Mapping[str, Any]]
Pictures = Mapping[tuple[str, str], NDArray[np.uint8]]

PEOPLE = 40  # names of shared people on the page
KINDS = {"exact": "Equal pixels", "near": "Look alike", "mirrored": "Mirror images"}
NOTES = {
    "exact": "The stored pixels are equal; the files may differ.",
    "near": "Perceptual hashes and small versions agree: resized, compressed, brightened, or two frames of one scene.",
    "mirrored": "One looks like the mirror image of the other.",
}


class Gallery(NamedTuple):
    """Some of `total` pairs that have something in common."""

    title: str
    note: str
    total: int
    pairs: Pairs


def galleries(pairs: Pairs, shown: int) -> list[Gallery]:
    """Return `shown` pairs of each kind and two splits, evenly spaced, and of those whose labels conflict."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for pair in pairs:
        splits = " / ".join(dict.fromkeys((pair["split"], pair["twin_split"])))
        groups[f"{KINDS[pair['kind']]}: {splits}", NOTES[pair["kind"]]].append(pair)
    crossing = sorted(groups.items(), key=lambda group: group[1][0]["split"] == group[1][0]["twin_split"])
    conflicts = [pair for pair in pairs if pair["conflict"]]
    if conflicts:
        crossing.append((("Labels that contradict each other", "Twins of any kind with two labels."), conflicts))
    return [Gallery(*names, len(members), _spread(members, shown)) for names, members in crossing]


def _spread(pairs: Pairs, shown: int) -> Pairs:
    return [pairs[place] for place in np.linspace(0, len(pairs) - 1, min(shown, len(pairs))).round().astype(int)]


def write_audit(path: Path, summary: Mapping[str, Any], shown: Sequence[Gallery], pictures: Pictures) -> None:
    """Write the page of an audit's `summary`; `pictures` hold the shown faces uint8 [H, W(, 3)] by split and id."""
    kicker = tag("p", "Facial expression recognition · audit", class_="kicker")
    verdict = tag("ul", *(tag("li", each) for each in _verdict(summary["leaks"])), class_="facts")
    parts = [
        tag("header", kicker, tag("h1", "Leaks and duplicates"), verdict),
        _splits(summary),
        _twins(summary["twins"]),
        _people(summary["subjects"]),
        *(_gallery(gallery, pictures) for gallery in shown),
        tag("aside", tag("p", "This page shows faces: share it with the same care as the data."), class_="note"),
    ]
    with whole(path) as partial:
        partial.write_text(document("Audit · fer_ssl", parts), encoding="utf-8")


def _verdict(leaks: Mapping[str, Any]) -> list[str]:
    faces = [f"{count} faces of {split} have a twin in a held-out split" for split, count in leaks["faces"].items()]
    people = [f"{leaks['subjects']} people are in a held-out split and another"] if leaks["subjects"] else []
    return [*faces, *people] or ["no leak was found"]


def _splits(summary: Mapping[str, Any]) -> Html:
    rows = [[name, counts["faces"], counts["blank"]] for name, counts in summary["splits"].items()]
    note = remark(f"Blank faces have one value everywhere. {summary['unreadable']} images could not be read.")
    return tag("section", tag("h2", "What was compared"), table(["split", "faces", "blank"], rows), note)


def _twins(counts: Pairs) -> Html:
    keys = ("split", "twin_split", "faces", "twins", "pairs", "same_file", "conflicts")
    head = ("twins", "A", "B", "faces of A", "faces of B", "pairs", "equal files", "in conflict")
    rows = [[KINDS[each["kind"]], *(each[key] for key in keys)] for each in counts]
    note = remark(
        "Faces of A with a twin in B and the reverse. Each is in at least one pair, of another label where there is "
        "one; all pairs are in pairs.parquet."
    )
    return tag("section", tag("h2", "Twins"), *([table(head, rows), note] if rows else [remark("There are none.")]))


def _people(overlaps: Pairs) -> Html:
    title = tag("h2", "People in several splits")
    if not overlaps:
        return tag("section", title, remark("None, among the splits whose people are known."))
    rows = [[f"{each['split']} / {each['other']}", *_shared(each)] for each in overlaps]
    return tag("section", title, table(["splits", "people", "faces of A", "faces of B", "who"], rows))


def _shared(overlap: Mapping[str, Any]) -> list[object]:
    names = overlap["subjects"]
    told = ", ".join(names[:PEOPLE]) + (" ..." if len(names) > PEOPLE else "")
    return [len(names), overlap["faces"], overlap["other_faces"], tag("span", told, class_="names")]


def _gallery(gallery: Gallery, pictures: Pictures) -> Html:
    some = f"{len(gallery.pairs)} of {gallery.total} pairs" if len(gallery.pairs) < gallery.total else "all pairs"
    cards = [_card(pair, pictures) for pair in gallery.pairs]
    heading = tag("h2", f"{gallery.title} ({gallery.total})")
    return tag("section", heading, remark(f"{gallery.note} Shown: {some}."), tag("div", *cards, class_="pairs"))


def _card(pair: Mapping[str, Any], pictures: Pictures) -> Html:
    sides = [(pair["split"], pair["id"], pair["label"]), (pair["twin_split"], pair["twin"], pair["twin_label"])]
    images = [_picture(pictures[split, name], name) for split, name, _ in sides]
    captions = [tag("figcaption", tag("b", label or "-"), f"{split}: {name}") for split, name, label in sides]
    facts = ["equal files"] * pair["same_file"] + [f"{pair['distance']} bits apart"] * (pair["kind"] != "exact")
    told = [tag("span", ", ".join(facts), class_="soft both")] if facts else []
    if pair["conflict"]:
        told.append(tag("span", "✗ labels differ", class_="bad both"))
    return tag("figure", *images, *captions, *told, class_="card")


def _picture(pixels: NDArray[np.uint8], name: str) -> Html:
    from PIL import Image

    return inline(Image.fromarray(pixels), FACE_SIDE, name)
