"""What moves in a face, driven by action units: each function returns layers to paint over the skin, in order."""

import torch
from torch import Tensor

from fer_ssl.data.faces.action_units import ActionUnits
from fer_ssl.data.faces.grid import Layer, Patch
from fer_ssl.data.faces.person import Person
from fer_ssl.data.faces.shapes import arc, between, bump, ellipse, line, radius, ramp, ripples

EYE_LINE = -0.12
NOSE_TOP = -0.05
DARK = torch.tensor([0.06, 0.04, 0.04])
EYE_WHITE = torch.tensor([0.93, 0.91, 0.89])
TEETH = torch.tensor([0.92, 0.90, 0.85])


def nose_tip(person: Person, au: ActionUnits) -> Tensor:
    """Return the height v [N, 1, 1] of the nostrils, which AU9 and AU10 pull up."""
    return NOSE_TOP + person.nose_length - 0.05 * au[9] - 0.015 * au[10]


def mouth_line(person: Person, au: ActionUnits) -> Tensor:
    """Return the height v [N, 1, 1] of the closed lips, which AU10 and AU17 push up."""
    return NOSE_TOP + person.nose_length + person.mouth_drop - 0.03 * au[17] - 0.02 * au[10]


def lids(along: Tensor, person: Person, au: ActionUnits) -> tuple[Tensor, Tensor]:
    """Return the heights [N, H, W] of upper and lower lid below the eye's axis: AU5, 6, 7, 9 and 43 move them."""
    narrow = 1 - 0.35 * au[7] - 0.15 * au[6] - 0.25 * au[9] - 0.1 * au[12]
    height = person.eye_open * narrow.clamp_min(0.15) * (1 - 0.95 * au[43].clamp(max=1))
    upper = height * (1.0 + 0.75 * au[5] - 0.15 * au[4]).clamp_min(0.2)
    lower = height * (0.75 + 0.25 * au[5] - 0.35 * au[6]).clamp_min(0.1)
    droop = 0.03 * au[1] * (1 - au[5]).clamp_min(0) - 0.02 * au[4]
    bow = arc(along)
    return droop * along - upper * bow, lower * bow


def eyes(patch: Patch, person: Person, au: ActionUnits, gaze: tuple[Tensor, Tensor]) -> list[Layer]:
    """Paint sclera, iris, pupil, glint and lashes."""
    soft, side = patch.soft, torch.sign(patch.u)
    across = patch.fold - person.eye_gap
    down = patch.v - EYE_LINE + person.eye_tilt * across
    along = across / person.eye_width
    top, bottom = lids(along, person, au)
    opening = between(down, top, bottom, soft)
    iris_x, iris_y = across - side * gaze[0], down - (gaze[1] - 0.012)
    lash = line(down - top + 0.008, 0.014, soft) * (1.0 - along.abs()).add_(0.15).mul_(6).clamp_(0, 0.9)
    lower_lash = line(down - bottom, 0.006, soft) * (1.0 - along.abs()).mul_(5).clamp_(0, 0.6)
    dark, white = DARK.expand_as(person.skin), EYE_WHITE.expand_as(person.skin)
    return [
        (opening, white),
        (opening * ellipse(iris_x, iris_y, 0.084, 0.084, soft), person.iris),
        (opening * ellipse(iris_x, iris_y, 0.04, 0.04, soft), dark),
        (opening * ellipse(iris_x - 0.025 * side, iris_y + 0.028, 0.018, 0.018, soft), white),
        (lower_lash, person.skin * 0.45),
        (lash, dark),
    ]


def brows(patch: Patch, person: Person, au: ActionUnits) -> list[Layer]:
    """Paint the brows: AU1 and 2 raise their inner and outer ends, AU4 and 9 lower and draw them together."""
    inner = person.eye_gap - 0.205 - 0.05 * au[4] - 0.02 * au[9]
    along = (patch.fold - inner) / 0.40
    height = EYE_LINE - person.brow_height + 0.03 * au[4] + 0.035 * au[9] - 0.015 * au[5] - 0.01 * au[12]
    inner_end = 0.085 * au[4] + 0.05 * au[9] - 0.15 * au[1]
    outer_end = -0.14 * au[2] - 0.025 * au[4] + 0.02 * au[1] * (1 - au[2]).clamp_min(0)
    bend = (1 - along).clamp_(0, 1).square_() * inner_end + along.clamp(0, 1) * (outer_end + 2 * person.brow_slope)
    arch = person.brow_arch * (arc(2 * along - 1.2) - 0.5)
    offset = patch.v - bend - (height - person.brow_slope) + arch
    reach = person.brow_thickness / 2 * (1.1 - 0.55 * along).clamp_min_(0.1)
    ends = (0.5 - (along - 0.5).abs()).mul_(8).add_(0.5).clamp_(0, 0.92)
    return [(between(offset, -reach, reach, 1.4 * patch.soft) * ends, person.hair * 0.8)]


