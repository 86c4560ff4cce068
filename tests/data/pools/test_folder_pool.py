import pytest
import torch

from fer_ssl.data.decode import Decoder
from fer_ssl.data.pools.folder import FolderPool
from fer_ssl.errors import DataError
from fer_ssl.types import UNKNOWN


@pytest.fixture
def people(face_bytes, tmp_path):
    for row, name in enumerate(("ann/0.png", "ann/album/1.png", "bob/0.png", "cy/0.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(face_bytes[row])
    return tmp_path


def values(faces) -> list[float]:
    return faces.images.read(torch.arange(len(faces))).flatten(1).float().mean(1).tolist()


def test_any_depth_without_labels(people):
    faces = FolderPool(people).load(Decoder(8, 1))
    assert faces.ids.tolist() == ["ann/0.png", "ann/album/1.png", "bob/0.png", "cy/0.png"]
    assert faces.labels.tolist() == [UNKNOWN] * 4
    assert faces.subjects is None
    assert values(faces) == [0, 1, 2, 3]


def test_first_level_folders_can_be_identities(people):
    assert FolderPool(people, identities=True).load(Decoder(8, 1)).subjects.tolist() == ["ann", "ann", "bob", "cy"]


def test_limit_is_spread_over_the_listing(people):
    faces = FolderPool(people, limit=2, identities=True).load(Decoder(8, 3, resident=False))
    assert faces.subjects.tolist() == ["ann", "bob"]
    assert values(faces) == [0, 2]
    assert len(FolderPool(people, limit=9).load(Decoder(8, 1))) == 4


@pytest.mark.parametrize("name", ["", "missing"])
def test_empty_or_missing_root_names_the_override(tmp_path, name):
    with pytest.raises(DataError, match=r"expected images.*(empty|not exist).*unlabeled\.root=<dir>"):
        FolderPool(tmp_path / name).load(Decoder(8, 1))
