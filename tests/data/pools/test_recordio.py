"""InsightFace's RecordIO, whole and broken."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer_ssl.data.decode import Decoder
from fer_ssl.data.pools.recordio import MAGIC, RecordFile, RecordPool, read_index, unpack
from fer_ssl.errors import DataError
from fer_ssl.types import UNKNOWN, Faces


def load(root: Path, **options: object) -> Faces:
    return RecordPool(root, **options).load(Decoder(8, 1, resident=False))


def values(faces: Faces) -> list[float]:
    return faces.images.read(torch.arange(len(faces))).flatten(1).float().mean(1).tolist()


def test_images_without_the_header_and_the_records_of_people(insightface: Path) -> None:
    faces = load(insightface)
    assert values(faces) == [1, 2, 3, 4, 5]
    assert faces.ids.tolist() == [f"train/{key:07d}" for key in range(1, 6)]
    assert faces.labels.tolist() == [UNKNOWN] * 5
    assert faces.subjects is None
    assert values(load(insightface / "train.rec")) == [1, 2, 3, 4, 5]


def test_people_come_from_the_announced_ranges(insightface: Path) -> None:
    assert load(insightface, identities=True).subjects.tolist() == [0, 0, 1, 2, 2]
    part = load(insightface, identities=True, limit=2)
    assert (part.subjects.tolist(), values(part)) == ([0, 1], [1, 3])


def test_without_a_header_people_come_from_every_record(face_bytes, write_records, tmp_path: Path) -> None:
    records = {key: struct.pack("<IfQQ", 0, 7 - key, 0, 0) + face_bytes[key] for key in range(3)}
    faces = load(write_records(tmp_path, records), identities=True)
    assert (values(faces), faces.subjects.tolist()) == ([0, 1, 2], [7, 6, 5])


def test_a_record_that_holds_the_magic_number_is_joined(face_bytes, write_records, tmp_path: Path) -> None:
    magic = MAGIC.to_bytes(4, "little")
    content = struct.pack("<IfQQ", 0, 0.0, 0, 0) + face_bytes[9] + magic + b"x" * 5 + magic + magic + b"end"
    root = write_records(tmp_path, {0: content, 1: content}, split=True)
    assert magic not in (root / "train.rec").read_bytes()[8:70]
    _, offsets = read_index(root / "train.idx", 10**6)
    assert [RecordFile(root / "train.rec").read(offset) for offset in offsets.tolist()] == [content, content]


def test_a_record_larger_than_one_read(write_records, tmp_path: Path) -> None:
    content = struct.pack("<IfQQ", 0, 0.0, 0, 0) + bytes(range(256)) * 200
    root = write_records(tmp_path, {0: content})
    assert RecordFile(root / "train.rec").read(0) == content


def test_streamed_records_survive_pickling(insightface: Path) -> None:
    faces = load(insightface)
    values(faces)
    images = pickle.loads(pickle.dumps(faces.images))
    assert torch.equal(images.read(torch.tensor([4, 0])), faces.images.read(torch.tensor([4, 0])))


def test_an_index_out_of_order_is_sorted_by_key(insightface: Path) -> None:
    index = insightface / "train.idx"
    index.write_text("".join(reversed(index.read_text().splitlines(keepends=True))))
    assert values(load(insightface)) == [1, 2, 3, 4, 5]


def test_a_bad_magic_number_is_a_reject_and_the_next_face_serves(insightface: Path) -> None:
    offsets = read_index(insightface / "train.idx", 10**9)[1]
    with (insightface / "train.rec").open("r+b") as file:
        file.seek(offsets[2])
        file.write(b"\0\0\0\0")
    faces = load(insightface)
    assert values(faces) == [1, 3, 3, 4, 5]
    reasons = faces.images.decoder.rejects.reasons
    assert list(reasons) == [(str(insightface / "train.rec"), "train/0000002")]
    assert "there is no record at byte" in next(iter(reasons.values()))


def test_a_file_without_records_is_an_error(insightface: Path) -> None:
    (insightface / "train.rec").write_bytes(b"\0" * 4096)
    with pytest.raises(DataError, match=r"no record at byte 0 of .*train\.rec.*unlabeled\.root="):
        load(insightface)


def test_a_cut_tail_is_an_index_that_points_outside(insightface: Path) -> None:
    record = insightface / "train.rec"
    record.write_bytes(record.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"train\.idx points outside its \.rec file of \d+ bytes"):
        load(insightface)


def test_a_cut_last_record_says_so(write_records, tmp_path: Path) -> None:
    record = write_records(tmp_path, {0: b"x" * 100}) / "train.rec"
    record.write_bytes(record.read_bytes()[:60])
    with pytest.raises(DataError, match=r"byte 0 of .* is cut off"):
        RecordFile(record).read(0)


@pytest.mark.parametrize("text", ["0\t-1\n", "0\t99999999\n", "0 1\n", "a\tb\n", "", "0\t0\t0\n", "0\t\n"])
def test_a_broken_index_names_the_file(insightface: Path, text: str) -> None:
    (insightface / "train.idx").write_text(text)
    with pytest.raises(DataError, match=r"train\.idx"):
        load(insightface)


@pytest.mark.parametrize("name", ["train.idx", "train.rec"])
def test_a_missing_file_names_the_override(insightface: Path, name: str) -> None:
    (insightface / name).unlink()
    with pytest.raises(DataError, match=r"expected train\.rec and train\.idx at .* unlabeled\.root=<dir>"):
        load(insightface)


def test_a_person_without_a_range_is_an_error(insightface: Path) -> None:
    data = (insightface / "train.rec").read_bytes()
    broken = data.replace(struct.pack("<2f", 3, 4), struct.pack("<2f", 3, 3))
    (insightface / "train.rec").write_bytes(broken)
    with pytest.raises(DataError, match=r"face 3; set unlabeled\.identities=false"):
        load(insightface, identities=True)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_as_a_record_unpack_or_are_data_errors(record: bytes) -> None:
    try:
        labels, image = unpack(record)
    except DataError:
        return
    assert len(labels) >= 1
    assert record.endswith(image)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=120), offset=st.integers(0, 130), magic=st.booleans())
def test_any_bytes_as_a_file_are_read_or_data_errors(tmp_path: Path, data: bytes, offset: int, magic: bool) -> None:
    path = tmp_path / "any.rec"
    path.write_bytes(data[:offset] + struct.pack("<I", MAGIC) * magic + data[offset:])
    try:
        assert isinstance(RecordFile(path).read(offset), bytes)
    except DataError:
        return


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("0123456789\t\n -.x", max_size=60) | st.binary(max_size=40))
def test_any_text_as_an_index_is_read_or_a_data_error(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "any.idx"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        keys, offsets = read_index(path, 100)
    except DataError:
        return
    assert len(keys) == len(offsets) > 0
    assert ((offsets >= 0) & (offsets <= 92)).all()
    assert (np.diff(keys) >= 0).all()
