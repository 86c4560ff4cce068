"""Write a picture of the synthetic faces: `python -m fer_ssl.data.faces.contact_sheet docs/synthetic_faces.png`.

A row for each class: posed faces on the left, faces in the wild on the right.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fer_ssl.data.faces.action_units import SPACE
from fer_ssl.data.faces.domains import Domain, draw_labels, studio, wild
from fer_ssl.data.faces.renderer import render_split

MARGIN, HEADER, GAP = 92, 28, 10


def pick(domain: Domain, split: str, columns: int, image_size: int, seed: int) -> Tensor:
    """Return `columns` faces for each class, of different subjects, as uint8 [C, columns, 3, S, S]."""
    count = 40 * domain.faces_per_subject * columns
    labels = draw_labels(domain, split, seed, torch.arange(count))
    subjects = torch.arange(count) // domain.faces_per_subject
    rows = [[_first(labels, subjects, label, column) for column in range(columns)] for label in range(len(SPACE))]
    pixels = render_split(domain, split, seed, max(map(max, rows)) + 1, image_size)
    return pixels[torch.tensor(rows)]


def _first(labels: Tensor, subjects: Tensor, label: int, column: int) -> int:
    """Return the `column`-th subject's first face of a class, among the subjects that have one."""
    faces = (labels == label).nonzero().flatten()
    who = subjects[faces].unique()[column]
    return int(faces[subjects[faces] == who][0])


def contact_sheet(image_size: int = 112, posed: int = 3, in_the_wild: int = 4, seed: int = 0) -> Image.Image:
    """Return the picture: captions, `posed` faces and faces `in_the_wild` for each class."""
    even = dict.fromkeys(SPACE.classes, 1.0)
    left = pick(studio(1.0), "train", posed, image_size, seed)
    right = pick(wild(even), "pool", in_the_wild, image_size, seed)
    start = MARGIN + posed * image_size + GAP
    size = (start + in_the_wild * image_size, HEADER + len(SPACE) * image_size)
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    pen.text((MARGIN, 6), "labeled: posed", "black", font)
    pen.text((start, 6), "pool, val, test: in the wild", "black", font)
    for label, name in enumerate(SPACE.classes):
        top = HEADER + label * image_size
        pen.text((6, top + image_size // 2 - 8), name, "black", font)
        sheet.paste(_strip(left[label]), (MARGIN, top))
        sheet.paste(_strip(right[label]), (start, top))
    return sheet


def _strip(faces: Tensor) -> Image.Image:
    return Image.fromarray(torch.cat(list(faces), 2).permute(1, 2, 0).numpy())


def main() -> Path:
    """Write the contact sheet in 256 colours, which keeps it small."""
    parser = argparse.ArgumentParser(description="Write a picture of the synthetic faces.")
    parser.add_argument("path", type=Path)
    path: Path = parser.parse_args().path
    sheet = contact_sheet()
    sheet.quantize(palette=sheet.quantize(256), dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    return path


if __name__ == "__main__":
    main()
