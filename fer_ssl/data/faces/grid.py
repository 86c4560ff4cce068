"""Where pixels lie: on the flattened skin that features are drawn on, and in the picture it is wrapped into."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fer_ssl.data.faces.scene import Scene
from fer_ssl.data.faces.shapes import bump

Layer = tuple[Tensor, Tensor]
"""A mask that broadcasts to [N, H, W] and the colour [N, 3] to lay over the picture through it."""

HALF_WIDTH, TOP, BOTTOM = 0.82, -1.1, 1.2  # the skin's extent in u and v
DENSITY = 1.1  # pixels of skin to a pixel of picture
YAW_RADIUS = 0.86  # of the cylinders that the skin is wrapped around
PITCH_RADIUS = 1.2
NOSE_DEPTH = 0.2


def paint(pixels: Tensor, layers: Iterable[Layer]) -> None:
    """Lay colours over pixels [N, 3, H, W] in place, in order."""
    for mask, color in layers:
        pixels.lerp_(color[..., None, None], mask[:, None])


@dataclass(frozen=True)
class Patch:
    """A part of the skin: columns `u` [1, 1, W] and rows `v` [1, H, 1] in units of half a head's height.

    u is 0 on the middle line, v is 0 at the nose's root and points down. `fold` is the distance from the middle line,
    so that one shape serves both halves of the face; `soft` is the width of an edge.
    """

    u: Tensor
    v: Tensor
    soft: float

    @property
    def fold(self) -> Tensor:
        return self.u.abs()


class Skin:
    """The flattened skin of N faces, `pixels` [N, 3, H, W], fine enough for pictures of `image_size`."""

    def __init__(self, color: Tensor, image_size: int) -> None:
        width, height = (round(extent / 2 * image_size * DENSITY) for extent in (2 * HALF_WIDTH, BOTTOM - TOP))
        self.pixels = color[..., None, None].repeat(1, 1, height, width)
        self.u = ((torch.arange(width) + 0.5) / width * 2 - 1) * HALF_WIDTH
        self.v = (torch.arange(height) + 0.5) / height * (BOTTOM - TOP) + TOP
        self.soft = 2.2 / (image_size * DENSITY)

    def window(self, half_width: float, top: float, bottom: float) -> tuple[Tensor, Patch]:
        """Return the pixels where |u| < `half_width` and `top` < v < `bottom`, to paint on, and where they lie."""
        columns = _span(self.u.abs() < half_width)
        rows = _span((self.v > top) & (self.v < bottom))
        return self.pixels[:, :, rows, columns], Patch(self.u[columns], self.v[rows][:, None], self.soft)

    def wrap(self, view: "View") -> Tensor:
        """Return the skin as the picture shows it, [N, 3, S, S]."""
        middle, reach = (TOP + BOTTOM) / 2, (BOTTOM - TOP) / 2
        places = torch.stack([view.u * (1 / HALF_WIDTH), (view.v - middle) * (1 / reach)], 3)
        return functional.grid_sample(self.pixels, places, padding_mode="border", align_corners=False)


def _span(used: Tensor) -> slice:
    places = used.nonzero().flatten().tolist()
    return slice(places[0], places[-1] + 1)


@dataclass(frozen=True)
class View:
    """The pixels of a picture, [N, S, S]: `x`, `y` in the plane of the upright head, `u`, `v` on its turned skin.

    `soft` [N, 1, 1] is the width of an edge.
    """

    x: Tensor
    y: Tensor
    u: Tensor
    v: Tensor
    soft: Tensor


def look(scene: Scene, image_size: int) -> View:
    """Place the pixels on heads turned by roll, then by yaw and pitch; the nose sticks out of the cylinder."""
    steps = (torch.arange(image_size) + 0.5) / image_size * 2 - 1
    across = (steps - scene.shift_x) * scene.scale
    down = (steps[:, None] - scene.shift_y) * scene.scale
    cos, sin = scene.roll.cos(), scene.roll.sin()
    x, y = across * cos + down * sin, down * cos - across * sin
    u = _unroll(x, YAW_RADIUS) - YAW_RADIUS * scene.yaw
    v = _unroll(y, PITCH_RADIUS) - PITCH_RADIUS * scene.pitch
    u = u - bump(u, v - 0.22, 0.5, 0.5).mul_(NOSE_DEPTH * scene.yaw)
    return View(x, y, u, v, scene.scale * (2.4 / image_size))


def _unroll(x: Tensor, radius: float) -> Tensor:
    return (x * (1 / radius)).clamp_(-0.985, 0.985).asin_().mul_(radius)
