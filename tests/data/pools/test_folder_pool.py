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


def test_a_folder_that_is_not_there_is_told_once(tmp_path, caplog):
    with pytest.raises(DataError, match=r"expected images below .*, but it does not exist; set unlabeled\.root="):
        FolderPool(tmp_path / "nowhere").load(Decoder(8, 1))
    assert not caplog.records


def test_an_image_in_nobodys_folder_is_told(people):
    (people / "ann" / "0.png").rename(people / "0.png")
    with pytest.raises(DataError, match=r"0\.png is in the folder of no person; move it .* set unlabeled\.identities="):
        FolderPool(people, identities=True).load(Decoder(8, 1))


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


def test_a_list_can_name_the_people(people, tmp_path_factory):
    names = tmp_path_factory.mktemp("lists") / "identity.txt"
    names.write_bytes(b"\xef\xbb\xbf0.png  7\r\n1.png 8\r\n\r\n")
    assert FolderPool(people, identities=str(names)).load(Decoder(8, 1)).subjects.tolist() == ["7", "8", "7", "7"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("0.png 7\n", "has no line for ann/album/1.png"), ("0.png\n", "line 1 of"), ("0.png 1 2\n", "line 1 of")],
)
def test_a_list_that_does_not_fit_is_named(people, tmp_path_factory, text, message):
    names = tmp_path_factory.mktemp("lists") / "identity.txt"
    names.write_text(text)
    with pytest.raises(DataError, match=message):
        FolderPool(people, identities=names).load(Decoder(8, 1))
    with pytest.raises(DataError, match="is no list of people"):
        FolderPool(people, identities=names.parent / "missing").load(Decoder(8, 1))
