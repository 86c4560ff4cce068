"""A detected face to a crop of fixed size, and what can be measured of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_ssl.data.preparing.detecting import Detection, Points, load_opencv

SIDE = 112
# where ArcFace (Deng et al., CVPR 2019) puts the five points in a face of 112 x 112
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
DEPTHS = np.array([0, 0, 19, 4, 4], np.float32)  # of an average face, in the template's pixels; towards the viewer


@dataclass(frozen=True)
class Quality:
    """`face_px` is the shorter side of the box; `sharpness` the variance of the Laplacian; the angles are degrees."""

    face_px: float
    sharpness: float
    yaw: float
    pitch: float
    roll: float


def similarity(points: Points, target: Points) -> NDArray[np.float32]:
    """Return the least-squares rotation, scale and shift [2, 3] of `points` onto `target` (Umeyama, PAMI 1991)."""
    source, goal = points - points.mean(0), target - target.mean(0)
    u, sizes, vt = np.linalg.svd(goal.T @ source)
    mirror = np.array([1, np.sign(np.linalg.det(u @ vt))])
    scaled = (u * mirror) @ vt * (sizes @ mirror) / (source**2).sum()
    return np.column_stack([scaled, target.mean(0) - scaled @ points.mean(0)]).astype(np.float32)


def align(photo: NDArray[np.uint8], face: Detection, crop: str) -> NDArray[np.uint8]:
    """Return the face uint8 [112, 112, 3]: `arcface` aligns the points, `padded` crops the box with a fifth around."""
    cv2 = load_opencv()
    matrix = similarity(face.points, TEMPLATE) if crop == "arcface" else _padded(face.box)
    scale = float(np.hypot(*matrix[:, 0]))
    if scale < 0.5:  # warping alone would skip pixels
        side = [max(1, round(2 * scale * length)) for length in photo.shape[1::-1]]
        matrix[:, :2] *= np.array(photo.shape[1::-1]) / side
        photo = cv2.resize(photo, side, interpolation=cv2.INTER_AREA)
    aligned: NDArray[np.uint8] = cv2.warpAffine(photo, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    return aligned


def _padded(box: NDArray[np.float32]) -> NDArray[np.float32]:
    scale = SIDE / (1.4 * float(box[2:].max()))
    shift = SIDE / 2 - scale * (box[:2] + box[2:] / 2)
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)


def measure(crop: NDArray[np.uint8], face: Detection) -> Quality:
    """Return the quality of a face from its crop [112, 112, 3] and its points."""
    cv2 = load_opencv()
    sharpness = cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()
    return Quality(float(face.box[2:].min()), float(sharpness), *pose(face.points))


def pose(points: Points) -> tuple[float, float, float]:
    """Return yaw, pitch and roll in degrees: a rigid average face under weak perspective, fitted to the points."""
    model = np.column_stack([TEMPLATE, DEPTHS])
    model, seen = model - model.mean(0), points - points.mean(0)
    rows = np.linalg.lstsq(model, seen, rcond=None)[0].T
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9
    u, _, vt = np.linalg.svd(np.vstack([rows, np.cross(rows[0], rows[1])]))
    turn = u @ vt
    yaw, pitch = np.arcsin(np.clip(turn[0, 2], -1, 1)), np.arctan2(-turn[1, 2], turn[2, 2])
    roll = np.arctan2(turn[1, 0], turn[0, 0])
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))
