"""The strong view: RandAugment and cutout on top of the weak view, each face by its own draw, in one pass."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from fer_ssl.errors import ConfigError
from fer_ssl.views.filters import HOLE_COLUMNS, cut_out_, draw_hole, saturate_, sharpen_
from fer_ssl.views.geometry import Interpolation, Warp, crop_after, sample, warp_matrix
from fer_ssl.views.rows import integers, piece_size, side_of, uniforms
from fer_ssl.views.tables import LEVELS, WHITE, Tones, apply_tones
from fer_ssl.views.weak import CROP_COLUMNS, draw_crop

RANDAUGMENT = (
    "autocontrast", "brightness", "contrast", "equalize", "identity", "posterize", "rotate",
    "saturation", "sharpness", "shear_x", "shear_y", "solarize", "translate_x", "translate_y",
)  # fmt: skip
KNOWN = (*RANDAUGMENT, "scale")
INTERPOLATIONS = get_args(Interpolation)


class Operations(NamedTuple):
    """Which operations of `names` each sample drew, and how much of each."""

    names: tuple[str, ...]
    chosen: Tensor  # bool [B, len(names)]
    level: Tensor  # float [B, len(names)] in [0, 1)

    def on(self, name: str) -> Tensor:
        """Return bool [B]: the samples that drew operation `name`."""
        if name not in self.names:
            return self.chosen.new_zeros(len(self.chosen))
        return self.chosen[:, self.names.index(name)]

    def fraction(self, name: str, neutral: float) -> Tensor:
        """Return float [B]: the magnitude of `name` in [0, 1), and `neutral` for samples that did not draw it."""
        if name not in self.names:
            return self.level.new_full((len(self.level),), neutral)
        return self.level[:, self.names.index(name)].where(self.on(name), neutral)

    def signed(self, name: str) -> Tensor:
        """Return float [B]: the magnitude of `name` in [-1, 1), and 0 for samples that did not draw it."""
        return 2 * self.fraction(name, neutral=0.5) - 1


def draw_operations(uniform: Tensor, names: tuple[str, ...], ops: int) -> Operations:
    """Turn `uniform` [B, 2 * len(names)] into `ops` distinct operations of `names` per sample."""
    key, level = uniform.chunk(2, 1)
    return Operations(names, key.argsort(1) < ops, level)


class StrongPlan(NamedTuple):
    """All that was drawn for a batch of strong views."""

    tones: Tones
    saturation: Tensor  # float [B], factor
    sharpness: Tensor  # float [B], factor
    matrix: Tensor  # float [B, 2, 3], from view to face
    hole: Tensor  # int64 [B, 3]: left, top, width

    def split(self, size: int) -> Iterator["StrongPlan"]:
        """Yield the plan of each `size` samples in turn."""
        tones = zip(*(field.split(size) for field in self.tones), strict=True)
        others = zip(*(field.split(size) for field in self[1:]), strict=True)
        return (StrongPlan(Tones(*tone), *other) for tone, other in zip(tones, others, strict=True))


def apply_plan(images: Tensor, plan: StrongPlan, interpolation: Interpolation, fill: int) -> Tensor:
    """Compute the views of uint8 faces [B, C, S, S] that `plan` describes, in the same shape and dtype.

    Colours come first, so that their statistics are those of the face and not of the black around it: one table, then
    saturation, then sharpness. Crop, mirror and warp follow as one sampling, the cutout last.
    """
    faces = apply_tones(images, plan.tones)
    faces = sharpen_(saturate_(faces, plan.saturation), plan.sharpness)
    return cut_out_(to_levels(sample(faces, plan.matrix, interpolation)), plan.hole, fill)


def to_levels(images: Tensor) -> Tensor:
    """Round float `images` in [0, 255] to uint8; by way of int16, because float to uint8 is not vectorised on a CPU."""
    return images.add_(0.5).to(torch.int16).to(torch.uint8)


class StrongView(nn.Module):
    """Crop and mirror faces like the weak view, apply `ops` random `operations` to each, and cut a square out.

    A sample's operations are distinct and their order is fixed: autocontrast, equalize, contrast, brightness,
    solarize, posterize, saturation, sharpness; then the weak crop with all geometry as one sampling; then the cutout.
    `ops` 0 and `cutout` 0 leave the weak view. Colour factors lie in 1 +- `enhance`, angles in +- `rotate` degrees,
    shears in +- `shear`, translations in +- `translate` of the side, zooms in [1 / (1 + `scale`), 1 + `scale`] where
    `operations` names `scale`; posterize keeps `posterize` to 8 bits. The square has up to `cutout` of the side and
    the grey level `fill`. Bilinear sampling costs little more than nearest and does not fray small faces.
    Source: RandAugment (Cubuk et al. 2020) with cutout, as strong augmentation in FixMatch (Sohn et al. 2020).
    """

    def __init__(
        self,
        padding: float = 4 / 48,
        flip: float = 0.5,
        ops: int = 3,
        operations: Sequence[str] = RANDAUGMENT,
        cutout: float = 0.5,
        fill: int = 127,
        interpolation: Interpolation = "bilinear",
        enhance: float = 0.9,
        rotate: float = 30.0,
        shear: float = 0.3,
        translate: float = 0.3,
        scale: float = 0.3,
        posterize: int = 4,
    ) -> None:
        super().__init__()
        self.padding, self.flip = padding, flip
        self.ops, self.operations = ops, tuple(dict.fromkeys(operations))
        self.cutout, self.fill, self.interpolation = cutout, fill, interpolation
        self.enhance, self.rotate, self.shear, self.translate = enhance, rotate, shear, translate
        self.scale, self.posterize = scale, posterize
        self._apply_plan = apply_plan
        self._check()

    def forward(self, images: Tensor, generator: torch.Generator, first: int = 0, total: int | None = None) -> Tensor:
        """Return a strong view of uint8 faces [B, C, S, S], in the same shape and dtype.

        `images` are rows [first, first + B) of a global batch of `total`. Raises DataError for other images.
        """
        plan = self.draw(images, generator, first, total)
        size = piece_size(images)
        pieces = zip(images.split(size), plan.split(size), strict=True)
        return torch.cat([self._apply_plan(faces, part, self.interpolation, self.fill) for faces, part in pieces])

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile what is computed; the drawing stays as it is, because a generator breaks a graph."""
        self._apply_plan = torch.compile(apply_plan, *args, **kwargs)

    def draw(self, images: Tensor, generator: torch.Generator, first: int = 0, total: int | None = None) -> StrongPlan:
        """Draw what `forward` applies, on the device of `images`."""
        side = side_of(images)
        columns = (CROP_COLUMNS, HOLE_COLUMNS, 2 * len(self.operations))
        crop, hole, picks = uniforms(sum(columns), images, generator, first, total).split(columns, 1)
        drawn = draw_operations(picks, self.operations, self.ops)
        cropped = draw_crop(crop, round(self.padding * side), self.flip)
        return StrongPlan(
            tones=self._tones(drawn),
            saturation=1 + self.enhance * drawn.signed("saturation"),
            sharpness=1 + self.enhance * drawn.signed("sharpness"),
            matrix=crop_after(warp_matrix(self._warp(drawn)), cropped, side),
            hole=draw_hole(hole, side, round(self.cutout * side)),
        )

    def _warp(self, drawn: Operations) -> Warp:
        return Warp(
            angle=drawn.signed("rotate") * math.radians(self.rotate),
            shear_x=drawn.signed("shear_x") * self.shear,
            shear_y=drawn.signed("shear_y") * self.shear,
            zoom=torch.exp(drawn.signed("scale") * math.log1p(self.scale)),
            shift_x=drawn.signed("translate_x") * self.translate,
            shift_y=drawn.signed("translate_y") * self.translate,
        )

    def _tones(self, drawn: Operations) -> Tones:
        return Tones(
            autocontrast=drawn.on("autocontrast"),
            equalize=drawn.on("equalize"),
            contrast=1 + self.enhance * drawn.signed("contrast"),
            brightness=1 + self.enhance * drawn.signed("brightness"),
            solarize=LEVELS * drawn.fraction("solarize", neutral=1.0),
            posterize=integers(drawn.fraction("posterize", neutral=1.0), self.posterize, 8),
        )

    def _check(self) -> None:
        count = len(self.operations)
        allowed = {
            f"operations={list(self.operations)}: known are {', '.join(KNOWN)}": set(self.operations) <= set(KNOWN),
            f"ops={self.ops}: it lists {count} operations": 0 <= self.ops <= count,
            f"padding={self.padding}: it lies in [0, 1)": 0 <= self.padding < 1,
            f"flip={self.flip}: it lies in [0, 1]": 0 <= self.flip <= 1,
            f"cutout={self.cutout}: it lies in [0, 1]": 0 <= self.cutout <= 1,
            f"fill={self.fill}: it lies in 0..{WHITE}": 0 <= self.fill <= WHITE,
            f"posterize={self.posterize}: it lies in 1..8": 1 <= self.posterize <= 8,
            f"interpolation={self.interpolation}: it is nearest or bilinear": self.interpolation in INTERPOLATIONS,
        }
        for setting, holds in allowed.items():
            if not holds:
                raise ConfigError(f"a strong view cannot have {setting}; set view.strong.{setting.split('=')[0]}")
