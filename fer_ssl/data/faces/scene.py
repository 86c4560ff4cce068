"""How a picture of a face was taken."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Scene:
    """How the picture was taken: columns [N, 1, 1], colours [N, 3]."""

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    scale: Tensor
    shift_x: Tensor
    shift_y: Tensor
    gaze_x: Tensor
    gaze_y: Tensor
    light_x: Tensor
    light_y: Tensor
    exposure: Tensor
    contrast: Tensor
    cast: Tensor
    gray: Tensor
    blur: Tensor
    noise: Tensor
    backdrop: Tensor
    backdrop_far: Tensor
    backdrop_angle: Tensor
    occluded: Tensor
    occluder: Tensor
    occluder_x: Tensor
    occluder_y: Tensor
    occluder_width: Tensor
    occluder_height: Tensor
