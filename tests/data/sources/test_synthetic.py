import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_ssl.data.cache import cache_folder
from fer_ssl.data.decode import Decoder
from fer_ssl.data.sources.synthetic import SyntheticFaces, to_gray
from fer_ssl.errors import ConfigError, DataError

SMALL = {"labeled": 40, "pool": 60, "val": 14, "test": 20}


def decoder(image_size: int = 16, channels: int = 3) -> Decoder:
    return Decoder(image_size, channels)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("synthetic")


@pytest.fixture(scope="module")
def splits(cache: Path):
    return SyntheticFaces(**SMALL, cache_dir=str(cache)).load(decoder())


def test_splits_hold_what_was_asked(splits):
    assert [len(faces) for faces in splits] == [40, 14, 20, 60]
    for faces in splits:
        pixels = faces.images.pixels
        assert pixels.shape == (len(faces), 3, 16, 16)
        assert pixels.dtype == torch.uint8
        assert faces.labels.dtype == torch.int64
        assert len(faces.subjects) == len(faces)
    assert splits.train.ids[3] == "synthetic/train/000003"


def test_ids_are_unique_and_subjects_stay_in_their_split(splits):
    ids = [name for faces in splits for name in faces.ids]
    assert len(set(ids)) == len(ids)
    subjects = [set(faces.subjects) for faces in splits]
    assert sum(map(len, subjects)) == len(set.union(*subjects))
    assert len(subjects[0]) < len(subjects[3]) == 60 // 4


def test_train_is_long_tailed_the_pool_neutral_heavy_and_test_balanced(tmp_path):
    source = SyntheticFaces(labeled=700, pool=700, val=0, test=70, cache_dir=str(tmp_path))
    splits = source.load(decoder(8))
    train, pool, test = (faces.labels.bincount(minlength=7) for faces in (splits.train, splits.pool, splits.test))
    assert splits.val is None
    assert 8 < train.max() / train.min() < 12
    assert int(pool.argmax()) == source.space.index("neutral")
    assert test.max() - test.min() <= 2


def test_a_larger_pool_starts_with_the_same_faces(splits, tmp_path):
    larger = SyntheticFaces(**SMALL | {"pool": 90}, cache_dir=str(tmp_path)).load(decoder())
    assert torch.equal(larger.pool.images.pixels[:60], splits.pool.images.pixels)
    assert torch.equal(larger.pool.labels[:60], splits.pool.labels)
    assert larger.pool.ids[:60].tolist() == splits.pool.ids.tolist()


def test_the_seed_changes_every_split(splits, tmp_path):
    other = SyntheticFaces(**SMALL, seed=1, cache_dir=str(tmp_path)).load(decoder())
    for one, two in zip(splits, other, strict=True):
        assert not torch.equal(one.images.pixels, two.images.pixels)


def test_gray_faces_are_the_brightness_of_the_colored(splits, cache):
    gray = SyntheticFaces(**SMALL, cache_dir=str(cache)).load(decoder(channels=1))
    pixels = gray.train.images.pixels
    assert pixels.shape == (40, 1, 16, 16)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    luma = (splits.train.images.pixels * weights).sum(1, keepdim=True)
    assert (pixels.float() - luma).abs().max() < 2
    assert to_gray(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)).item() == 255


def test_the_second_load_reads_the_cache(splits, cache, monkeypatch):
    def refuse(*_):
        raise AssertionError("drawn again")

    monkeypatch.setattr("fer_ssl.data.sources.synthetic.render_split", refuse)
    again = SyntheticFaces(**SMALL, cache_dir=str(cache)).load(decoder())
    assert torch.equal(again.pool.images.pixels, splits.pool.images.pixels)
    with pytest.raises(AssertionError, match="drawn again"):
        SyntheticFaces(**SMALL | {"labeled": 41}, cache_dir=str(cache)).load(decoder())
    assert not list(cache.glob("*.part"))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "pickle", "shape"])
def test_a_damaged_cache_is_drawn_again_with_a_warning(splits, tmp_path, caplog, damage):
    source = SyntheticFaces(**SMALL | {"pool": 0, "test": 0, "val": 0}, cache_dir=str(tmp_path))
    source.load(decoder())
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    if damage == "pickle":
        np.savez(path, pixels=np.array([{}], dtype=object))
    elif damage == "shape":
        np.savez(path, pixels=np.zeros((2, 3, 16, 16), np.uint8))
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        path.write_bytes({"truncated": whole[:middle], "flipped": flipped, "empty": b"", "text": b"hello"}[damage])
    with caplog.at_level(logging.WARNING):
        faces = source.load(decoder()).train
    assert str(path) in caplog.text
    assert torch.equal(faces.images.pixels, splits.train.images.pixels)
    assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_names_the_override(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"data\.source\.cache_dir="):
        SyntheticFaces(**SMALL, cache_dir=str(tmp_path / "file" / "below")).load(decoder())


def test_the_cache_follows_the_xdg_base_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("synthetic") == tmp_path / "fer_ssl" / "synthetic"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("synthetic") == Path.home() / ".cache" / "fer_ssl" / "synthetic"


@pytest.mark.parametrize("wrong", [{"labeled": 0}, {"pool": -1}, {"imbalance": 0.5}])
def test_impossible_counts_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"set data\.source\."):
        SyntheticFaces(**wrong)
