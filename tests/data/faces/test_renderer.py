from dataclasses import replace

import pytest
import torch

from fer_ssl.data.faces.action_units import NAMES, SPACE
from fer_ssl.data.faces.domains import Portraits, draw_block, split_rows, studio, wild
from fer_ssl.data.faces.renderer import BATCH, render, render_split

EVEN = dict.fromkeys(SPACE.classes, 1.0)


def still(size: int = 6) -> Portraits:
    """Return posed neutral faces without hair, glasses or beard before their mouths and brows."""
    portraits = next(split_rows(draw_block(studio(1.0), "train", 0, 0), size))
    zero = torch.zeros(size, 1, 1)
    person = replace(portraits.person, bald=zero + 1, glasses=zero, beard=zero, moustache=zero, hair_length=zero)
    scene = replace(portraits.scene, **dict.fromkeys(("yaw", "pitch", "roll", "shift_x", "shift_y", "gaze_x"), zero))
    return Portraits(portraits.labels, person, dict.fromkeys(NAMES, zero), scene)


def draw(portraits: Portraits, image_size: int = 64) -> torch.Tensor:
    noise = torch.zeros(len(portraits.labels), 3, image_size, image_size)
    return render(portraits, image_size, noise).float() / 255


def with_unit(portraits: Portraits, number: int, value: float = 1.0) -> Portraits:
    column = torch.full_like(portraits.units[number], value)
    return replace(portraits, units={**portraits.units, number: column})


def with_scene(portraits: Portraits, **values: float) -> Portraits:
    columns = {name: torch.full_like(portraits.scene.yaw, value) for name, value in values.items()}
    return replace(portraits, scene=replace(portraits.scene, **columns))


UPPER, LOWER = slice(8, 32), slice(38, 62)


@pytest.mark.parametrize("number", NAMES)
def test_every_unit_changes_the_face_where_it_acts(number):
    change = (draw(with_unit(still(), number)) - draw(still())).abs().mean((0, 1))
    acts_above = number in (1, 2, 4, 5, 6, 7, 43)
    rows = UPPER if acts_above else slice(24, 62)
    assert change[rows].sum() > 0.5
    if number in (1, 2, 4, 5, 7, 43):
        assert change[LOWER].sum() < 0.05 * change[UPPER].sum()
    if number in (14, 15, 17, 20, 23, 25, 26):
        assert change[UPPER].sum() < 0.05 * change[LOWER].sum()


def mouth_height(pixels: torch.Tensor, columns: slice) -> torch.Tensor:
    """Return the mean row of the reddest pixels of the lower face, [N]."""
    red = (pixels[:, 0] - pixels[:, 1])[:, LOWER, columns]
    weight = (red - red.amin((1, 2), keepdim=True)).pow(4)
    rows = torch.arange(weight.shape[1], dtype=torch.float32)[:, None]
    return (weight * rows).sum((1, 2)) / weight.sum((1, 2))


def test_smiles_lift_the_corners_of_the_mouth_and_sadness_drops_them():
    corner, middle = slice(22, 26), slice(30, 34)
    bend = [
        (mouth_height(pixels, corner) - mouth_height(pixels, middle)).mean()
        for pixels in (draw(with_unit(still(), 12)), draw(still()), draw(with_unit(still(), 15)))
    ]
    assert bend[0] < bend[1] - 0.5 < bend[2] - 1


def test_the_jaw_drop_opens_a_dark_mouth():
    closed, opened = (draw(faces)[:, :, LOWER, 26:38].amax(1) < 0.25 for faces in (still(), with_unit(still(), 26)))
    assert opened.float().mean() > 3 * closed.float().mean() + 0.01


def test_a_frontal_face_is_symmetric():
    faces = replace(with_scene(still(), light_x=0.0), person=replace(still().person, bald=torch.ones(6, 1, 1)))
    pixels = draw(faces)[:, :, 16:56, 14:50]
    assert (pixels - pixels.flip(3)).abs().mean() < 0.01


def test_yaw_moves_the_features_and_mirrors():
    right, left = (draw(with_scene(still(), light_x=0.0, yaw=yaw))[:, :, 16:56, 14:50] for yaw in (0.4, -0.4))
    assert (right - draw(with_scene(still(), light_x=0.0))[:, :, 16:56, 14:50]).abs().mean() > 0.03
    assert (right - left.flip(3)).abs().mean() < 0.015


def test_scene_switches_act():
    gray = draw(with_scene(still(), gray=1.0))
    assert (gray.amax(1) - gray.amin(1)).max() < 0.01
    sharp, soft = draw(with_scene(still(), blur=0.0)), draw(with_scene(still(), blur=1.0))
    assert soft.diff(dim=3).abs().mean() < 0.8 * sharp.diff(dim=3).abs().mean()
    lit = draw(with_scene(still(), light_x=0.5))
    assert (lit[..., 40:56].mean((1, 2, 3)) > lit[..., 8:24].mean((1, 2, 3))).all()


def test_a_picture_looks_alike_at_every_size():
    small = draw(still(), 48)
    large = torch.nn.functional.interpolate(draw(still(), 112), 48, mode="area")
    assert (small - large).abs().mean() < 0.02


@pytest.mark.parametrize("image_size", [32, 48, 112])
def test_wild_faces_render_at_any_size(image_size):
    pixels = render_split(wild(EVEN), "pool", 0, 4, image_size) if image_size < 112 else draw(still(2), 112)
    assert pixels.shape[1:] == (3, image_size, image_size)
    assert pixels.float().std((1, 2, 3)).min() > 0.02


def test_render_split_is_deterministic_and_starts_alike_whatever_its_length():
    torch.set_num_threads(2)
    few = render_split(wild(EVEN), "pool", 5, 10, 24)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    many = render_split(wild(EVEN), "pool", 5, 300, 24)
    assert few.dtype == torch.uint8
    assert torch.equal(many[:10], few)
    assert not torch.equal(render_split(wild(EVEN), "pool", 6, 10, 24), few)
    assert len(render_split(wild(EVEN), "pool", 5, 0, 24)) == 0


def test_noise_follows_each_scene():
    scene = with_scene(still(), noise=0.1)
    noise = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert (render(scene, 64, noise).float() / 255 - draw(scene)).std() == pytest.approx(0.1, rel=0.15)


def test_batches_divide_blocks():
    assert all(len(part.labels) == BATCH for part in split_rows(draw_block(wild(EVEN), "pool", 0, 0), BATCH))
