"""Who is in the picture: geometry, skin, hair and what is worn, the same in all faces of a subject."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from fer_ssl.data.faces.draws import Draws

SKINS = torch.tensor(
    [
        [0.30, 0.18, 0.12],
        [0.45, 0.29, 0.20],
        [0.62, 0.43, 0.31],
        [0.78, 0.58, 0.45],
        [0.89, 0.71, 0.59],
        [0.97, 0.83, 0.75],
    ]
)
HAIRS = torch.tensor(
    [
        [0.07, 0.06, 0.06],
        [0.13, 0.09, 0.07],
        [0.26, 0.16, 0.10],
        [0.42, 0.27, 0.16],
        [0.62, 0.44, 0.24],
        [0.60, 0.58, 0.56],
    ]
)
EYES = torch.tensor([[0.13, 0.08, 0.05], [0.28, 0.17, 0.08], [0.33, 0.33, 0.17], [0.30, 0.45, 0.58]])
CLOTHES = torch.tensor([[0.12, 0.14, 0.2], [0.7, 0.2, 0.2], [0.85, 0.85, 0.8], [0.2, 0.4, 0.6], [0.2, 0.45, 0.3]])


@dataclass(frozen=True)
class Person:
    """Lengths in units of half a head height, [N, 1, 1]; colours [N, 3] in [0, 1]; switches are 0 or 1."""

    skin: Tensor
    hair: Tensor
    iris: Tensor
    lips: Tensor
    cloth: Tensor
    head_width: Tensor
    jaw_taper: Tensor
    chin: Tensor
    eye_gap: Tensor
    eye_width: Tensor
    eye_open: Tensor
    eye_tilt: Tensor
    brow_height: Tensor
    brow_slope: Tensor
    brow_arch: Tensor
    brow_thickness: Tensor
    nose_length: Tensor
    nose_width: Tensor
    mouth_drop: Tensor
    mouth_width: Tensor
    mouth_rest: Tensor
    lip_fullness: Tensor
    age: Tensor
    hairline: Tensor
    hair_volume: Tensor
    hair_slope: Tensor
    hair_curl: Tensor
    hair_end: Tensor
    hair_length: Tensor
    hair_part: Tensor
    bald: Tensor
    beard: Tensor
    moustache: Tensor
    glasses: Tensor
    glasses_size: Tensor
    glasses_dark: Tensor


def draw_people(draws: Draws) -> Person:
    """Draw `draws.count` people."""
    skin = draws.mix(SKINS, jitter=0.015)
    male = draws.chance(0.5)
    long = (1 - male) * draws.chance(0.8)
    bearded = male * draws.chance(0.3)
    return Person(
        skin=skin,
        hair=draws.mix(HAIRS, jitter=0.008),
        iris=draws.mix(EYES, jitter=0.02),
        lips=skin * 0.55 + torch.tensor([0.33, 0.10, 0.11]) + draws.normal(0.03, (draws.count, 3)),
        cloth=draws.mix(CLOTHES, jitter=0.05),
        head_width=draws.between(0.68, 0.80),
        jaw_taper=draws.between(0.08, 0.30),
        chin=draws.between(0.92, 1.02),
        eye_gap=draws.between(0.30, 0.355),
        eye_width=draws.between(0.165, 0.205),
        eye_open=draws.between(0.07, 0.098),
        eye_tilt=draws.normal(0.06),
        brow_height=draws.between(0.205, 0.26),
        brow_slope=draws.normal(0.014),
        brow_arch=draws.between(0.02, 0.06),
        brow_thickness=draws.between(0.035, 0.065) + 0.02 * male,
        nose_length=draws.between(0.27, 0.37),
        nose_width=draws.between(0.095, 0.15),
        mouth_drop=draws.between(0.22, 0.28),
        mouth_width=draws.between(0.26, 0.33),
        mouth_rest=draws.normal(0.014),
        lip_fullness=draws.between(0.045, 0.085) - 0.01 * male,
        age=draws.between(0, 1).square(),
        hairline=draws.between(-0.98, -0.66),
        hair_volume=draws.between(0.05, 0.16),
        hair_slope=draws.between(-0.15, 0.45),
        hair_curl=draws.between(0, 0.05) * draws.chance(0.5),
        hair_end=draws.between(-0.2, 0.15) + 0.3 * long,
        hair_length=long * draws.between(0.4, 1.2),
        hair_part=draws.normal(0.22),
        bald=male * draws.chance(0.12),
        beard=bearded * draws.between(0.35, 0.95),
        moustache=bearded * draws.between(0.3, 0.95) * draws.chance(0.8),
        glasses=draws.chance(0.18),
        glasses_size=draws.between(0.22, 0.27),
        glasses_dark=draws.between(0, 1),
    )


def take(person: Person, rows: Tensor) -> Person:
    """Return the people at `rows` (int64 [M])."""
    return Person(**{field.name: getattr(person, field.name)[rows] for field in fields(Person)})
