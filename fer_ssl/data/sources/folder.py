"""Labeled faces as image files in class folders."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import ImageFiles, hold
from fer_ssl.errors import DataError
from fer_ssl.types import Faces, LabelSpace, Splits, class_name

log = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
# in small letters
SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
OWN_CLASSES = "set data=folder for classes of your own"


class ImageFolder:
    """Any `root/<class>/` tree of images, or such trees in `root/train`, `root/val` and `root/test`.

    `classes` orders the class folders (default: alphabetical), or maps each folder to its class, in the order of the
    classes; a folder that it names is a class, whatever its name. The ids are the paths below `root`.
    """

    def __init__(
        self, root: str | Path, classes: Sequence[str] | Mapping[str, str] | None = None, channels: int = 3
    ) -> None:
        self.root = Path(root)
        self.classes = classes
        self.channels = channels

    @cached_property
    def folders(self) -> dict[str, str]:
        """Return the class of each class folder; raise DataError when there is none, or when one looks like a split."""
        if isinstance(self.classes, Mapping):
            return {str(folder): class_name(name) for folder, name in self.classes.items()}
        names = subfolders(self._train) if self.classes is None else [class_name(name) for name in self.classes]
        if not names:
            raise DataError(
                f"expected one folder of images per class in {self._train}, but {found(self._train)}; "
                "set data.root=<dir>"
            )
        if self.classes is None and self._train == self.root and (split := split_among(names)):
            raise DataError(
                f"folder {self.root / split} looks like a split, but there is no {self.root / 'train'} beside it; name "
                f"the splits train/, val/ and test/, or set data.classes=[{','.join(names)}] where it is a class"
            )
        return {name: name for name in names}

    @cached_property
    def space(self) -> LabelSpace:
        """Return the classes in order; raise DataError when the root has none."""
        return LabelSpace(self.root.name, tuple(dict.fromkeys(self.folders.values())))

    def load(self, decoder: Decoder) -> Splits:
        """Return the training faces and, where they have folders, validation and test.

        Raises DataError for a folder that is no class and for a class without training images.
        """
        train = self._faces(self._train, decoder)
        require_every_class(train.labels, self.space, self._train)
        others = {}
        if self._train != self.root:
            for split in ("val", "test"):
                folder = self._split(split)
                others[split] = self._faces(folder, decoder) if folder else None
        return Splits(train, **others)

    @cached_property
    def _train(self) -> Path:
        return self._split("train") or self.root

    def _split(self, split: str) -> Path | None:
        classes = self.classes or ()
        names = [name for name in subfolders(self.root) if name.lower() in SPLITS[split] and name not in classes]
        if len(names) > 1:
            raise DataError(f"{self.root} has {' and '.join(names)}, each a {split} split; leave one of them there")
        return self.root / names[0] if names else None

    def _faces(self, folder: Path, decoder: Decoder) -> Faces:
        names, labels = labeled_files(self.root, folder, self.folders, self.space)
        return hold(ImageFiles(self.root, names), names, decoder, str(folder), labels)


def labeled_files(
    root: Path, folder: Path, folders: Mapping[str, str], space: LabelSpace
) -> tuple[NDArray[np.str_], Tensor]:
    """Return the images in the class folders of `folder` as paths below `root`, sorted, and their labels int64 [N].

    Raises DataError for a class folder that `folders` does not know and for a folder without any image.
    """
    names: list[str] = []
    labels: list[int] = []
    for name in subfolders(folder):
        if name not in folders:
            raise DataError(
                f"folder {folder / name} is none of the classes {', '.join(folders)}; "
                f"remove it, or set data.classes=[...,{name}]"
            )
        files = image_names(folder / name)
        names += [(folder / name / file).relative_to(root).as_posix() for file in files]
        labels += [space.index(folders[name])] * len(files)
    if not names:
        raise DataError(f"expected class folders with images in {folder}, but {found(folder)}; set data.root=<dir>")
    return np.array(names), torch.tensor(labels)


def require_every_class(labels: Tensor, space: LabelSpace, folder: Path, otherwise: str | None = None) -> None:
    """Raise DataError for a class without any image; `otherwise` is what mends that where classes cannot be chosen."""
    counts = np.bincount(labels.numpy(), minlength=len(space))
    empty = [name for name, count in zip(space.classes, counts, strict=True) if count == 0]
    if empty:
        remedy = otherwise or f"set data.classes=[...] without {empty[0]!r}"
        raise DataError(f"no image of class {empty[0]!r} in {folder}; add some, or {remedy}")


def split_among(names: Iterable[str]) -> str | None:
    """Return the first of some names of classes that is rather one of a split, or None."""
    return next((name for name in names if any(name.lower() in known for known in SPLITS.values())), None)


def image_names(folder: Path) -> list[str]:
    """Return the image files below `folder` at any depth as sorted paths relative to it.

    Hidden files and folders are left out; with a warning, folders that cannot be read or are links, and names that are
    no text.
    """
    names: list[str] = []
    left_out: list[str] = []

    def unreadable(error: OSError) -> None:
        if folder.is_dir() or isinstance(error, PermissionError):  # of a folder that is none, the caller tells
            left_out.append(str(error))

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        below = os.path.relpath(parent, folder)
        folders[:] = shown(folders)
        links = [link for link in (Path(parent, name) for name in folders) if link.is_symlink()]
        left_out += [f"{link} is a link to a folder, which is not followed" for link in links]
        images = [name for name in shown(files) if name.lower().endswith(SUFFIXES)]
        left_out += [f"{os.fsencode(name)!r} is no name in UTF-8" for name in images if not is_text(name)]
        images = [name for name in images if is_text(name)]
        names += images if below == "." else [f"{below}/{name}" for name in images]
    if left_out:
        log.warning("%s: %d files or folders are left out, the first: %s", folder, len(left_out), left_out[0])
    return sorted(names)


def shown(names: Iterable[str]) -> list[str]:
    """Return the names that are not hidden."""
    return [name for name in names if not name.startswith(".")]


def is_text(name: str) -> bool:
    """Say whether a name of the file system is text in UTF-8, as ids are."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in `folder`, sorted, hidden ones left out."""
    if not folder.is_dir():
        return []
    return sorted(shown(path.name for path in folder.iterdir() if path.is_dir()))


def found(path: Path) -> str:
    """Say what is at `path`, as the end of an error message."""
    if not path.exists():
        return "it does not exist"
    if path.is_file():
        return "it is a file"
    names = sorted(child.name for child in path.iterdir())
    return f"it holds {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else "it is empty"
