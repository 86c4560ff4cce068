"""Draw portraits as soft masks laid over one another, from the backdrop to what is in front of the face."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from fer_ssl.data.faces.action_units import ActionUnits
from fer_ssl.data.faces.domains import BLOCK, Domain, Portraits, draw_block, split_rows
from fer_ssl.data.faces.draws import Draws
from fer_ssl.data.faces.features import (
    beard,
    brows,
    eyes,
    glasses,
    lower_folds,
    mouth,
    nose,
    upper_folds,
)
from fer_ssl.data.faces.grid import BOTTOM, HALF_WIDTH, Layer, Patch, Skin, View, look, paint
from fer_ssl.data.faces.person import Person
from fer_ssl.data.faces.scene import Scene
from fer_ssl.data.faces.shapes import bump, ellipse, line, ramp, ripples

VERSION = 4  # part of the cache key: raise it whenever the same parameters draw other pixels

Feature = Callable[[Patch, Person, ActionUnits], list[Layer]]

BATCH = 64  # divides BLOCK; larger ones leave the processor's cache
LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]


def render_split(domain: Domain, split: str, seed: int, count: int, image_size: int) -> Tensor:
    """Draw the first `count` faces of a split as uint8 [count, 3, S, S].

    Works in one thread and in batches of fixed size: how a machine splits its work can change the last bit of a float.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        blocks = [render_block(domain, split, seed, block, image_size) for block in range(-(-count // BLOCK))]
    finally:
        torch.set_num_threads(threads)
    return torch.cat(blocks)[:count].clone() if blocks else torch.empty(0, 3, image_size, image_size, dtype=torch.uint8)


def render_block(domain: Domain, split: str, seed: int, block: int, image_size: int) -> Tensor:
    """Draw the `block`-th BLOCK faces of a split as uint8 [BLOCK, 3, S, S]."""
    shape = (BATCH, 3, image_size, image_size)
    grain = Draws(1, seed, (split, "grain", block)).generator()
    batches = split_rows(draw_block(domain, split, seed, block), BATCH)
    return torch.cat([render(portraits, image_size, torch.randn(shape, generator=grain)) for portraits in batches])


def render(portraits: Portraits, image_size: int, noise: Tensor) -> Tensor:
    """Draw portraits as uint8 [N, 3, S, S]; `noise` [N, 3, S, S] is standard normal, scaled to each scene."""
    scene = portraits.scene
    view = look(scene, image_size)
    pixels = backdrop(view, scene)
    paint(pixels, behind(view, portraits))
    pixels.lerp_(draw_skin(portraits, image_size).wrap(view), cover_head(view, portraits)[:, None])
    paint(pixels, in_front(view, portraits))
    pixels *= light(view, scene)[:, None]
    pixels = expose(soften(pixels, scene.blur[:, None]), scene)
    return (noise * scene.noise[:, None]).add_(pixels).mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def draw_skin(portraits: Portraits, image_size: int) -> Skin:
    """Paint the features, each in a window (half width, top, bottom) around all it may touch."""
    scene = portraits.scene
    parts: list[tuple[Feature, tuple[float, float, float]]] = [
        (lower_folds, (0.65, -0.05, 1.0)),
        (beard, (HALF_WIDTH, 0.2, BOTTOM)),
        (mouth, (0.58, 0.22, 0.98)),
        (nose, (0.3, -0.35, 0.42)),
        (upper_folds, (0.7, -0.75, 0.15)),
        (partial(eyes, gaze=(scene.gaze_x, scene.gaze_y)), (0.65, -0.4, 0.15)),
        (brows, (0.65, -0.7, -0.1)),
        (glasses, (HALF_WIDTH, -0.4, 0.2)),
    ]
    skin = Skin(portraits.person.skin, image_size)
    for feature, window in parts:
        pixels, patch = skin.window(*window)
        paint(pixels, feature(patch, portraits.person, portraits.units))
    return skin


def backdrop(view: View, scene: Scene) -> Tensor:
    """Return a ramp between two colours [N, 3, H, W]."""
    along = (view.x * scene.backdrop_angle.cos() + view.y * scene.backdrop_angle.sin()) * 0.45 + 0.5
    return torch.lerp(scene.backdrop[..., None, None], scene.backdrop_far[..., None, None], along.clamp(0, 1)[:, None])


def cover_head(view: View, portraits: Portraits, grow: float | Tensor = 0.0) -> Tensor:
    """Return the coverage [N, H, W] of the head, which AU26 makes longer and `grow` larger."""
    person, low = portraits.person, view.y.clamp_min(0)
    across = view.x - 0.2 * portraits.scene.yaw * low
    across /= low.square().mul_(-person.jaw_taper * person.head_width).add_(person.head_width + grow)
    down = view.y.clamp_max(0).div_(0.95 + grow).add_(low.div_(person.chin + 0.12 * portraits.units[26] + grow))
    radius = across.square_().add_(down.square_()).sqrt_()
    return radius.mul_(-0.8 / view.soft).add_(0.8 / view.soft + 0.5).clamp_(0, 1)


def behind(view: View, portraits: Portraits) -> list[Layer]:
    """Paint long hair, shoulders, neck and ears; the ear that is turned away hides behind the head."""
    person, scene = portraits.person, portraits.scene
    drop = view.y - person.hair_length * 0.45
    long = ellipse(view.x + 0.15 * scene.yaw, drop, person.head_width + 0.16, 0.9, view.soft)
    long *= (person.hair_length + 0.15 - view.y).mul_(3).clamp_(0, 1) * (person.hair_length > 0)
    neck = line(view.x + 0.1 * scene.yaw, 0.38, view.soft) * (view.y > 0.3)
    cloth = ellipse(view.x, view.y - 1.75, 1.2, 0.72, view.soft)
    turned_away = (view.x.sign() * scene.yaw).clamp_min_(0)
    beside = view.x.abs() - (person.head_width - 0.02) + 0.3 * turned_away
    ears = ellipse(beside, view.y - 0.02 - 0.5 * scene.pitch, 0.1, 0.17, view.soft)
    return [
        (long, person.hair * 0.85),
        (neck, person.skin * 0.72),
        (cloth, person.cloth),
        (ears, person.skin * 0.9),
    ]


def in_front(view: View, portraits: Portraits) -> list[Layer]:
    """Paint the hair over the forehead and what happens to be in the way."""
    scene = portraits.scene
    x, y = view.x - scene.occluder_x, view.y - scene.occluder_y
    blocked = ellipse(x, y, scene.occluder_width, scene.occluder_height, view.soft) * scene.occluded
    return [*fringe(view, portraits), (blocked, scene.occluder)]


def fringe(view: View, portraits: Portraits) -> list[Layer]:
    """Paint the hair that grows on the head, with a streak of light."""
    person = portraits.person
    u = view.u - person.hair_part
    wisps = ripples(u * 6 + view.v) * (0.02 + person.hair_curl)
    temples = (view.u.abs() - 0.4).clamp_min_(0).square_().mul_(9)
    edge = torch.minimum(person.hairline + person.hair_slope * u.abs() + temples, person.hair_end) + wisps
    top = (person.hair_end + 0.3 - view.y).mul_(2).clamp_(0, 1) * (person.hair_volume * (1 - 0.5 * view.y))
    grown = cover_head(view, portraits, top + wisps)
    mask = grown * ramp(edge - view.v, 2 * view.soft) * (1 - person.bald)
    shine = bump(view.x - 0.3, view.y + 0.85, 0.7, 0.16).mul_(0.25)
    return [(mask, person.hair), (mask * shine, (person.hair * 1.6 + 0.12).clamp(max=1))]


def light(view: View, scene: Scene) -> Tensor:
    """Return the brightness [N, H, W] of a rounded head lit from one side."""
    slope = scene.light_x * view.x - scene.light_y * view.y
    round_off = (view.x.square() + 0.5 * view.y.square()).mul_(0.16)
    return slope.sub_(round_off).add_(1.04).clamp_(0.12, 1.3)


def soften(pixels: Tensor, share: Tensor) -> Tensor:
    """Mix pixels [N, 3, S, S] with their Gaussian blur of 2.5 % of the picture's width."""
    steps = torch.arange(pixels.shape[-1])
    sigmas = (steps - steps[:, None]) / (0.025 * len(steps))
    taps = torch.exp(-0.5 * sigmas.square()) * (sigmas.abs() < 4)  # farther ones are denormal, hence slow
    taps = taps / taps.sum(1, keepdim=True)
    return pixels.lerp_(taps @ pixels @ taps.T, share)


def expose(pixels: Tensor, scene: Scene) -> Tensor:
    """Apply contrast, exposure and colour cast; make some pictures black and white."""
    contrast, gain = scene.contrast[:, None], scene.exposure[:, None] * scene.cast[..., None, None]
    pixels = pixels.mul_(contrast * gain).add_((0.5 - 0.5 * contrast) * gain)
    luma = (pixels * LUMA).sum(1, keepdim=True)
    return pixels.lerp_(luma, scene.gray[:, None])
