"""Metres: how long one unit of the trajectory is, from a constant, odometry or the camera's height over the ground."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ros2_raxels.geometry import FloatArray

UNKNOWN_SIGMA = 9999.0

_RATIOS = 60
_ENOUGH = 5
_SURE = 0.15
"""Relative sigma at which a first scale is believed."""

_LEAST_CHANGE = 0.01
_GAIN = 0.2
"""Share of what the newest ratios say that a known scale follows at once: it drifts slowly, and ratios are noisy."""

_DOMAIN_FLOOR = 0.01
"""Odometry, heights and focal lengths are not better than this, however many ratios agree."""

_PATH = 64
_WAITING = 60
_LEAST_PATH_M = 0.1
_LEAST_PARALLAX = 0.03
_GROUND_TILT_RAD = np.radians(12.0)
_GROUND_DRAWS = 150
_GROUND_NEAR = 0.04
_GROUND_POINTS = 20
_GROUND_SHARE = 0.25


Odometry = Callable[[int], FloatArray | None]
"""camera_to_odom (4x4, m) at a stamp, ns; None while it is not known."""


class ScaleSource(enum.IntEnum):
    """Values equal ``raxels_interfaces/msg/PoseStatus.SCALE_*``."""

    NONE = 0
    FIXED = 1
    ODOM = 2
    HEIGHT = 3


@dataclass(frozen=True)
class ScaleSettings:
    """Where metres come from.

    Attributes:
        source: see `ScaleSource`.
        scene_depth_m: for FIXED: median depth of the scene where the trajectory begins, which is the unit otherwise.
        camera_height_m: for HEIGHT: of the camera over the ground plane.
        up_in_camera: for HEIGHT: unit vector, upwards from the ground, in the optical frame. Default: level camera.
    """

    source: ScaleSource = ScaleSource.NONE
    scene_depth_m: float = 1.0
    camera_height_m: float = 1.0
    up_in_camera: tuple[float, float, float] = (0.0, -1.0, 0.0)


@dataclass(frozen=True)
class Scale:
    """What is known of the scale.

    Attributes:
        source: where it comes from.
        metres_per_unit: metres of the unit in which the trajectory began; 0 while unknown.
        sigma: relative standard deviation; 9999 while unknown.
    """

    source: ScaleSource = ScaleSource.NONE
    metres_per_unit: float = 0.0
    sigma: float = UNKNOWN_SIGMA

    @property
    def is_metric(self) -> bool:
        """Whether the trajectory is in metres."""
        return self.metres_per_unit > 0


class MetricScale:
    """Collects ratios of true over present lengths, and says by which factor the world must grow.

    Args:
        settings: see there.
    """

    def __init__(self, settings: ScaleSettings) -> None:
        self.settings = settings
        self.up_in_camera = np.array(settings.up_in_camera)
        self._ratios: deque[float] = deque(maxlen=_RATIOS)
        self._path: deque[tuple[FloatArray, FloatArray]] = deque(maxlen=_PATH)
        self._waiting: deque[tuple[int, FloatArray]] = deque(maxlen=_WAITING)
        self._metres_per_unit = 0.0
        self._sigma = UNKNOWN_SIGMA

    @property
    def scale(self) -> Scale:
        """As it is now."""
        return Scale(self.settings.source, self._metres_per_unit, self._sigma)

    def begin(self) -> float:
        """Factor for a trajectory that begins, whose unit is the median depth of the scene."""
        self._ratios.clear()
        self.forget_path()
        self._metres_per_unit, self._sigma = 0.0, UNKNOWN_SIGMA
        if self.settings.source is not ScaleSource.FIXED:
            return 1.0
        self._metres_per_unit, self._sigma = self.settings.scene_depth_m, _DOMAIN_FLOOR
        return self.settings.scene_depth_m

    def adopt(self, scale: Scale) -> None:
        """Go on with keyframes whose scale was known."""
        self.begin()
        self._metres_per_unit, self._sigma = scale.metres_per_unit, scale.sigma

    def forget_path(self) -> None:
        """The world has been corrected: distances to where the camera was do not hold any more."""
        self._path.clear()
        self._waiting.clear()

    def see_odometry(self, stamp_ns: int, camera_to_world: FloatArray, odometry: Odometry, scene_depth: float) -> None:
        """Compare how far the camera has come since some time with what odometry says.

        Odometry comes later than images: frames wait until theirs is there.

        Args:
            stamp_ns: of the newest frame.
            camera_to_world: its pose, 4x4, in units of the trajectory.
            odometry: see there.
            scene_depth: distance that counts as far, in units of the trajectory.
        """
        self._waiting.append((stamp_ns, camera_to_world[:3, 3].copy()))
        waiting = list(self._waiting)
        self._waiting.clear()
        for stamp, position in waiting:
            camera_to_odom = odometry(stamp)
            if camera_to_odom is None:
                self._waiting.append((stamp, position))
            else:
                self._compare(position, camera_to_odom[:3, 3].copy(), scene_depth)

    def _compare(self, here: FloatArray, there: FloatArray, scene_depth: float) -> None:
        for before, before_m in self._path:
            length, length_m = float(np.linalg.norm(here - before)), float(np.linalg.norm(there - before_m))
            # A turn on the spot tells nothing: both lengths are noise.
            if length_m > _LEAST_PATH_M and length > _LEAST_PARALLAX * scene_depth:
                self._ratios.append(float(np.log(length_m / length)))
                while self._path and self._path[0][0] is not before:
                    self._path.popleft()
                self._path.popleft()
                break
        self._path.append((here, there))

    def see_ground(self, points: FloatArray) -> None:
        """Compare the camera's height over the ground with what it is known to be.

        Args:
            points: (K, 3) of the scene in the optical frame, in units of the trajectory.
        """
        height = ground_distance(points, self.up_in_camera)
        if height is not None:
            self._ratios.append(float(np.log(self.settings.camera_height_m / height)))

    def correction(self) -> float:
        """Factor by which the world must grow now; 1 for none. What it says is taken as done."""
        if len(self._ratios) < _ENOUGH:
            return 1.0
        ratios = np.array(self._ratios)
        off = float(np.median(ratios))
        spread = 1.4826 * float(np.median(np.abs(ratios - off)))
        sigma = float(np.hypot(_DOMAIN_FLOOR, 1.2533 * spread / np.sqrt(len(ratios))))
        first = self._metres_per_unit == 0.0
        if first and sigma > _SURE:
            return 1.0
        self._sigma = sigma if first else float(np.hypot(sigma, abs(off)))
        step = off if first else _GAIN * off
        if not first and abs(off) < _LEAST_CHANGE:
            return 1.0
        factor = float(np.exp(step))
        self._ratios = deque(ratios - step, maxlen=_RATIOS)
        self._path = deque(((p * factor, m) for p, m in self._path), maxlen=_PATH)
        self._waiting = deque(((stamp, p * factor) for stamp, p in self._waiting), maxlen=_WAITING)
        self._metres_per_unit = factor * (self._metres_per_unit or 1.0)
        return factor


def ground_distance(points: FloatArray, up: FloatArray) -> float | None:
    """Distance of the camera from the plane beneath it that most points lie on, within 12 deg of level.

    Args:
        points: (K, 3) in the optical frame.
        up: (3,) unit vector from the ground to the camera, in the optical frame.

    Returns:
        In the unit of the points; None where no such plane is seen.
    """
    # Ground that is not quite level reaches above the camera's own height far away.
    below = points[points @ up < np.sin(_GROUND_TILT_RAD) * np.linalg.norm(points, axis=1)]
    if len(below) < _GROUND_POINTS:
        return None
    draws = np.random.default_rng(0).integers(0, len(below), (_GROUND_DRAWS, 3))
    a, b, c = (below[draws[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    usable = length > 1e-9 * np.maximum(np.linalg.norm(a, axis=1), 1e-9) ** 2
    normal, a = normal[usable] / length[usable, None], a[usable]
    normal = normal * np.sign(normal @ up)[:, None]
    distance = -(normal * a).sum(axis=1)
    level = (normal @ up > np.cos(_GROUND_TILT_RAD)) & (distance > 0)
    if not level.any():
        return None
    normal, distance = normal[level], distance[level]
    on = np.abs(below @ normal.T + distance) < _GROUND_NEAR * distance
    best = int(on.sum(axis=0).argmax())
    chosen = below[on[:, best]]
    if len(chosen) < max(_GROUND_POINTS, _GROUND_SHARE * len(below)):
        return None
    middle = chosen.mean(axis=0)
    flat = np.linalg.svd(chosen - middle, full_matrices=False)[2][2]
    height = float(abs(flat @ middle))
    return height if abs(flat @ up) > np.cos(_GROUND_TILT_RAD) and height > 0 else None
