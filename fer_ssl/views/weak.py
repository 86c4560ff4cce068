"""The weak view: a random flip and a random crop of the zero-padded face, without interpolation."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from fer_ssl.errors import ConfigError
from fer_ssl.views.rows import integers, piece_size, side_of, uniforms


class Crop(NamedTuple):
    """Where each view is cut from its face: flip first, then read `dy` rows lower and `dx` columns to the right."""

    flip: Tensor  # bool [B]
    dx: Tensor  # int64 [B], pixels, in [-padding, padding]
    dy: Tensor  # int64 [B]


CROP_COLUMNS = 3


def draw_crop(uniform: Tensor, padding: int, flip: float) -> Crop:
    """Turn `uniform` [B, CROP_COLUMNS] into crops of at most `padding` pixels, flipped with probability `flip`."""
    across, down, side = uniform.unbind(1)
    return Crop(side < flip, integers(across, -padding, padding), integers(down, -padding, padding))


def crop_faces(images: Tensor, crop: Crop, padding: int) -> Tensor:
    """Cut `crop` out of uint8 `images` [B, C, S, S] zero-padded by `padding` pixels; return the same shape.

    Both mirror images are laid out padded in one buffer, so that each row of a view is one contiguous run of bytes.
    """
    batch, channels, side, _ = images.shape
    padded = functional.pad(torch.stack((images, images.flip(-1))), [padding] * 4)
    width = side + 2 * padding
    plane = (crop.flip * batch + torch.arange(batch, device=images.device))[:, None] * channels
    plane = plane + torch.arange(channels, device=images.device)
    top = plane * width + (crop.dy + padding)[:, None]
    rows = top[:, :, None] + torch.arange(side, device=images.device)
    starts = rows * width + (crop.dx + padding)[:, None, None]
    return padded.flatten().unfold(0, side, 1).index_select(0, starts.flatten()).view(images.shape)


class WeakView(nn.Module):
    """Crop zero-padded faces at random and mirror some, each face by its own draw.

    `padding` is a fraction of the side, rounded to pixels; `flip` is the probability of a mirror image.
    """

    def __init__(self, padding: float = 4 / 48, flip: float = 0.5) -> None:
        super().__init__()
        if not 0 <= padding < 1 or not 0 <= flip <= 1:
            raise ConfigError(
                f"a weak view cannot have padding={padding} and flip={flip}; "
                "set view.weak.padding in [0, 1) and view.weak.flip in [0, 1]"
            )
        self.padding = padding
        self.flip = flip
        self._crop_faces = crop_faces

    def forward(self, images: Tensor, generator: torch.Generator, first: int = 0, total: int | None = None) -> Tensor:
        """Return a weak view of uint8 faces [B, C, S, S], in the same shape and dtype.

        `images` are rows [first, first + B) of a global batch of `total`. Raises DataError for other images.
        """
        padding = round(self.padding * side_of(images))
        crop = draw_crop(uniforms(CROP_COLUMNS, images, generator, first, total), padding, self.flip)
        size = piece_size(images)
        pieces = zip(images.split(size), *(field.split(size) for field in crop), strict=True)
        return torch.cat([self._crop_faces(faces, Crop(*part), padding) for faces, *part in pieces])

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile what is computed; the drawing stays as it is, because a generator breaks a graph."""
        self._crop_faces = torch.compile(crop_faces, *args, **kwargs)
