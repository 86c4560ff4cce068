"""Faces and batches on the device that trains: resident faces copied once, batches sent while it computes."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from fer_ssl.data.images import ResidentImages
from fer_ssl.data.joined import JoinedImages
from fer_ssl.types import Batch, Faces, Images

SHARE = 0.5  # of the device's free memory that one set of faces may take; the rest is for the step


def decoded(images: Images) -> Tensor | None:
    """Return the pixels uint8 [N, C, H, W] of faces in memory, None where some are read on demand."""
    if isinstance(images, ResidentImages):
        return images.pixels
    if isinstance(images, JoinedImages) and in_memory(images):
        return images.read(torch.arange(len(images)))
    return None


def in_memory(images: Images) -> bool:
    """Say whether no face has to be read from storage."""
    if isinstance(images, JoinedImages):
        return all(in_memory(part) for part in images.parts)
    return isinstance(images, ResidentImages)


class Placement:
    """Decide which sets of faces live on `device`, and keep their copies there.

    `resident` is that of the configuration: `device` always, `auto` where a set fits in a share of the free memory.
    On a CPU all stay as they are.
    """

    def __init__(self, resident: bool | str, device: torch.device) -> None:
        self.wanted = device.type != "cpu" and resident in ("auto", "device")
        self.always = resident == "device"
        self.device = device
        self._placed: dict[int, tuple[Images, Images]] = {}  # of each set by its identity: on the host, on the device

    def __call__(self, faces: Faces) -> Faces:
        """Return `faces` with images on the device where they belong there; a set is copied once."""
        if not self.wanted or not len(faces):
            return faces
        images = faces.images
        if id(images) not in self._placed:
            self._placed[id(images)] = images, self._place(images)
        return replace(faces, images=self._placed[id(images)][1])

    def _place(self, images: Images) -> Images:
        pixels = decoded(images)
        if pixels is None or not (self.always or pixels.nbytes <= SHARE * self.free_bytes()):
            return images
        return ResidentImages(pixels.to(self.device))

    def free_bytes(self) -> float:
        """Return the device's free memory; none where torch cannot say."""
        return torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else 0


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Return `batch` on `device`, from pinned memory, so that the host does not wait for the copy."""
    return Batch._make(send(value, device) if isinstance(value, Tensor) else value for value in batch)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return `tensor` on `device`; from a CPU to CUDA through pinned memory, without waiting."""
    pinned = tensor.pin_memory() if device.type == "cuda" and tensor.device.type == "cpu" else tensor
    return pinned.to(device, non_blocking=True)


def ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield the endless `batches` on a CUDA `device`, each sent on a stream of its own during the step before."""
    stream, computing = torch.cuda.Stream(device), torch.cuda.current_stream(device)

    def sent() -> Batch:
        with torch.cuda.stream(stream):
            return on_device(next(batches), device)

    upcoming = sent()
    while True:
        batch = upcoming
        computing.wait_stream(stream)
        for value in batch:
            if isinstance(value, Tensor):
                value.record_stream(computing)  # else its memory could be reused while the step still reads it
        upcoming = sent()
        yield batch