def nose(patch: Patch, person: Person, au: ActionUnits) -> list[Layer]:
    """Paint bridge, tip and nostrils; AU9 lifts the tip and wrinkles the bridge, AU9, 10 and 12 flare the wings."""
    flare = person.nose_width * (1 + 0.15 * au[9] + 0.12 * au[10] + 0.08 * au[12])
    fold, down = patch.fold, patch.v - nose_tip(person, au)
    sides = bump(fold - 0.085, down + 0.16, 0.06, 0.28)
    under = bump(patch.u, down - 0.045, flare * 1.2, 0.05)
    wrinkles = ripples(patch.v * 13 - 2 * fold) * bump(fold - 0.05, patch.v + 0.1, 0.13, 0.16)
    ridge = bump(patch.u, down + 0.16, 0.05, 0.26) + bump(patch.u, down + 0.05, 0.07, 0.07)
    wings = line(radius(fold - flare * 0.82, down + 0.02, 0.05, 0.06) - 1, 0.2, 30 * patch.soft)
    wings = wings * (fold - flare * 0.8).mul_(25).clamp_(0, 0.5)
    holes = ellipse(fold - flare * 0.5, down - 0.012, 0.032, 0.018, patch.soft)
    return [
        (0.22 * sides + 0.4 * under, person.skin * 0.62),
        (wrinkles * (0.75 * au[9].clamp(max=1)), person.skin * 0.5),
        (ridge.mul_(0.35).clamp_(max=0.35), (person.skin * 1.12 + 0.04).clamp(max=1)),
        (torch.maximum(wings, 0.8 * holes), person.skin * 0.35),
    ]


def mouth(patch: Patch, person: Person, au: ActionUnits) -> list[Layer]:
    """Paint lips, teeth and the dark between them.

    AU12 and 15 move the corners, AU20 and 23 stretch and tighten, AU10 and 17 lift either lip, AU25 and 26 open.
    """
    rounded = 0.27 * au[26] * (1 - au[12]).clamp_min(0)
    wide = 1 + 0.30 * au[12] + 0.30 * au[20] - 0.20 * au[23] - rounded + 0.08 * au[14] - 0.05 * au[17]
    along = patch.fold / (person.mouth_width * wide)
    bow = arc(along)
    corner = person.mouth_rest - 0.15 * au[12] + 0.13 * au[15] + 0.06 * au[20] + 0.03 * au[26] * au[12]
    bend = corner * (along.square().clamp_(max=1.44) - 0.35) - 0.03 * au[17] * bow
    down = patch.v - mouth_line(person, au) - bend
    part = (0.045 + 0.035 * au[12]) * au[25] + 0.2 * au[26]
    lift, drop = 0.35 * part + 0.05 * au[10] * au[25], 0.9 * part + 0.004
    thin = (1 - 0.55 * au[23] - 0.25 * au[20] - 0.2 * au[12] - 0.25 * au[10]).clamp_min(0.2) * person.lip_fullness
    cupid = (1 - along * 3).clamp_(0, 1) * (0.2 * thin)
    lips = between(down, cupid - (lift + 0.85 * thin + 0.04 * au[10]) * bow, (drop + 1.1 * thin) * bow, patch.soft)
    inner = between(down, -(lift + 0.006) * bow, (drop + 0.004) * bow, patch.soft)
    shown = inner * ramp(0.065 - lift - down, patch.soft) * (part * 25).clamp(max=0.9)
    return [(0.85 * lips, person.lips), (0.9 * inner, person.lips * 0.22), (shown, TEETH.expand_as(person.skin))]


