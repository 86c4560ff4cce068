"""Where faces come from: a posed, labeled studio and the wild of face-recognition pictures."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from fer_ssl.data.faces.action_units import SPACE, ActionUnits, draw_action_units
from fer_ssl.data.faces.draws import Draws
from fer_ssl.data.faces.person import Person, draw_people, take
from fer_ssl.data.faces.scene import Scene

BLOCK = 256  # faces drawn together: a face depends on its block's seed, never on how many blocks follow
GOLDEN = 0.6180339887498949

OBJECTS = torch.tensor(
    [[0.08, 0.08, 0.09], [0.45, 0.29, 0.20], [0.89, 0.71, 0.59], [0.8, 0.8, 0.78], [0.45, 0.6, 0.7], [0.2, 0.2, 0.25]]
)

POOL_PRIORS = {
    "neutral": 0.36, "happiness": 0.2, "sadness": 0.11, "surprise": 0.1, "anger": 0.09, "disgust": 0.07, "fear": 0.07,
}  # fmt: skip

Priors = tuple[float, ...]


@dataclass(frozen=True)
class Domain:
    """A distribution over pictures of faces.

    `priors` [C] are class frequencies, `intensity` the range of an expression's overall strength, `chatter` how often
    units move that belong to no expression. Angles in radians, light as relative slope of brightness, blur as share of
    a fixed Gaussian, noise as standard deviation of brightness in [0, 1]; each is the typical size, not the largest.
    """

    priors: Priors
    faces_per_subject: int
    intensity: tuple[float, float]
    chatter: float
    yaw: float
    pitch: float
    roll: float
    shift: float
    light: float
    cast: float
    blur: float
    noise: float
    occluded: float
    gray: float


def studio(imbalance: float) -> Domain:
    """Return the posed domain, whose most frequent class is `imbalance` times as frequent as its rarest."""
    order = ("happiness", "neutral", "surprise", "sadness", "anger", "disgust", "fear")
    ranks = [order.index(name) / (len(order) - 1) for name in SPACE.classes]
    return Domain(
        priors=tuple(imbalance**-rank for rank in ranks), faces_per_subject=8, intensity=(0.75, 1.05), chatter=0.2,
        yaw=0.05, pitch=0.025, roll=0.025, shift=0.015, light=0.08, cast=0.015, blur=0.1, noise=0.006,
        occluded=0.0, gray=0.0,
    )  # fmt: skip


def wild(priors: Mapping[str, float]) -> Domain:
    """Return the in-the-wild domain with class frequencies `priors`, which need not add up to 1."""
    return Domain(
        priors=tuple(priors[name] for name in SPACE.classes), faces_per_subject=4, intensity=(0.6, 1.05), chatter=0.7,
        yaw=0.12, pitch=0.055, roll=0.06, shift=0.03, light=0.17, cast=0.04, blur=0.28, noise=0.015,
        occluded=0.12, gray=0.05,
    )  # fmt: skip


def draw_scene(draws: Draws, domain: Domain) -> Scene:
    """Draw the pictures' conditions."""
    count = draws.count
    return Scene(
        yaw=draws.normal(domain.yaw).clamp(-0.6, 0.6),
        pitch=draws.normal(domain.pitch).clamp(-0.3, 0.3),
        roll=draws.normal(domain.roll).clamp(-0.4, 0.4),
        scale=0.97 + draws.normal(domain.shift).clamp(-0.12, 0.12),
        shift_x=draws.normal(domain.shift),
        shift_y=draws.normal(domain.shift),
        gaze_x=draws.normal(0.1 * domain.yaw),
        gaze_y=draws.normal(0.1 * domain.pitch),
        light_x=draws.normal(domain.light).clamp(-0.8, 0.8),
        light_y=draws.normal(domain.light / 2).clamp(-0.5, 0.5),
        exposure=1 + draws.normal(domain.light / 2).clamp(-0.5, 0.2),
        contrast=1 + draws.normal(domain.light / 2).clamp(-0.4, 0.2),
        cast=1 + draws.normal(domain.cast, (count, 3)),
        gray=draws.chance(domain.gray),
        blur=(domain.blur * draws.between(0, 2)).clamp(max=1),
        noise=domain.noise * draws.between(0, 2),
        backdrop=draws.between(0.2, 0.85, (count, 1)) + draws.normal(0.07, (count, 3)),
        backdrop_far=draws.between(0.1, 0.9, (count, 1)) + draws.normal(0.07, (count, 3)),
        backdrop_angle=draws.between(0, 2 * math.pi),
        occluded=draws.chance(domain.occluded),
        occluder=draws.mix(OBJECTS, jitter=0.03),
        occluder_x=draws.between(-0.8, 0.8),
        occluder_y=draws.between(-0.4, 0.95),
        occluder_width=draws.between(0.15, 0.35),
        occluder_height=draws.between(0.15, 0.55),
    )


@dataclass(frozen=True)
class Portraits:
    """All that a picture of a face is made from."""

    labels: Tensor  # int64 [N]
    person: Person
    units: ActionUnits
    scene: Scene


def draw_labels(domain: Domain, split: str, seed: int, rows: Tensor) -> Tensor:
    """Return the labels int64 [M] of the faces at `rows` (int64 [M]) of a split.

    Golden-ratio steps through the classes' shares spread them so evenly that any run of faces follows the priors.
    """
    start = Draws(1, seed, (split, "labels")).between(0, 1).double().item()
    places = (start + GOLDEN * rows.double()) % 1
    edges = torch.tensor(domain.priors, dtype=torch.float64).cumsum(0)
    return torch.bucketize(places * edges[-1], edges, right=True).clamp(max=len(edges) - 1)


def draw_block(domain: Domain, split: str, seed: int, block: int) -> Portraits:
    """Draw the `block`-th BLOCK faces of a split."""
    rows = torch.arange(BLOCK)
    labels = draw_labels(domain, split, seed, block * BLOCK + rows)
    people = draw_people(Draws(BLOCK // domain.faces_per_subject, seed, (split, "people", block)))
    draws = Draws(BLOCK, seed, (split, "faces", block))
    units = draw_action_units(draws, labels, draws.between(*domain.intensity), domain.chatter)
    return Portraits(labels, take(people, rows // domain.faces_per_subject), units, draw_scene(draws, domain))


def split_rows(portraits: Portraits, size: int) -> Iterator[Portraits]:
    """Yield the portraits `size` at a time."""
    for rows in torch.arange(len(portraits.labels)).split(size):
        yield Portraits(
            labels=portraits.labels[rows],
            person=take(portraits.person, rows),
            units={number: column[rows] for number, column in portraits.units.items()},
            scene=Scene(**{field.name: getattr(portraits.scene, field.name)[rows] for field in fields(Scene)}),
        )
