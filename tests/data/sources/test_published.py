"""Sets in their published layouts: splits, labels, ids, subjects and crops, from miniatures on disk."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import miniatures
import numpy as np
import pytest
import torch

from fer_ssl.data.decode import Decoder
from fer_ssl.data.sources.affectnet import AffectNet
from fer_ssl.data.sources.affwild2 import AffWild2
from fer_ssl.data.sources.ckplus import CKPlus
from fer_ssl.data.sources.coded import JAFFE, KDEF
from fer_ssl.data.sources.dfew import DFEW
from fer_ssl.data.sources.expw import ExpW
from fer_ssl.data.sources.rafdb import RAFDB
from fer_ssl.data.sources.sfew import SFEW
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import Faces, Splits


def loaded(source: Any, max_rejected: float = 0.0) -> Splits:
    return source.load(Decoder(12, source.channels, max_rejected=max_rejected))


def means(faces: Faces) -> list[float]:
    return faces.images.read(torch.arange(len(faces))).flatten(1).float().mean(1).tolist()


def test_rafdb_labels_count_from_one_and_the_list_divides(tmp_path: Path) -> None:
    splits = loaded(RAFDB(miniatures.rafdb(tmp_path)))
    assert splits.train.labels.tolist() == list(range(7))
    assert splits.test is not None
    assert splits.test.labels.tolist() == list(range(6, -1, -1))
    assert splits.train.ids[0] == "train_00001_aligned.jpg"
    assert [round(mean) for mean in means(splits.train)] == [10, 20, 30, 40, 50, 60, 70]


def test_rafdb_originals_are_cut_by_their_boxes(tmp_path: Path) -> None:
    train = loaded(RAFDB(miniatures.rafdb(tmp_path), images="original")).train
    assert min(means(train)) > 190, "the lower right quarter, which the box surrounds, is bright"
    assert train.ids[0] == "train_00001.jpg"


@pytest.mark.parametrize(("make", "crops"), [(miniatures.affectnet_lists, 1), (miniatures.affectnet_annotations, 0)])
@pytest.mark.parametrize("classes", [7, 8])
def test_affectnet_in_both_layouts(tmp_path: Path, make: Callable[[Path], Path], crops: int, classes: int) -> None:
    source = AffectNet(make(tmp_path), classes)
    splits = loaded(source)
    assert source.space.classes[-1] == ("contempt" if classes == 8 else "anger")
    assert sorted(splits.train.labels.tolist()) == list(range(classes))
    assert splits.test is not None
    assert sorted(splits.test.labels.tolist()) == list(range(classes))
    assert not crops or min(means(splits.train)) > 190


def test_affectnet_pickles_are_refused(tmp_path: Path) -> None:
    miniatures.affectnet_annotations(tmp_path)
    np.save(tmp_path / "train_set/annotations/3_exp.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"3_exp.npy holds no expression"):
        loaded(AffectNet(tmp_path))


def test_expw_faces_are_cut_and_photos_stay_together(tmp_path: Path) -> None:
    splits = loaded(ExpW(miniatures.expw(tmp_path), fold=3, folds=7))
    assert splits.test is not None
    assert (len(splits.train), len(splits.test)) == (24, 4)
    assert splits.train.ids[0] == "angry_woman 0.jpg:0"
    assert [mean > 190 for mean in means(splits.train)[:4]] == [True, False, True, False]
    assert not set(splits.train.subjects) & set(splits.test.subjects)


def test_expw_leaves_out_unsure_detections(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    splits = loaded(ExpW(miniatures.expw(tmp_path), fold=None, confidence=40))
    assert splits.test is None
    assert splits.train.labels.tolist() == [number % 7 for number in range(14)]
    assert "not listed" not in caplog.text


def test_sfew_names_the_films(tmp_path: Path) -> None:
    splits = loaded(SFEW(miniatures.sfew(tmp_path)))
    assert splits.train.labels.bincount().tolist() == [2] * 7
    assert set(splits.train.subjects) == {"Airheads", "Four_Weddings"}
    assert splits.test is not None
    assert splits.test.ids[0].startswith("Val/Val_Aligned_Faces/Angry/")


def test_ckplus_takes_the_apex_and_the_first_frame(tmp_path: Path) -> None:
    source = CKPlus(miniatures.ckplus(tmp_path), fold=None)
    train = loaded(source).train
    assert len(train) == 16
    assert train.labels.bincount(minlength=8).tolist() == [4, 3, 0, 3, 0, 3, 0, 3]
    neutral, *apex = means(train)[:4]
    assert (neutral, apex) == (10, [40, 50, 60])
    assert train.ids[0] == "cohn-kanade-images/S005/001/S005_001_00000001.png"
    assert set(train.subjects) == {"S005", "S010", "S011", "S014"}


def test_ckplus_without_neutral_has_seven_classes(tmp_path: Path) -> None:
    source = CKPlus(miniatures.ckplus(tmp_path), fold=None, neutral=False)
    train = loaded(source).train
    assert source.space.classes[0] == "anger"
    assert train.labels.bincount(minlength=7).tolist() == [3, 0, 3, 0, 3, 0, 3]


def test_ckplus_class_folders_are_divided_by_person(tmp_path: Path) -> None:
    splits = loaded(CKPlus(miniatures.ckplus_folders(tmp_path), fold=1, folds=2, neutral=False))
    assert splits.test is not None
    assert (set(splits.train.subjects), set(splits.test.subjects)) == ({"S005"}, {"S010"})
    assert splits.test.labels.tolist() == list(range(7))
    with pytest.raises(
        DataError, match=r"no image of class 'neutral' .*; add some, or set data=folder for classes of your own"
    ):
        loaded(CKPlus(tmp_path, fold=1, folds=2))


def test_ckplus_as_csv_can_only_be_train(tmp_path: Path) -> None:
    train = loaded(CKPlus(miniatures.ckplus_csv(tmp_path), fold=None)).train
    assert [CKPlus(tmp_path).space.classes[label] for label in train.labels.tolist()] == [
        *("anger", "disgust", "fear", "happy", "sadness", "surprise", "neutral", "contempt")
    ]
    assert len(loaded(CKPlus(tmp_path, fold=None, neutral=False)).train) == 7
    with pytest.raises(DataError, match=r"does not name people.*data\.fold=null"):
        loaded(CKPlus(tmp_path, fold=0))


def test_jaffe_folds_leave_whole_people_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    splits = loaded(JAFFE(miniatures.jaffe(tmp_path), fold=1, folds=3))
    assert splits.test is not None
    assert set(splits.test.subjects) == {"KL"}
    assert splits.train.labels.bincount().tolist() == [2] * 7
    by_id = dict(zip(splits.test.ids.tolist(), splits.test.labels.tolist(), strict=True))
    assert JAFFE.space.classes[by_id["jaffe/KL.SA1.5.tiff"]] == "sadness"
    assert "1 images in" in caplog.text


def test_kdef_is_frontal_and_sessions_share_their_person(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    splits = loaded(KDEF(miniatures.kdef(tmp_path), fold=0, folds=2))
    assert splits.test is not None
    assert (len(splits.train), len(splits.test)) == (14, 14)
    assert set(splits.test.subjects) == {"F01"}
    assert all(name.endswith("S.JPG") for name in splits.train.ids.tolist())
    by_id = dict(zip(splits.test.ids.tolist(), splits.test.labels.tolist(), strict=True))
    assert KDEF.space.classes[by_id["BF01/BF01SUS.JPG"]] == "surprised"
    assert len(loaded(KDEF(tmp_path, fold=None, angles=["S", "FL"])).train) == 56
    assert "not listed" not in caplog.text, "other angles are left out on purpose"


def test_affwild2_frames_follow_their_numbers(tmp_path: Path) -> None:
    splits = loaded(AffWild2(miniatures.affwild2(tmp_path)))
    labels = dict(zip(splits.train.ids.tolist(), splits.train.labels.tolist(), strict=True))
    assert "v1/00001.jpg" not in labels, "line 1 says -1"
    assert "v1/00003.jpg" not in labels, "frame 3 has no image"
    assert (labels["v1/00002.jpg"], labels["v1/00004.jpg"], labels["v1/00009.jpg"]) == (0, 2, 7)
    assert labels["v2_left/00001.jpg"] == 0
    assert set(splits.train.subjects) == {"v1", "v2"}
    assert splits.test is not None
    assert set(splits.test.subjects) == {"w1", "w2"}
    values = dict(zip(splits.train.ids.tolist(), means(splits.train), strict=True))
    assert round(values["v1/00004.jpg"]) == 80


def test_affwild2_stride_thins_training_only(tmp_path: Path) -> None:
    whole, thin = (loaded(AffWild2(miniatures.affwild2(tmp_path / "set"), stride=stride)) for stride in (1, 4))
    assert thin.train.ids.tolist() == whole.train.ids.tolist()[::4]
    assert thin.test is not None
    assert whole.test is not None
    assert len(thin.test) == len(whole.test)


def test_affwild2_logs_counts_and_frames_without_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    miniatures.affwild2(tmp_path)
    miniatures.draw(tmp_path / "cropped_aligned/w1/00011.jpg")
    loaded(AffWild2(tmp_path))
    assert "1 frames of cropped_aligned/w1 have no line" in caplog.text
    assert "Train_Set: 26 labeled frames in 3 videos, 23 with an image" in caplog.text


def test_affwild2_without_a_videos_frames_stops(tmp_path: Path) -> None:
    (miniatures.affwild2(tmp_path) / "cropped_aligned/w1").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"1 of 2 images of the videos of .*Validation_Set.*w1: it is listed"):
        loaded(AffWild2(tmp_path))


def test_dfew_clips_and_their_official_split(tmp_path: Path) -> None:
    splits = loaded(DFEW(miniatures.dfew(tmp_path), frames=4))
    assert splits.train.labels.bincount().tolist() == [4] * 7
    assert splits.train.ids.tolist()[:4] == [f"00001/{frame:02d}.jpg" for frame in (3, 7, 11, 15)]
    assert splits.test is not None
    assert set(splits.test.subjects) == {f"{clip:05d}" for clip in range(8, 15)}
    with pytest.raises(DataError, match=r"expected the file .*set_2\.csv"):
        loaded(DFEW(tmp_path, fold=2))


SETS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any], str, str]] = {
    "rafdb": (miniatures.rafdb, RAFDB, "Image/aligned/train_00003_aligned.jpg", "Image/aligned/x.jpg"),
    "affectnet": (miniatures.affectnet_lists, AffectNet, "Manually_Annotated_Images/1/training1.jpg", ""),
    "affectnet_npy": (miniatures.affectnet_annotations, AffectNet, "train_set/images/1.jpg", "train_set/images/x.jpg"),
    "expw": (miniatures.expw, ExpW, "image/origin/angry_woman 5.jpg", "image/origin/x.jpg"),
    "dfew": (miniatures.dfew, DFEW, "Clip/clip_224x224_16f/00001", ""),
    "ckplus": (miniatures.ckplus, lambda root: CKPlus(root, None), "cohn-kanade-images/S005/001", ""),
}


@pytest.mark.parametrize("name", SETS)
def test_listed_images_that_are_missing_count_as_rejected(tmp_path: Path, name: str) -> None:
    make, source, image, _ = SETS[name]
    path = make(tmp_path) / image
    path.rename(tmp_path / "gone")
    with pytest.raises(DataError, match=r"listed, but not there.*data\.max_rejected="):
        loaded(source(tmp_path))
    lenient = Decoder(12, 3, max_rejected=0.5)
    source(tmp_path).load(lenient)
    assert len(lenient.rejects) in (1, 2)


@pytest.mark.parametrize("name", [name for name, row in SETS.items() if row[3]])
def test_images_that_no_list_names_are_counted(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    make, source, _, extra = SETS[name]
    miniatures.draw(make(tmp_path) / extra)
    loaded(source(tmp_path))
    assert "1 images in" in caplog.text
    assert "not listed and not used" in caplog.text


@pytest.mark.parametrize(
    "source", [RAFDB, AffectNet, ExpW, SFEW, CKPlus, JAFFE, KDEF, AffWild2, DFEW], ids=lambda source: source.__name__
)
def test_an_empty_root_names_what_is_expected(tmp_path: Path, source: Callable[[Path], Any]) -> None:
    with pytest.raises(DataError, match=r"expected .*data\.root=<dir>"):
        loaded(source(tmp_path))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda root: RAFDB(root, images="raw"), r"data\.images=aligned\|original"),  # type: ignore[arg-type]
        (lambda root: AffectNet(root, classes=6), r"data\.classes=7\|8"),
        (lambda root: KDEF(root, angles=["X"]), r"data\.angles=\[S\]"),
        (lambda root: DFEW(root, fold=0), r"data\.fold=1 to 5"),
        (lambda root: DFEW(root, frames=0), r"data\.frames=1"),
        (lambda root: AffWild2(root, stride=0), r"data\.stride=1"),
    ],
)
def test_a_wrong_option_names_its_override(tmp_path: Path, build: Callable[[Path], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(tmp_path)


def test_streamed_crops_replace_a_broken_photo(tmp_path: Path) -> None:
    (miniatures.expw(tmp_path) / "image/origin/angry_woman 0.jpg").write_bytes(b"not an image")
    decoder = Decoder(12, 3, resident=False, max_rejected=0.5)
    train = ExpW(tmp_path, fold=None).load(decoder).train
    bright = means(train)
    assert train.labels[[0, 13]].tolist() == [0, 0]
    assert bright[0] == bright[13], "the next face with that label stands in"
    assert bright[2] > 190
    assert len(decoder.rejects) == 2
    assert len(loaded(ExpW(tmp_path, fold=None), max_rejected=0.5).train) == 26
