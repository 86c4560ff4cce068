import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from fer_ssl.data.decode import Decoder
from fer_ssl.data.loader import stream
from fer_ssl.data.pools.lmdb import LmdbPool
from fer_ssl.data.samplers import ShuffledSampler
from fer_ssl.errors import ConfigError, DataError

lmdb = pytest.importorskip("lmdb")


def write(path: Path, values: dict[bytes, bytes], subdir: bool = True) -> Path:
    with (
        lmdb.open(str(path), subdir=subdir, map_size=2**24) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, value in values.items():
            transaction.put(key, value)
    return path


@pytest.fixture
def database(face_bytes: list[bytes], tmp_path: Path) -> Path:
    faces = {b"ann_%d" % row: face_bytes[row] for row in range(2)} | {b"bob_0": face_bytes[2]}
    return write(tmp_path / "faces", faces | {b"length": b"3", b"__keys__": b"..."})


def values(faces) -> list[float]:
    return faces.images.read(torch.arange(len(faces))).flatten(1).float().mean(1).tolist()


@pytest.mark.parametrize("resident", [True, False])
def test_values_are_faces_and_notes_are_not(database: Path, resident: bool) -> None:
    faces = LmdbPool(database, identity_pattern="(.+)_.*").load(Decoder(8, 1, resident=resident))
    assert values(faces) == [0, 1, 2]
    assert faces.ids.tolist() == ["ann_0", "ann_1", "bob_0"]
    assert faces.subjects.tolist() == ["ann", "ann", "bob"]


def test_one_file_limit_and_pickling(face_bytes: list[bytes], tmp_path: Path) -> None:
    path = write(tmp_path / "faces.mdb", {b"\xff%d" % row: face_bytes[row] for row in range(4)}, subdir=False)
    faces = LmdbPool(path, limit=2).load(Decoder(8, 1, resident=False))
    assert faces.ids.tolist() == ["\\xff0", "\\xff2"]
    images = pickle.loads(pickle.dumps(faces.images))
    assert images.read(torch.tensor([1, 0])).flatten(1)[:, 0].tolist() == [2, 0]


def test_a_database_is_loaded_again_while_its_faces_are_read(database: Path) -> None:
    def load(_: int) -> list[float]:
        return values(LmdbPool(database).load(Decoder(8, 1, resident=False)))

    first = LmdbPool(database / "data.mdb").load(Decoder(8, 1, resident=False))
    assert values(first) == load(0) == [0, 1, 2]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(load, range(32))) == [[0, 1, 2]] * 32
    assert values(pickle.loads(pickle.dumps(first))) == values(first)


def test_workers_read_what_their_parent_has_read_from(database: Path) -> None:
    decoder = Decoder(8, 1, resident=False)
    faces = LmdbPool(database).load(decoder)
    assert values(faces) == [0, 1, 2]
    batches = stream(faces, ShuffledSampler(3, 3, 0, 1, seed=0), 0, 2, decoder.rejects)
    for _, (rows, images) in zip(range(4), batches, strict=False):
        assert images.flatten(1).float().mean(1).tolist() == rows.tolist()


def test_values_that_are_no_images_are_rejected(face_bytes: list[bytes], tmp_path: Path) -> None:
    path = write(tmp_path / "faces", {b"a": face_bytes[0], b"b": pickle.dumps({"image": 1})})
    with pytest.raises(DataError, match=r"1 of 2 images of .*\(b: not an image\)"):
        LmdbPool(path).load(Decoder(8, 1))


def test_binary_keys_that_an_array_would_change_are_refused(face_bytes: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="end in zero bytes"):
        LmdbPool(write(tmp_path / "faces", {b"a\0": face_bytes[0]})).load(Decoder(8, 1))


def test_broken_or_missing_databases_name_the_override(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"no database" * 1000)
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match=r"expected an LMDB database at .*unlabeled\.root="):
            LmdbPool(root).load(Decoder(8, 1))
    with pytest.raises(DataError, match="holds no image"):
        LmdbPool(write(tmp_path / "faces", {b"length": b"0"})).load(Decoder(8, 1))


def test_a_missing_package_names_its_extra(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(ConfigError, match=r"pip install 'fer-ssl\[lmdb\]'"):
        LmdbPool(database).load(Decoder(8, 1))
