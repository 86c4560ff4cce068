"""Compare the splits of a set with each other, with a pool and with another set."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from fer_ssl.data.auditing.findings import count_pairs, count_parts, excluded, find_overlaps, is_leak, pair_table
from fer_ssl.data.auditing.pairs import Search, find_pairs
from fer_ssl.data.auditing.prints import Printer, print_faces
from fer_ssl.data.decode import Decoder, Rejects
from fer_ssl.data.ids import BLOCK
from fer_ssl.data.module import Pool, Source
from fer_ssl.types import Faces

log = logging.getLogger(__name__)

Sets = Mapping[str, tuple[Faces, tuple[str, ...]]]


class Audit(NamedTuple):
    """What was found: the `summary` of audit.json, every pair, and the images that could not be read."""

    summary: dict[str, Any]
    pairs: pa.Table
    rejects: Rejects


def load_sets(source: Source, pool: Pool | None, against: Source | None, decoder: Decoder) -> Sets:
    """Return faces and class names by split: `train`, `val`, `test`, `pool`, `unlabeled`, `against/<split>`."""
    found: dict[str, tuple[Faces, tuple[str, ...]]] = {}
    for prefix, each in (("", source), ("against/", against)):
        splits = {} if each is None else each.load(decoder)._asdict()
        for name, faces in splits.items():
            if faces is not None and len(faces):
                found[prefix + name] = faces, each.space.classes  # type: ignore[union-attr]
    if pool is not None:
        found["unlabeled"] = pool.load(decoder), ()
    return found


def audit(load: Callable[[Decoder], Sets], printer: Printer, search: Search) -> Audit:
    """Find the twins, the people in several splits and the labels that contradict each other among what `load` loads.

    Memory grows by about 0.8 kB a face and 1 kB a pair.
    """
    printed = print_faces(load(printer), printer)
    printer.rejects.check()
    parts = count_parts(printed)
    log.info("compared: %s", ", ".join(f"{counts['faces']} {name}" for name, counts in parts.items()))
    pairs = pair_table(find_pairs(printed, search), printed)
    overlaps = [asdict(overlap) for overlap in find_overlaps(printed.parts)]
    leaks = excluded(pairs)
    summary = {
        "splits": parts,
        "unreadable": len(printer.rejects),
        "twins": count_pairs(pairs),
        "subjects": overlaps,
        "search": asdict(search),
        "leaks": {
            "faces": {split: len(ids) for split, ids in leaks.items()},
            "held_out_twins": _held_out_twins(pairs),
            "subjects": sum(len(each["subjects"]) for each in overlaps if is_leak(each["split"], each["other"])),
        },
    }
    return Audit(summary, pairs, printer.rejects)


def _held_out_twins(pairs: pa.Table) -> int:
    """Return how many pairs lie across splits of which one is held out."""
    columns = zip(pairs["split"].to_pylist(), pairs["twin_split"].to_pylist(), strict=True)
    return sum(is_leak(split, other) for split, other in columns)


def pictures(sets: Sets, wanted: Mapping[str, set[str]]) -> dict[tuple[str, str], np.ndarray[Any, np.dtype[np.uint8]]]:
    """Return the images uint8 [H, W(, 3)] of the `wanted` ids of each split, by split and id."""
    found = {}
    for split, ids in wanted.items():
        faces = sets[split][0]
        for rows in torch.arange(len(faces)).split(BLOCK):
            names = faces.ids[rows.numpy()].tolist()
            chosen = [place for place, name in enumerate(names) if name in ids]
            for place, image in zip(chosen, faces.images.read(rows[chosen]).numpy(), strict=True):
                found[split, names[place]] = image.transpose(1, 2, 0).squeeze()
    return found
