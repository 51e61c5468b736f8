"""Which of many known frames views are made from: those that show the most of them, from near and from two sides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, inverse_pose

_COLUMNS, _ROWS = 8, 6
"""Rays of a view that are followed."""

_DEPTHS = (2.0, 6.0, 30.0)
"""How far, in median distances between views and known frames: no depth is known yet."""

_MOST_VIEWS = 16
"""Of a trajectory, evenly spread, that are looked at."""

_FURTHER = 0.3
"""What each further frame that shows a point is worth beside those before it: two tell the depth."""

_USUAL_TURN_RAD = 0.35
"""Angle between the lines of sight of view and frame at which half of what the frame shows is of use."""

_NEAR = 1e-6
_IN_FRONT = 1e-9


def choose_frames(camera: PinholeCamera, camera_to_world: FloatArray, trajectory: FloatArray, most: int) -> list[int]:
    """Numbers of the known frames that show the most of the views along a trajectory, the most telling first.

    Frames are taken one after the other, each for what it adds to those before it.

    Args:
        camera: of all frames and views, without distortion.
        camera_to_world: (K, 4, 4) of the known frames, oldest first; of two that tell the same the newer is taken.
        trajectory: (T, 4, 4) of the views.
        most: how many are taken at most.
    """
    shown = _shown(camera, camera_to_world, _thinned(trajectory))
    chosen = list[int]()
    while len(chosen) < min(most, len(shown)):
        left = [k for k in range(len(shown)) if k not in chosen]
        # The newest first, because the first of equals is taken.
        worth = {k: _worth(shown[[*chosen, k]]) for k in reversed(left)}
        chosen.append(max(worth, key=lambda k: worth[k]))
    return chosen


def _thinned(trajectory: FloatArray) -> FloatArray:
    kept = np.unique(np.linspace(0, len(trajectory) - 1, _MOST_VIEWS).round().astype(int))
    return np.asarray(trajectory[kept])


def _shown(camera: PinholeCamera, frames: FloatArray, views: FloatArray) -> FloatArray:
    """(K, P) of how much use each frame is for points that the views may show, 0 to 1."""
    apart = np.linalg.norm(frames[:, None, :3, 3] - views[None, :, :3, 3], axis=2)
    coarse = camera.resized(_COLUMNS, _ROWS)
    rays = coarse.bearings().reshape(-1, 3)
    reach = max(_NEAR, float(np.median(apart)))
    lengths = np.repeat(reach * np.array(_DEPTHS), len(rays))
    local = np.tile(rays, (len(_DEPTHS), 1)) * lengths[:, None]
    points = np.concatenate([local @ view[:3, :3].T + view[:3, 3] for view in views])
    eyes = np.repeat(views[:, :3, 3], len(local), axis=0)
    return np.array([_use(coarse, frame, points, eyes) for frame in frames])


def _use(camera: PinholeCamera, frame: FloatArray, points: FloatArray, eyes: FloatArray) -> FloatArray:
    """(P,) of how much use a frame is for what eyes (P, 3) see of points (P, 3)."""
    inside = _is_inside(camera, points @ inverse_pose(frame)[:3, :3].T + inverse_pose(frame)[:3, 3])
    theirs, ours = points - eyes, points - frame[:3, 3]
    far, away = np.linalg.norm(theirs, axis=1), np.linalg.norm(ours, axis=1)
    cosine = (theirs * ours).sum(axis=1) / np.maximum(far * away, _IN_FRONT)
    turn = np.arccos(np.clip(cosine, -1.0, 1.0)) / _USUAL_TURN_RAD
    # What was seen from twice the distance has half the detail.
    sharpness = np.minimum(1.0, far / np.maximum(away, _IN_FRONT))
    return np.asarray(inside * sharpness / (1.0 + turn * turn))


def _is_inside(camera: PinholeCamera, local: FloatArray) -> npt.NDArray[np.bool_]:
    ahead = np.maximum(local[:, 2], _IN_FRONT)
    column = camera.fx * local[:, 0] / ahead + camera.cx
    row = camera.fy * local[:, 1] / ahead + camera.cy
    across = (column > -0.5) & (column < camera.width - 0.5)
    return np.asarray((local[:, 2] > 0) & across & (row > -0.5) & (row < camera.height - 0.5))


def _worth(shown: FloatArray) -> float:
    """Of frames together, from (K, P) how much use each is for each point."""
    falling = -np.sort(-shown, axis=0)
    return float((falling * _FURTHER ** np.arange(len(falling))[:, None]).sum())
