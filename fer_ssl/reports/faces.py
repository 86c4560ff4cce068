"""The pictures of the page: views and sampled pseudo-labels, shrunk and carried in the page itself."""

from base64 import b64encode
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_ssl.errors import DataError
from fer_ssl.reports.markup import Html, tag
from fer_ssl.reports.run import Columns, Run
from fer_ssl.reports.sections import class_name, remark

if TYPE_CHECKING:
    from PIL import Image

SHOWN = 16  # faces per group: two rows on a desk, and a page well below 2 MB
FACE_SIDE, VIEWS_SIDE = 112, 1400  # pixels


def views(run: Run) -> Html:
    """Return the preview of weak and strong views."""
    path = run.path / "views.png"
    if not path.is_file():
        return tag("section", tag("h2", "Views"), remark("No views.png was kept to show the augmentations."))
    image = _picture(path.read_bytes(), str(path), VIEWS_SIDE, "faces under weak and strong augmentation")
    caption = tag("figcaption", "What the teacher (weak) and the student (strong) see of the same faces.")
    return tag("section", tag("h2", "Views"), tag("figure", caption, image, class_="card"))


def samples(run: Run) -> Html:
    """Return sampled faces with their pseudo-labels, kept ones apart from the others."""
    columns = run.pseudo_labels
    title = tag("h2", "Sampled pseudo-labels")
    if columns is None or not len(columns["keep"]):
        return tag("section", title, remark("No pseudo-labels were sampled in this run."))
    kept = columns["keep"] >= 0.5
    note = remark(
        "Evenly spaced over the confidence of each group; kept means a confidence of at least tau, "
        "and any at all where faces are weighed and none is left out."
    )
    return tag("section", title, note, *_group(run, columns, "Kept", kept), *_group(run, columns, "Not kept", ~kept))


def _group(run: Run, columns: Columns, title: str, members: NDArray[np.bool_]) -> list[Html]:
    rows = np.flatnonzero(members)
    rows = rows[np.argsort(-columns["confidence"][rows], kind="stable")]
    shown = rows[np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).round().astype(int)]
    cards = [_card(run, columns, row) for row in shown]
    heading = tag("h3", f"{title} ({len(rows)} in the sample)")
    return [heading, tag("div", *cards, class_="faces") if cards else remark("None in the sample.")]


def _card(run: Run, columns: Columns, row: int) -> Html:
    name = str(columns["id"][row])
    label, truth = int(columns["pseudo_label"][row]), int(columns["truth"][row])
    lines = [tag("b", class_name(run, label)), f" {columns['confidence'][row]:.0%}", tag("br")]
    if truth >= 0:
        verdict = ("good", "✓ right") if truth == label else ("bad", f"✗ truth: {run.classes[truth]}")
        lines += [tag("span", verdict[1], class_=verdict[0]), tag("br")]
    image = _picture(columns["image"][row], f"image of {name!r} in pseudo_labels.parquet", FACE_SIDE, name)
    return tag("figure", image, tag("figcaption", *lines, tag("small", name)), class_="card")


def _picture(content: bytes, source: str, side: int, text: str) -> Html:
    """Return an inline JPEG of at most `side` pixels; raise DataError for bytes that are no image."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(BytesIO(content)).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{source} is no readable image, remove it or run fer_ssl.train again") from error
    return inline(image, side, text)


def inline(image: "Image.Image", side: int, text: str) -> Html:
    """Return an RGB or gray image in the page itself, as a JPEG of at most `side` pixels."""
    image.thumbnail((side, side))
    jpeg = BytesIO()
    image.save(jpeg, "JPEG", quality=86)
    return tag("img", src=f"data:image/jpeg;base64,{b64encode(jpeg.getvalue()).decode()}", alt=text)
