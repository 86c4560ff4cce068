"""Pixel-identical faces are found whatever their names."""

import torch
from making import faces

from fer_ssl.data.images import ResidentImages
from fer_ssl.data.leaks import digests, identical_to_any
from fer_ssl.types import Faces


def test_only_identical_pixels_match() -> None:
    held_out = faces([0] * 5, "test", seed=1)
    pixels = faces([0] * 4, "train", seed=2).images.read(torch.arange(4))
    pixels[2] = held_out.images.read(torch.tensor([3]))[0]
    pixels[1] = pixels[2]
    pixels[1, 0, 0, 0] ^= 1
    train = Faces(ResidentImages(pixels), faces([0] * 4).ids, torch.zeros(4, dtype=torch.int64))
    assert identical_to_any(digests(train), digests(held_out)).tolist() == [False, False, True, False]
