"""Scoring a split against the forward passes it needs."""

from collections.abc import Iterator

import numpy as np
import torch
from loops import CLASSES, our_module, prepared, ready
from measuring import Measurement, Options, in_turns

from fer_ssl.data.images import ResidentImages
from fer_ssl.data.loader import EvalLoader
from fer_ssl.scoring import score
from fer_ssl.types import Faces

BLOCK = 512


def measure_evaluation(options: Options) -> Iterator[Measurement]:
    """Yield the score of a test set against the network's bare passes over it."""
    count = 64 if options.quick else 3589
    images = ready(count, 0).labeled
    faces = Faces(ResidentImages(images), np.arange(count).astype(str), torch.arange(count) % CLASSES)
    model = our_module(options.backbone).model.eval()
    blocks = prepared(images, torch.channels_last).split(BLOCK)

    @torch.inference_mode()
    def bare() -> None:
        for block in blocks:
            model.head(model.backbone(block))

    pairs = in_turns(lambda: score(model, EvalLoader(faces, BLOCK), CLASSES), bare, options.repeats, warmup=1)
    yield pairs.seconds(f"evaluation of {count:,} faces", "bare forward passes", "<= 1.05")
