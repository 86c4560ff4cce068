"""Faces from JPEG files and from memory, on one core."""

import io
from collections.abc import Iterator

import simplejpeg
import torch
from measuring import Measurement, Options, in_turns, one_core
from PIL import Image
from torch import Tensor
from views import faces

from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import ResidentImages

SIDE = 112


def as_jpeg(image: Tensor) -> bytes:
    """Return a face uint8 [3, H, W] as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def measure_decoding(options: Options) -> Iterator[Measurement]:
    """Yield JPEG decoding against the bare library's, and the gather of a batch against a copy of one."""
    count = 16 if options.quick else 512
    images = faces(SIDE, 3, count)
    files = [as_jpeg(image) for image in images]
    decoder, pool = Decoder(SIDE, 3), ResidentImages(images.repeat(4, 1, 1, 1))
    rows = torch.randperm(len(pool), generator=torch.Generator().manual_seed(0))[:96]
    with one_core():
        pairs = in_turns(
            lambda: [decoder.decode(file) for file in files],
            lambda: [simplejpeg.decode_jpeg(file) for file in files],
            options.repeats,
            warmup=1,
        )
        yield pairs.rates(f"JPEG, {SIDE} px", "libjpeg-turbo alone", count)
        pairs = in_turns(lambda: pool.read(rows), lambda: pool.pixels[:96].clone(), options.repeats, calls=(10, 10))
        yield pairs.rates(f"gather from memory, {SIDE} px", "copy of as many faces", 96)
