import os
from pathlib import Path

import pytest
import torch

from fer_ssl.data.decode import Decoder
from fer_ssl.data.sources.folder import ImageFolder
from fer_ssl.errors import DataError


def values(faces) -> list[float]:
    return faces.images.read(torch.arange(len(faces))).flatten(1).float().mean(1).tolist()


def test_split_folders(class_tree):
    source = ImageFolder(class_tree)
    splits = source.load(Decoder(8, 3))
    assert source.space.classes == ("a", "b")
    assert splits.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert splits.train.ids[0] == "train/a/0.png"
    assert values(splits.train) == [0, 1, 2, 3, 4, 5]
    assert values(splits.val) == [6, 7]
    assert splits.test.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "names", [("Train", "Valid", "TEST"), ("Training", "Validation", "Testing"), ("train", "val", "Test")]
)
def test_split_folders_in_the_letters_people_have(class_tree, names):
    expected = {"train": 6, "val": 2, "test": 4}
    for old, new in zip(expected, names, strict=True):
        (class_tree / old).rename(class_tree / new)
    splits = ImageFolder(class_tree).load(Decoder(8, 3))
    assert {split: len(getattr(splits, split)) for split in expected} == expected


def test_a_folder_that_is_named_as_a_class_is_no_split(class_tree):
    for old, new in zip(("a", "b"), ("Train", "Test"), strict=True):
        (class_tree / "train" / old).rename(class_tree / "train" / new)
    splits = ImageFolder(class_tree / "train", classes=["Train", "Test"]).load(Decoder(8, 3))
    assert splits.train.labels.tolist() == [1, 1, 1, 0, 0, 0]
    assert splits.val is splits.test is None


def test_two_folders_of_one_split_are_refused(class_tree):
    (class_tree / "Testing" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="has Testing and test, each a test split; leave one of them there"):
        ImageFolder(class_tree).load(Decoder(8, 3))


def test_a_tree_without_split_folders_is_all_train(class_tree):
    splits = ImageFolder(class_tree / "train").load(Decoder(8, 3))
    assert splits.train.ids.tolist() == [f"{name}/{number}.png" for name in "ab" for number in range(3)]
    assert splits.val is splits.test is None


@pytest.mark.parametrize("names", [("Valid", "Test"), ("validation", "testing"), ("a", "validation")])
def test_a_split_is_no_class_unless_it_is_said_to_be(class_tree, names):
    for old, new in zip(("a", "b"), names, strict=True):
        (class_tree / "train" / old).rename(class_tree / "train" / new)
    told = r"train/\w+ looks like a split, .* name the splits train/, val/ and test/, or set data\.classes=\[\w+,\w+\]"
    with pytest.raises(DataError, match=told):
        ImageFolder(class_tree / "train").load(Decoder(8, 3))
    assert len(ImageFolder(class_tree / "train", classes=names).load(Decoder(8, 3)).train) == 6
    assert ImageFolder(class_tree).space.classes == tuple(sorted(names)), "below train/ there are classes only"


def test_classes_give_the_order(class_tree):
    source = ImageFolder(class_tree, classes=["b", "a"])
    assert source.load(Decoder(8, 3)).train.labels.tolist() == [1, 1, 1, 0, 0, 0]


def test_folders_can_be_mapped_to_classes(class_tree):
    (class_tree / "train" / "b").rename(class_tree / "train" / "c")
    source = ImageFolder(class_tree, classes={"b": "happy", "a": "sad", "c": "happy"})
    assert source.space.classes == ("happy", "sad")
    assert source.load(Decoder(8, 3)).train.labels.tolist() == [1, 1, 1, 0, 0, 0]


def test_other_files_and_hidden_ones_are_left_out(class_tree):
    (class_tree / "train" / "a" / "notes.txt").write_text("x")
    (class_tree / "train" / "a" / "._0.png").write_bytes(b"x")
    (class_tree / "train" / ".cache").mkdir()
    copied = class_tree / "train" / "a" / ".thumbs" / "0.png"
    copied.parent.mkdir()
    copied.write_bytes((class_tree / "train" / "a" / "0.png").read_bytes())
    assert len(ImageFolder(class_tree).load(Decoder(8, 3)).train) == 6


def test_what_is_left_out_of_a_folder_is_told(class_tree, caplog):
    folder = class_tree / "train" / "a"
    (folder / "more").symlink_to(class_tree / "train" / "b")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes((folder / "0.png").read_bytes())
    assert len(ImageFolder(class_tree).load(Decoder(8, 3)).train) == 6
    (told,) = (record.getMessage() for record in caplog.records if "left out" in record.getMessage())
    assert "2 files or folders are left out, the first: " in told
    assert "more is a link" in told or "caf\\xe9.png" in told


def test_capital_suffixes_and_deeper_folders_count(class_tree):
    deeper = class_tree / "train" / "a" / "video1"
    deeper.mkdir()
    (class_tree / "train" / "a" / "0.png").rename(deeper / "0.PNG")
    splits = ImageFolder(class_tree).load(Decoder(8, 3))
    assert "train/a/video1/0.PNG" in splits.train.ids.tolist()
    assert len(splits.train) == 6


def test_unknown_class_folder_is_named(class_tree):
    with pytest.raises(DataError, match=r"train/b is none of the classes a; .*data\.classes="):
        ImageFolder(class_tree, classes=["a"]).load(Decoder(8, 3))


def test_class_without_images_is_named(class_tree):
    with pytest.raises(DataError, match=r"no image of class 'c'.*data\.classes="):
        ImageFolder(class_tree, classes=["a", "b", "c"]).load(Decoder(8, 3))


def test_empty_class_folder_is_named(class_tree):
    (class_tree / "train" / "c").mkdir()
    with pytest.raises(DataError, match="'c'"):
        ImageFolder(class_tree).load(Decoder(8, 3))


@pytest.mark.parametrize("name", ["", "missing"])
def test_empty_or_missing_root_names_the_override(tmp_path, name):
    with pytest.raises(DataError, match=r"expected one folder .*(empty|not exist).*data\.root=<dir>"):
        ImageFolder(tmp_path / name).load(Decoder(8, 3))


@pytest.mark.parametrize("classes", [["a", None], {"a": "calm", "b": None}])
def test_null_is_no_class(class_tree, classes):
    with pytest.raises(DataError, match=r"data\.classes holds null"):
        ImageFolder(class_tree, classes).load(Decoder(8, 3))


def test_folders_may_be_numbers(class_tree):
    for split in ("train", "val", "test"):
        for number, name in enumerate(("a", "b")):
            (class_tree / split / name).rename(class_tree / split / str(number))
    assert ImageFolder(class_tree, [0, 1]).space.classes == ("0", "1")
    assert len(ImageFolder(class_tree, [0, 1]).load(Decoder(8, 3)).train)


def test_empty_test_folder_is_an_error(class_tree):
    for path in (class_tree / "test").rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"class folders with images in .*test"):
        ImageFolder(class_tree).load(Decoder(8, 3))


def test_too_many_corrupt_images_stop_loading(class_tree):
    (class_tree / "train" / "a" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 6 images of .*train.*a/1.png: the file is empty.*data\.max_rejected="):
        ImageFolder(class_tree).load(Decoder(8, 3))
    train = ImageFolder(class_tree).load(Decoder(8, 3, max_rejected=0.2)).train
    assert values(train) == [0, 2, 3, 4, 5]
    assert train.labels.tolist() == [0, 0, 1, 1, 1]
