import io
import pickle
import tarfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import StreamedImages
from fer_ssl.data.pools import tars
from fer_ssl.data.pools.shards import ShardPool
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import UNKNOWN


@pytest.fixture
def root(face_bytes, write_shard, tmp_path):
    members = [(f"./Ann_Lee_000{row}.png", face_bytes[row]) for row in range(2)]
    write_shard(tmp_path / "faces-0.tar", [*members, ("Ann_Lee_0000.json", b"{}")])
    write_shard(tmp_path / "faces-1.tar", [("set/Bob_0001.png", face_bytes[2]), ("nobody.png", face_bytes[3])])
    return tmp_path


def values(faces) -> list[float]:
    return faces.images.read(torch.arange(len(faces))).flatten(1).float().mean(1).tolist()


@pytest.mark.parametrize("resident", [True, False])
def test_members_are_read_in_order(root, resident):
    faces = ShardPool(root).load(Decoder(8, 1, resident=resident))
    assert values(faces) == [0, 1, 2, 3]
    assert faces.subjects.tolist() == ["Ann_Lee", "Ann_Lee", "Bob", "faces-1/nobody.png"]
    assert faces.labels.tolist() == [UNKNOWN] * 4
    assert faces.ids.tolist()[1:3] == ["faces-0/Ann_Lee_0001.png", "faces-1/set/Bob_0001.png"]


def test_streamed_shards_survive_pickling(root):
    images = ShardPool(root).load(Decoder(8, 1, resident=False)).images
    assert isinstance(images, StreamedImages)
    assert torch.equal(pickle.loads(pickle.dumps(images)).read(torch.tensor([3, 0])), images.read(torch.tensor([3, 0])))


def test_glob_single_file_and_limit(root):
    assert values(ShardPool(root / "faces-*.tar").load(Decoder(8, 1))) == [0, 1, 2, 3]
    assert values(ShardPool(root / "faces-1.tar").load(Decoder(8, 1))) == [2, 3]
    assert values(ShardPool(root, limit=2).load(Decoder(8, 1))) == [0, 2]


def test_identity_pattern(root):
    subjects = ShardPool(root, identity_pattern=r"(\w)\w*").load(Decoder(8, 1)).subjects
    assert subjects.tolist() == ["A", "A", "B", "n"]
    assert ShardPool(root, identity_pattern=None).load(Decoder(8, 1)).subjects is None


def test_a_face_that_the_pattern_does_not_name_is_nobody_else(root):
    names = ShardPool(root, identity_pattern=r"(A)?.*").load(Decoder(8, 1)).subjects.tolist()
    assert names[:2] == ["A", "A"]
    assert len(set(names)) == 3


def test_a_pattern_that_names_nobody_gives_no_people(root):
    assert ShardPool(root, identity_pattern=r"zzz(.*)").load(Decoder(8, 1)).subjects is None


@pytest.mark.parametrize(("pattern", "reason"), [("([A-", "is no regular expression"), ("A.*", "has no group")])
def test_a_pattern_that_cannot_name_anybody_is_refused(root, pattern, reason):
    with pytest.raises(ConfigError, match=rf"{reason}.* set unlabeled\.identity_pattern"):
        ShardPool(root, identity_pattern=pattern).load(Decoder(8, 1))


@pytest.mark.parametrize("name", ["../evil_0.png", "a/../../evil_0.png", "/etc/evil_0.png"])
def test_members_that_point_outside_are_refused(root, face_bytes, write_shard, name):
    write_shard(root / "faces-2.tar", [(name, face_bytes[0])])
    with pytest.raises(DataError, match=r"evil_0.png.*faces-2.tar"):
        ShardPool(root).load(Decoder(8, 1))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "faces.tar", "w") as archive:
        link = tarfile.TarInfo("face_0.png")
        link.type, link.linkname = kind, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(DataError, match=r"face_0\.png"):
        ShardPool(tmp_path).load(Decoder(8, 1))


def test_compressed_shards_are_refused(tmp_path, face_bytes, write_shard):
    write_shard(tmp_path / "faces.tar", [("face_0.png", face_bytes[0])], mode="w:gz")
    with pytest.raises(DataError, match=r"faces.tar is not a whole uncompressed tar"):
        ShardPool(tmp_path).load(Decoder(8, 1))


def test_truncated_shards_are_refused(root):
    shard = root / "faces-1.tar"
    shard.write_bytes(shard.read_bytes()[:600])
    with pytest.raises(DataError, match=r"faces-1.tar"):
        ShardPool(root).load(Decoder(8, 1))


def test_shards_without_images_are_an_error(tmp_path, write_shard):
    write_shard(tmp_path / "faces.tar", [("notes.txt", b"x")])
    with pytest.raises(DataError, match=r"no image in the 1 tar shards.*unlabeled\.root=<dir>"):
        ShardPool(tmp_path).load(Decoder(8, 1))


@pytest.mark.parametrize("name", ["", "missing", "missing-*.tar"])
def test_empty_or_missing_root_names_the_override(tmp_path, name):
    with pytest.raises(DataError, match=r"(empty|not exist).*unlabeled\.root=<dir>"):
        ShardPool(tmp_path / name).load(Decoder(8, 1))


@pytest.mark.real
def test_real_lfw(real_data):
    faces = ShardPool(real_data / "lfw112").load(Decoder(48, 1, resident=False))
    assert len(faces) == len(set(faces.ids.tolist())) == 13233
    assert len(set(faces.subjects.tolist())) == 5749
    assert faces.images.read(torch.tensor([0, 13232])).float().std() > 10
    assert len(faces.images.decoder.rejects) == 0


def test_where_members_lie_is_cached_until_the_shard_changes(root, face_bytes, write_shard, monkeypatch):
    before = values(ShardPool(root).load(Decoder(8, 1)))
    with monkeypatch.context() as patched:
        patched.setattr(tars, "index_tar", None)
        assert values(ShardPool(root).load(Decoder(8, 1))) == before
    write_shard(root / "faces-1.tar", [("Bob_0001.png", face_bytes[9])])
    assert values(ShardPool(root).load(Decoder(8, 1))) == [0, 1, 9]


WHOLE = io.BytesIO()
with tarfile.open(fileobj=WHOLE, mode="w") as archive:
    for name in ("a.png", "b" * 150 + ".png", "folder/c.jpg"):
        member = tarfile.TarInfo(name)
        member.size = 9
        archive.addfile(member, io.BytesIO(b"no image."))


@settings(max_examples=150, deadline=None)
@given(
    cut=st.integers(0, len(WHOLE.getvalue())),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6),
)
def test_damaged_tars_are_indexed_or_data_errors(cut, changes):
    data = bytearray(WHOLE.getvalue())
    for at, value in changes:
        data[at] = value
    data = data[:cut]
    try:
        table = tars.index_tar(io.BytesIO(data), "any.tar")
    except DataError:
        return
    assert all(name.lower().endswith(tars.SUFFIXES) for name in table["name"].to_pylist())
