"""Plain JPEGs without Pillow: the same faces, and Pillow for all the rest."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fer_ssl.data import decode, jpeg
from fer_ssl.data.decode import Decoder
from fer_ssl.errors import DataError


def face(height: int = 40, width: int = 40, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Return something with edges, gradients and noise."""
    rng = np.random.default_rng(seed)
    down, across = np.indices((height, width))
    waves = np.stack([np.sin(down / (3 + k)) * np.cos(across / (5 + k)) for k in range(channels)], -1)
    pixels = (127 + 90 * waves + rng.normal(0, 8, waves.shape)).clip(0, 255).astype(np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def file_of(pixels: np.ndarray, kind: str = "JPEG", mode: str | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def by_pillow(data: bytes, decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    with monkeypatch.context() as patched:
        patched.setattr(decode, "from_jpeg", lambda *_: None)
        return decoder.to_face(data)


KINDS = {
    "plain": {},
    "coarse": {"quality": 30},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 2},
    "own Huffman tables": {"optimize": True},
    "RGB": {"keep_rgb": True},
}


@pytest.mark.parametrize(
    ("kind", "stored"), [(kind, stored) for kind in KINDS for stored in (1, 3) if (kind, stored) != ("RGB", 1)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_pixels_are_pillows(kind: str, stored: int, channels: int, monkeypatch) -> None:
    for seed, side in enumerate((1, 7, 8, 16, 33, 61, 112)):
        data = file_of(face(side, side, stored, seed), **KINDS[kind])
        fast = jpeg.from_jpeg(data, channels)
        assert fast is not None
        assert np.array_equal(fast.transpose(2, 0, 1), by_pillow(data, Decoder(side, channels), monkeypatch)), side


@pytest.mark.parametrize(("height", "width"), [(40, 40), (90, 31), (17, 250)])
@pytest.mark.parametrize("side", [24, 48, 112])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_sizes_are_pillows_within_two_levels(height, width, side, channels, monkeypatch) -> None:
    data = file_of(face(height, width))
    decoder = Decoder(side, channels)
    fast, slow = decoder.to_face(data), by_pillow(data, decoder, monkeypatch)
    assert fast.shape == slow.shape
    assert np.abs(fast.astype(int) - slow).max() <= 2


def test_the_fast_path_is_taken() -> None:
    data = file_of(face())
    assert np.array_equal(Decoder(40, 3).to_face(data).transpose(1, 2, 0), jpeg.from_jpeg(data, 3))


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return file_of(face(), exif=exif)


@pytest.mark.parametrize(
    "data",
    [
        rotated(),
        file_of(face(), mode="CMYK"),
        file_of(face(), "PNG"),
        file_of(face())[:400],
        file_of(face(8, 5000)),
        b"",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\x00\x00" * 9,
    ],
    ids=["exif", "cmyk", "png", "cut", "wide", "empty", "start", "looping"],
)
def test_what_only_pillow_can_judge_is_left_to_it(data: bytes) -> None:
    assert jpeg.from_jpeg(data, 3) is None


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_header_of_huge_sides_is_refused() -> None:
    data = bytearray(file_of(face()))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xdc" * 2
    with pytest.raises(DataError, match=r"too many|[Bb]omb"):
        Decoder(40, 3).decode(bytes(data))


WHOLE = file_of(face())


@settings(max_examples=150, deadline=None)
@given(
    cut=st.integers(0, len(WHOLE)),
    changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=8),
)
def test_damaged_files_are_faces_or_data_errors(cut: int, changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    decoder = Decoder(16, 3)
    with contextlib.suppress(DataError):
        assert decoder.decode(bytes(data[:cut])).shape == (3, 16, 16)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"RIFF"]))
def test_arbitrary_bytes_are_data_errors(data: bytes, start: bytes) -> None:
    with pytest.raises(DataError):
        Decoder(16, 3).decode(start + data)


def test_an_animation_shows_its_first_picture() -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (10, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert Decoder(8, 3).decode(buffer.getvalue()).unique().tolist() == [10]
