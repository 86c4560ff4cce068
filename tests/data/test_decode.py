import csv
import io
import struct
import zlib
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from PIL import Image

from fer_ssl.data.decode import Decoder, Rejects, _is_large, decode_all
from fer_ssl.errors import DataError


def file_of(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def test_png_is_decoded_exactly(rgb):
    face = Decoder(16, 3).decode(file_of(Image.fromarray(rgb), "PNG"))
    assert face.dtype == torch.uint8
    assert torch.equal(face, torch.from_numpy(rgb).permute(2, 0, 1))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_agree_with_arrays(rgb, kind):
    decoder = Decoder(8, 1)
    assert torch.equal(decoder.decode(file_of(Image.fromarray(rgb), kind)), decoder.from_array(rgb))


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_and_rgb_convert_to_either(rgb, channels):
    decoder = Decoder(16, channels)
    gray = rgb[..., 0].copy()
    assert decoder.from_array(rgb).shape == (channels, 16, 16)
    assert (decoder.from_array(gray).numpy() == gray).all()


def test_gray_follows_luma_weights():
    green = np.zeros((4, 4, 3), np.uint8)
    green[..., 1] = 100
    assert decode_value(Decoder(4, 1).from_array(green)) == round(0.587 * 100)


def decode_value(face: torch.Tensor) -> int:
    assert face.unique().numel() == 1
    return int(face.flatten()[0])


def test_shrinking_averages_areas():
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    face = Decoder(16, 1).from_array(checks).float()
    assert (face - 127.5).abs().max() < 10


def test_growing_keeps_a_constant_face():
    assert decode_value(Decoder(32, 1).from_array(np.full((8, 8), 77, np.uint8))) == 77


def test_exif_rotation_is_applied():
    # the left half is bright; orientation 6 asks for a quarter turn clockwise, which brings it to the top
    pixels = np.zeros((16, 16), np.uint8)
    pixels[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    face = Decoder(16, 1).decode(file_of(Image.fromarray(pixels), "JPEG", exif=exif, quality=100))
    assert face[0, :8].float().mean() > 250
    assert face[0, 8:].float().mean() < 5


@pytest.mark.parametrize("value", [0, 1, 128, 255])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_scales_to_8(value, kind):
    image = Image.fromarray(np.full((4, 4), value * 257, np.uint16))
    assert decode_value(Decoder(4, 1).decode(file_of(image, kind))) == value


def test_float_images_are_refused():
    image = Image.fromarray(np.full((4, 4), 0.5, np.float32))
    with pytest.raises(DataError, match="known range"):
        Decoder(4, 1).decode(file_of(image, "TIFF"))


def test_palette_is_resolved(rgb):
    image = Image.fromarray(rgb).quantize(16)
    expected = np.asarray(image.convert("RGB"))
    assert (Decoder(16, 3).decode(file_of(image, "PNG")).permute(1, 2, 0).numpy() == expected).all()


def test_transparency_lies_over_black():
    pixels = np.full((4, 4, 4), 200, np.uint8)
    pixels[..., 3] = np.array([[255, 255, 0, 0]])
    face = Decoder(4, 3).decode(file_of(Image.fromarray(pixels), "PNG"))
    assert face[:, :, :2].unique().tolist() == [200]
    assert face[:, :, 2:].unique().tolist() == [0]


def test_cmyk_is_converted():
    image = Image.fromarray(np.full((8, 8, 3), (255, 0, 0), np.uint8)).convert("CMYK")
    red = Decoder(8, 3).decode(file_of(image, "JPEG", quality=100)).float().mean((1, 2))
    assert red[0] > 240
    assert red[1:].max() < 15


def bomb(side: int) -> bytes:
    """Return a PNG whose header claims side x side pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    body = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return b"\x89PNG\r\n\x1a\n" + chunk + body


@pytest.mark.parametrize("side", [9_000, 60_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bombs_are_refused(side):
    with pytest.raises(DataError, match=r"too many|[Bb]omb"):
        Decoder(4, 1).decode(bomb(side))


def test_broken_files_tell_why(rgb):
    jpeg = file_of(Image.fromarray(rgb), "JPEG")
    png = file_of(Image.fromarray(rgb), "PNG")
    decoder = Decoder(16, 3)
    for data, reason in (
        (b"", "empty"),
        (b"hello, I am a text file", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n", "not an image"),
        (jpeg[: len(jpeg) // 2], "(?i)truncated"),
        (png[:60], "."),
    ):
        with pytest.raises(DataError, match=reason):
            decoder.decode(data)


def test_decode_all_keeps_order_and_notes_rejects(face_bytes):
    decoder = Decoder(8, 1)
    face_bytes[3] = b""
    face_bytes[150] = face_bytes[150][:40]
    pixels, kept = decode_all(face_bytes, [f"f{row}" for row in range(200)], decoder, "here")
    assert kept.tolist() == [row for row in range(200) if row not in (3, 150)]
    assert pixels.flatten(1).float().mean(1).tolist() == kept.tolist()
    assert list(decoder.rejects.reasons) == [("here", "f3"), ("here", "f150")]


def test_large_files_decode_alike_in_threads():
    rng = np.random.default_rng(0)
    faces = [rng.integers(0, 256, (160, 160), np.uint8) for _ in range(100)]
    files: list[bytes] = [file_of(Image.fromarray(face), "PNG") for face in faces]
    files[70] = files[70][:5000]
    assert len(files[0]) > 2**14
    pixels, kept = decode_all(files, list(map(str, range(100))), Decoder(160, 1), "here")
    assert kept.tolist() == [row for row in range(100) if row != 70]
    assert (pixels[:, 0].numpy() == np.stack([faces[row] for row in kept.tolist()])).all()


class BrokenFirst(list[bytes]):
    """Images of which the first cannot be had."""

    def __getitem__(self, row):
        if row == 0:
            raise DataError("record 0 is damaged")
        return super().__getitem__(row)


def test_a_first_image_that_cannot_be_had_stops_nothing(face_bytes):
    decoder = Decoder(8, 1)
    _, kept = decode_all(BrokenFirst(face_bytes), [f"f{row}" for row in range(200)], decoder, "here")
    assert kept.tolist() == list(range(1, 200))
    assert decoder.rejects.reasons == {("here", "f0"): "record 0 is damaged"}


def test_decoded_photographs_count_by_their_bytes():
    assert _is_large([np.zeros((200, 200, 3), np.uint8)])
    assert not _is_large([np.zeros((20, 20, 3), np.uint8)])


def test_decode_all_of_nothing():
    pixels, kept = decode_all([], [], Decoder(8, 3), "here")
    assert pixels.shape == (0, 3, 8, 8)
    assert kept.tolist() == []


def test_rejects_are_written_as_csv(tmp_path):
    rejects = Rejects()
    rejects.add("photos", "a,b.png", "the file is empty")
    rejects.write_csv(tmp_path / "rejects.csv")
    with (tmp_path / "rejects.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["id", "reason", "origin"], ["a,b.png", "the file is empty", "photos"]]


@pytest.mark.parametrize(("total", "allowed", "stops"), [(200, 0.01, False), (199, 0.01, True), (100, 0.05, False)])
def test_rejects_above_the_limit_are_an_error(total, allowed, stops):
    rejects = Rejects(allowed)
    rejects.expect("/some/folder", total)
    for row in range(2):
        rejects.add("/some/folder", f"face{row}", "truncated")
    message = r"2 of 199 images of /some/folder.*face0.*data.max_rejected=0.02"
    with pytest.raises(DataError, match=message) if stops else nullcontext():
        rejects.check()


def test_rejects_are_counted_by_set():
    rejects = Rejects(0.5)
    for origin in ("first", "second"):
        rejects.expect(origin, 2)
        rejects.add(origin, "face0", "truncated")
    rejects.check()
    assert len(rejects) == 2


def test_rejects_of_another_process_are_taken_over():
    ours, theirs = Rejects(0.5), Rejects(0.5)
    ours.expect("here", 3)
    theirs.add("here", "face0", "truncated")
    ours.merge(theirs.since(0))
    ours.merge(theirs.since(0))
    assert len(ours) == 1
    theirs.add("here", "face1", "truncated")
    assert theirs.since(1) == {("here", "face1"): "truncated"}
    with pytest.raises(DataError, match="2 of 3 images of here"):
        ours.merge(theirs.since(1))


def test_resident_is_decided_by_size():
    gib = 1024**3 // (3 * 64 * 64)
    decoder = Decoder(64, 3, resident_gib=1.0)
    assert decoder.is_resident(gib)
    assert not decoder.is_resident(gib + 1)
    assert Decoder(64, 3, resident=True).is_resident(10**9)
    assert not Decoder(64, 3, resident=False).is_resident(1)
