"""Soft masks: each returns the share in [0, 1] of a pixel that a shape covers; `soft` is the width of an edge.

Coordinates may be planes [N, H, W] or anything that broadcasts to them: rows and columns are cheaper than planes.
"""

import torch
from torch import Tensor

Number = Tensor | float


def ramp(height: Tensor, soft: Number) -> Tensor:
    """Return the coverage of the region where `height` is positive."""
    return (height * (1 / soft) + 0.5).clamp_(0, 1)


def between(y: Tensor, top: Tensor, bottom: Tensor, soft: Number) -> Tensor:
    """Return the share of the interval of width `soft` around `y` that lies from `top` to `bottom`."""
    covered = torch.minimum(y + soft / 2, bottom) - torch.maximum(y - soft / 2, top)
    return (covered * (1 / soft)).clamp_(0, 1)


def line(offset: Tensor, reach: float, soft: Number) -> Tensor:
    """Return a pen stroke of half width `reach`; one thinner than a pixel keeps its ink."""
    fade = ((reach + soft / 2) - offset.abs()) * (1 / soft)
    return fade.clamp_min_(0).clamp_max_(2 * reach / soft).clamp_max_(1)


def radius(x: Tensor, y: Tensor, rx: Number, ry: Number) -> Tensor:
    """Return the distance from the origin, which is 1 on the ellipse of radii `rx`, `ry`."""
    return ((x * (1 / rx)).square() + (y * (1 / ry)).square()).sqrt_()


def ellipse(x: Tensor, y: Tensor, rx: Number, ry: Number, soft: Number) -> Tensor:
    """Return the coverage of the ellipse of radii `rx`, `ry` around the origin."""
    return ramp(1 - radius(x, y, rx, ry), soft * (0.5 / rx + 0.5 / ry))


def bump(x: Tensor, y: Tensor, rx: Number, ry: Number) -> Tensor:
    """Return a smooth hill of height 1 that falls to 0 at the radii `rx`, `ry`."""
    return ((1 - (x * (1 / rx)).square()) - (y * (1 / ry)).square()).clamp_min_(0).square_()


def ripples(phase: Tensor) -> Tensor:
    """Return a wave in [0, 1] of period 1, made of triangles."""
    return (phase - phase.floor()).sub_(0.5).abs_().mul_(2)


def arc(along: Tensor) -> Tensor:
    """Return a parabola that is 1 in the middle of [-1, 1] and negative beyond its ends."""
    return 1 - along.square()
