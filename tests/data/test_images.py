import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import ImageFiles, ResidentImages, StreamedImages, hold
from fer_ssl.errors import DataError
from fer_ssl.types import UNKNOWN


def names(count: int) -> np.ndarray:
    return np.array([f"face{row}" for row in range(count)])


def streamed(files: list[bytes], groups: torch.Tensor | None = None) -> StreamedImages:
    return StreamedImages(files, names(len(files)), Decoder(8, 1, resident=False), "here", groups)


def values(faces: torch.Tensor) -> list[float]:
    return faces.flatten(1).float().mean(1).tolist()


def test_resident_and_streamed_read_alike(face_bytes):
    on_read = streamed(face_bytes)
    rows = torch.tensor([7, 0, 199, 7])
    resident = ResidentImages(on_read.read(torch.arange(200)))
    assert len(resident) == len(on_read) == 200
    assert torch.equal(resident.read(rows), on_read.read(rows))
    assert torch.equal(
        resident.subset(rows).read(torch.tensor([1, 3])), on_read.subset(rows).read(torch.tensor([1, 3]))
    )


def test_subsets_compose(face_bytes):
    part = streamed(face_bytes).subset(torch.tensor([5, 9, 2])).subset(torch.tensor([2, 0]))
    assert values(part.read(torch.arange(2))) == [2, 5]


def test_streamed_replaces_a_corrupt_face_by_the_next_one(face_bytes):
    face_bytes[3], face_bytes[4], face_bytes[199] = b"", b"no image", b""
    images = streamed(face_bytes)
    assert values(images.read(torch.tensor([2, 3, 199]))) == [2, 5, 0]
    assert set(images.decoder.rejects.reasons) == {("here", "face3"), ("here", "face4"), ("here", "face199")}


def test_streamed_replaces_within_the_label(face_bytes):
    face_bytes[3] = b""
    images = streamed(face_bytes, groups=torch.arange(200) % 2)
    assert values(images.read(torch.tensor([3]))) == [5]


def test_streamed_replaces_within_the_subset(face_bytes):
    face_bytes[3] = b""
    images = streamed(face_bytes).subset(torch.tensor([1, 3, 9]))
    assert values(images.read(torch.tensor([1]))) == [9]


def test_streamed_without_any_readable_face_is_an_error():
    with pytest.raises(DataError, match="face0"):
        streamed([b"", b""]).read(torch.tensor([0]))


def test_a_corrupt_face_is_logged_once(face_bytes, caplog):
    face_bytes[3] = b""
    images = streamed(face_bytes)
    images.read(torch.tensor([3, 3]))
    assert caplog.text.count("face3") == 1


class Batches(Dataset):
    def __init__(self, images: StreamedImages) -> None:
        self.images = images

    def __len__(self) -> int:
        return 4

    def __getitem__(self, batch: int) -> torch.Tensor:
        return self.images.read(torch.arange(batch * 3, batch * 3 + 3))


def test_streamed_faces_are_read_by_workers(face_bytes, tmp_path):
    for row, data in enumerate(face_bytes):
        (tmp_path / f"face{row}").write_bytes(data)
    images = StreamedImages(ImageFiles(tmp_path, names(200)), names(200), Decoder(8, 1), "here")
    again = pickle.loads(pickle.dumps(images))
    assert torch.equal(again.read(torch.arange(12)), images.read(torch.arange(12)))
    loader = DataLoader(Batches(images), batch_size=None, num_workers=1)
    assert values(torch.cat(list(loader))) == list(range(12))


@pytest.mark.parametrize("resident", [True, False])
def test_hold_gives_the_same_faces_either_way(face_bytes, resident):
    labels = torch.arange(200) % 5
    faces = hold(face_bytes, names(200), Decoder(8, 1, resident=resident), "here", labels, subjects=names(200))
    assert isinstance(faces.images, ResidentImages if resident else StreamedImages)
    assert values(faces.images.read(torch.arange(200))) == list(range(200))
    assert faces.labels.tolist() == labels.tolist()


def test_hold_without_labels_knows_none(face_bytes):
    assert hold(face_bytes, names(200), Decoder(8, 1), "here").labels.unique().tolist() == [UNKNOWN]


def test_hold_leaves_out_rejects_from_every_field(face_bytes):
    face_bytes[7] = b""
    labels = torch.arange(200)
    soft = torch.rand(200, 4)
    faces = hold(face_bytes, names(200), Decoder(8, 1), "here", labels, soft, names(200))
    assert len(faces) == len(faces.images) == len(faces.soft_labels) == 199
    assert faces.ids[7] == faces.subjects[7] == "face8"
    assert values(faces.images.read(torch.tensor([7]))) == [faces.labels[7]] == [8]
    assert torch.equal(faces.soft_labels[7], soft[8])


def test_hold_stops_at_too_many_rejects(face_bytes):
    for row in (5, 6, 7):
        face_bytes[row] = b""
    with pytest.raises(DataError, match=r"3 of 200 images of here.*face5"):
        hold(face_bytes, names(200), Decoder(8, 1), "here")
    assert len(hold(face_bytes, names(200), Decoder(8, 1, max_rejected=0.02), "here")) == 197


def test_rejects_of_one_set_do_not_count_for_the_next(face_bytes):
    decoder = Decoder(8, 1)
    hold([b"", *face_bytes], np.array(["bad", *names(200)]), decoder, "first")
    hold([b"", *face_bytes], np.array(["worse", *names(200)]), decoder, "second")
    assert list(decoder.rejects.reasons) == [("first", "bad"), ("second", "worse")]