def upper_folds(patch: Patch, person: Person, au: ActionUnits) -> list[Layer]:
    """Paint eye sockets, lower lids, and the wrinkles of AU1 and 2 on the brow, AU4 above the nose, AU6 at the eyes."""
    fold, down = patch.fold, patch.v - EYE_LINE
    beside = fold - person.eye_gap
    sockets = bump(beside + 0.05, down + 0.03, 0.28, 0.2).mul_(0.22)
    raised = (0.25 * person.age + 0.5 * au[1] + 0.4 * au[2]).clamp(max=1)
    forehead = ripples(patch.v * 9.5 + 0.8 * fold) * bump(patch.u, patch.v + 0.58, 0.5, 0.17) * (0.55 * raised)
    furrow = line(fold - 0.05, 0.012, 1.3 * patch.soft) * bump(patch.u, down + 0.2, 0.3, 0.15) * au[4]
    crow = ripples(patch.v * 16 + fold * 5) * bump(beside - 0.26, down, 0.1, 0.14) * (0.5 * au[6] + 0.15 * person.age)
    bag = line(down - 0.12 - 0.8 * beside.square(), 0.01, 2 * patch.soft)
    bag = bag * bump(beside, down - 0.12, 0.2, 0.12) * (0.2 + 0.5 * au[6])
    lines = (forehead + furrow + crow + bag).clamp_(0, 0.8)
    return [(torch.maximum(sockets, lines), person.skin * 0.58)]


def lower_folds(patch: Patch, person: Person, au: ActionUnits) -> list[Layer]:
    """Paint cheeks, which AU6 and 12 lift, nasolabial folds, which AU9, 10 and 12 deepen, and the chin of AU17."""
    fold, v = patch.fold, patch.v
    tip, chin_line = nose_tip(person, au), mouth_line(person, au) + 0.17 + 0.15 * au[26]
    run = (v - (tip - 0.06)) / (0.34 - 0.08 * au[12])
    spread = person.nose_width + 0.04 + (0.15 + 0.07 * au[12] + 0.03 * au[10]) * run.clamp(0, 1.2)
    depth = (0.12 + 0.3 * person.age + 0.55 * au[12] + 0.55 * au[10] + 0.4 * au[9]).clamp(max=1)
    nasolabial = line(fold - spread, 0.013, 2 * patch.soft) * (run * (1 - run)).mul_(5).clamp_(0, 0.65)
    chin = bump(patch.u, v - chin_line, 0.2, 0.05) * (0.3 + 0.3 * au[17])
    dimples = ripples(patch.u * 14) * bump(patch.u, v - chin_line - 0.1, 0.16, 0.1) * (0.6 * au[17])
    cheek = bump(fold - 0.38, v - 0.22 + 0.06 * au[6], 0.2, 0.17)
    rosy = person.skin * 1.1 + torch.tensor([0.09, 0.03, 0.03])
    return [
        (cheek * (0.35 + 0.3 * au[6] + 0.15 * au[12]), rosy.clamp(max=1)),
        ((nasolabial * depth + chin + dimples).clamp_(0, 0.75), person.skin * 0.58),
    ]


def beard(patch: Patch, person: Person, au: ActionUnits) -> list[Layer]:
    """Paint beard and moustache, rough at the edge."""
    down = patch.v - mouth_line(person, au)
    edge = 0.25 * (1 - patch.fold * 1.9).clamp_min_(0) - 0.5 * (patch.fold - 0.35).clamp_min_(0)
    chin = ramp(down + 0.01 - edge - 0.03 * ripples(patch.u * 9 + patch.v * 5), 0.1)
    lip = bump(patch.u, down + 0.105, 0.3, 0.1).mul_(2).clamp_(max=1)
    return [(torch.maximum(chin * person.beard, lip * person.moustache), person.hair)]


def glasses(patch: Patch, person: Person, _: ActionUnits) -> list[Layer]:
    """Paint a frame around each eye, its bridge and temples."""
    size = person.glasses_size
    x, y = patch.fold - person.eye_gap, patch.v - (EYE_LINE + 0.03)
    rims = line((radius(x, y, size, 0.8 * size) - 1) * size, 0.014, patch.soft)
    bars = line(y + 0.06, 0.012, patch.soft) * (x.abs() > size)
    frame = 0.08 + 0.4 * person.glasses_dark[:, :, 0] * person.skin
    return [(torch.maximum(rims, bars) * (0.9 * person.glasses), frame)]
