"""Labeled sets in small, on disk as they are published."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

RAFDB_LABELS = {"train": [1, 2, 3, 4, 5, 6, 7], "test": [7, 6, 5, 4, 3, 2, 1]}
AFFECTNET_LABELS = {"train": [0, 1, 2, 3, 4, 5, 6, 7, 8, 10], "val": [7, 6, 5, 4, 3, 2, 1, 0, 9]}
ABAW_HEADER = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
EMOTION_OF_SEQUENCE = {"S005/001": 3, "S010/002": 1, "S011/001": 5, "S014/004": 7}


def draw(path: Path, value: int = 0, size: tuple[int, int] = (12, 12), corner: int | None = None) -> None:
    """Write an image of `value`; with `corner` its lower right quarter has that value instead."""
    pixels = np.full((*size, 3), value, np.uint8)
    if corner is not None:
        pixels[size[0] // 2 :, size[1] // 2 :] = corner
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=100) if path.suffix == ".jpg" else Image.fromarray(pixels).save(path)


def write(path: Path, lines: Sequence[str], newline: str = "\n", encoding: str = "utf-8") -> Path:
    """Write the lines of an annotation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(newline.join([*lines, ""]).encode(encoding))
    return path


def rafdb(root: Path) -> Path:
    """Seven training and seven test faces; the boxes cut out the lower right quarter."""
    lines = []
    for split, labels in RAFDB_LABELS.items():
        for number, label in enumerate(labels, 1):
            stem = f"{split}_{number:05d}"
            lines.append(f"{stem}.jpg {label}")
            draw(root / "Image/aligned" / f"{stem}_aligned.jpg", 10 * number + 5 * (split == "test"))
            draw(root / "Image/original" / f"{stem}.jpg", 0, (24, 32), corner=200)
            write(root / "Annotation/boundingbox" / f"{stem}_boundingbox.txt", ["16.000 12.0 32.0000 24.0 "])
    write(root / "EmoLabel/list_patition_label.txt", lines)
    return root


def affectnet_lists(root: Path) -> Path:
    """The layout of 2017: faces cut out of the lower right quarter of photos."""
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    for name, labels in {"training": AFFECTNET_LABELS["train"], "validation": AFFECTNET_LABELS["val"]}.items():
        lines = [header]
        for number, label in enumerate(labels):
            file = f"{number % 3}/{name}{number}.jpg"
            lines.append(f"{file},16,12,16,12,1.0;2.0;3.0,{label},0.1,-0.2")
            draw(root / "Manually_Annotated_Images" / file, 0, (24, 32), corner=200)
        write(root / f"{name}.csv", lines)
    return root


def affectnet_annotations(root: Path) -> Path:
    """The later layout; half of the labels are strings, half numbers."""
    for name, labels in AFFECTNET_LABELS.items():
        for number, label in enumerate(labels):
            draw(root / f"{name}_set/images/{number}.jpg", 10 * number)
            (root / f"{name}_set/annotations").mkdir(exist_ok=True)
            stored = np.array(str(label)) if number % 2 else np.array(label)
            np.save(root / f"{name}_set/annotations/{number}_exp.npy", stored)
    return root


def expw(root: Path) -> Path:
    """Photos of two faces each, one above the other."""
    lines = []
    for number in range(14):
        photo = f"angry_woman {number}.jpg"
        draw(root / "image/origin" / photo, 0, (24, 32), corner=200)
        lines.append(f"{photo} 0 12 16 32 24 {50 + number}.5 {number % 7}")
        lines.append(f"{photo} 1 0 0 16 12 30.0 {(number + 1) % 7}")
    write(root / "label/label.lst", lines)
    return root


def sfew(root: Path) -> Path:
    """Frames of two films in the class folders of both splits."""
    for split in ("Train", "Val"):
        for name in ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"):
            for film in ("Airheads", "Four_Weddings"):
                draw(root / split / f"{split}_Aligned_Faces" / name / f"{film}_000519240_00000005.png")
    return root


def ckplus(root: Path) -> Path:
    """Four labeled sequences of six frames and one without a label."""
    for place in (*EMOTION_OF_SEQUENCE, "S014/005"):
        stem = place.replace("/", "_")
        for frame in range(1, 7):
            draw(root / "cohn-kanade-images" / place / f"{stem}_{frame:08d}.png", 10 * frame)
        if place in EMOTION_OF_SEQUENCE:
            path = root / "Emotion" / place / f"{stem}_00000006_emotion.txt"
            write(path, [f"   {EMOTION_OF_SEQUENCE[place]:.7e}"])
    return root


def ckplus_folders(root: Path) -> Path:
    """Class folders of two people."""
    for name in ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise"):
        for person in ("S005", "S010"):
            draw(root / name / f"{person}_001_00000011.png", size=(48, 48))
    return root


def ckplus_csv(root: Path) -> Path:
    """One face of each class."""
    lines = ["emotion,pixels,Usage", *(f"{label},{' '.join(['7'] * 2304)},Training" for label in range(8))]
    write(root / "ckextended.csv", lines)
    return root


def jaffe(root: Path) -> Path:
    """Three people, each with all expressions, and a file that is no face of the set."""
    for person in ("KA", "KL", "YM"):
        for number, code in enumerate(("AN", "DI", "FE", "HA", "NE", "SA", "SU")):
            draw(root / "jaffe" / f"{person}.{code}1.{number}.tiff", number)
    draw(root / "montage.png")
    return root


def kdef(root: Path) -> Path:
    """Two people in two sessions and two angles."""
    for person in ("F01", "M02"):
        for session in "AB":
            for code in ("AF", "AN", "DI", "HA", "NE", "SA", "SU"):
                for angle in ("S", "FL"):
                    Path(root / f"{session}{person}").mkdir(parents=True, exist_ok=True)
                    pixels = np.zeros((12, 12, 3), np.uint8)
                    Image.fromarray(pixels).save(root / f"{session}{person}/{session}{person}{code}{angle}.JPG")
    return root


def affwild2(root: Path) -> Path:
    """Three training and two validation videos of ten lines, over both image roots; frame 3 was not detected."""
    videos = {"Train_Set": ["v1", "v2_left", "v2_right"], "Validation_Set": ["w1", "w2"]}
    for split, names in videos.items():
        for place, name in enumerate(names):
            labels = [(place + line) % 9 - 1 for line in range(10)]
            write(root / "EXPR_Recognition_Challenge" / split / f"{name}.txt", [ABAW_HEADER, *map(str, labels)])
            images = root / ("cropped_aligned_new_50_vids" if name in ("v1", "w2") else "cropped_aligned")
            for frame in [1, 2, *range(4, 11)]:
                draw(images / name / f"{frame:05d}.jpg", 20 * frame)
    return root


def dfew(root: Path) -> Path:
    """Seven training and seven test clips of 16 frames."""
    for split, first in (("train", 1), ("test", 8)):
        lines = ["video_name,label", *(f"{first + number},{number + 1}" for number in range(7))]
        write(root / f"EmoLabel_DataSplit/{split}(single-labeled)/set_1.csv", lines)
        for number in range(7):
            for frame in range(1, 17):
                draw(root / f"Clip/clip_224x224_16f/{first + number:05d}/{frame:02d}.jpg", frame)
    return root
