"""Metres: how long one unit of the trajectory is, from a constant, odometry or the camera's height over the ground."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ros2_raxels.geometry.poses import FloatArray

UNKNOWN_SIGMA = 9999.0

USUAL_DEPTH_M = 2.5
"""Of a scene: a guess, which nothing rests on until something tells better."""

_RATIOS = 60
_ENOUGH = 5
_SURE = 0.15
"""Relative sigma at which a first scale is believed."""

_ROUGHLY = 0.1
"""A guessed unit that is off by less is left as it is until metres are known."""

_LEAST_CHANGE = 0.01
_GAIN = 0.2
"""Share of what the newest ratios say that a known scale follows at once: it drifts slowly, and ratios are noisy."""

_FLOOR = 0.01
"""No odometry and no focal length is better than this, however many ratios agree."""

_HEIGHT_FLOOR = 0.05
"""A height over ground that is not quite flat, from an upright that is not quite right."""

_PATH = 64
_WAITING = 60
_LEAST_PATH_M = 0.1
_LEAST_PARALLAX = 0.03
_APART = 0.1
"""Of the least parallax: how far the camera goes between two places that are kept."""

_GROUND_KEYFRAMES = 5
_GROUND_STEPS = 20
_GROUND_REACH = 12.0
_GROUND_WIDTH = 0.06
_GROUND_POINTS = 20
_GROUND_SHARE = 0.12
_GROUND_DEPTH = 1.4
_NO_MOTION = 1e-24
_UP_WEIGHT = 0.01
"""Of the upright that is given, against that of the motion: a hundredth of the climb is left."""


Odometry = Callable[[int], FloatArray | None]
"""camera_to_odom (4x4, m) at a stamp, ns; None while it is not known."""


class ScaleSource(enum.IntEnum):
    """Values equal ``raxels_interfaces/msg/PoseStatus.SCALE_*``."""

    NONE = 0
    FIXED = 1
    ODOM = 2
    HEIGHT = 3
    DEPTH = 4
    STEREO = 5
    IMU = 6


MEASURED_DEPTHS = (ScaleSource.DEPTH, ScaleSource.STEREO)
"""What measures depths of single frames: a trajectory that began with them is in metres from its first frame."""


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

    @property
    def takes_depths(self) -> bool:
        """Whether depths that come with frames are used; not where metres are to come from elsewhere."""
        return self.source in (ScaleSource.NONE, *MEASURED_DEPTHS)


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

    @property
    def is_of_depths(self) -> bool:
        """Whether it is in metres because depths were measured, which hold for its keyframes as they are then."""
        return self.is_metric and self.source in MEASURED_DEPTHS


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
        self._ground: deque[FloatArray] = deque(maxlen=_GROUND_KEYFRAMES)
        self._steps: deque[FloatArray] = deque(maxlen=_GROUND_STEPS)
        self._source = settings.source
        self._told: tuple[float, float] | None = None
        self._metres_per_unit = 0.0
        self._sigma = UNKNOWN_SIGMA

    @property
    def scale(self) -> Scale:
        """As it is now."""
        return Scale(self._source, self._metres_per_unit, self._sigma)

    @property
    def depth_of_scene(self) -> float:
        """Median depth of the scene where a trajectory begins, in its unit: m where that is known from the start."""
        if self.settings.source is ScaleSource.STEREO:
            # Until cameras that turn tell better, a guess is nearer to metres than nothing.
            return USUAL_DEPTH_M
        return self.settings.scene_depth_m if self.settings.source is ScaleSource.FIXED else 1.0

    def begin(self) -> float:
        """Factor for a trajectory that begins, whose unit is the median depth of the scene."""
        self.forget_lengths()
        self._source, self._metres_per_unit, self._sigma = self.settings.source, 0.0, UNKNOWN_SIGMA
        if self.settings.source is ScaleSource.FIXED:
            self._metres_per_unit, self._sigma = self.settings.scene_depth_m, _FLOOR
        return self.depth_of_scene

    def adopt(self, scale: Scale) -> None:
        """Go on with keyframes whose scale was known."""
        self.begin()
        self._metres_per_unit, self._sigma = scale.metres_per_unit, scale.sigma
        if scale.is_of_depths:
            self._source = scale.source

    def begin_in_metres(self, source: ScaleSource, scene_depth_m: float, sigma: float) -> None:
        """A trajectory begins whose depths are measured from its first frame on.

        Args:
            source: what measures them.
            scene_depth_m: median depth of the scene there.
            sigma: relative standard deviation that all depths share.
        """
        self.forget_lengths()
        self._source, self._metres_per_unit, self._sigma = source, scene_depth_m, sigma

    def forget_path(self) -> None:
        """The world has been moved: distances to where the camera was do not hold any more."""
        self._path.clear()
        self._waiting.clear()

    def forget_lengths(self) -> None:
        """The camera is found elsewhere, where another error of the unit may hold; what is known of metres stays."""
        self.forget_path()
        self._ratios.clear()
        self._ground.clear()

    def see_growth(self, factor: float) -> None:
        """Lengths around the camera have become `factor` times as large for another reason than metres."""
        self.forget_path()
        self._ratios = deque((r - float(np.log(factor)) for r in self._ratios), maxlen=_RATIOS)
        self._ground = deque((points * factor for points in self._ground), maxlen=_GROUND_KEYFRAMES)

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
        # Those of a camera that stands would crowd out the ones from which it has come.
        if not self._path or np.linalg.norm(here - self._path[-1][0]) > _APART * _LEAST_PARALLAX * scene_depth:
            self._path.append((here, there))

    def see_ground(self, points: FloatArray, step: FloatArray) -> None:
        """Compare the camera's height over the ground with what it is known to be.

        Args:
            points: (K, 3) of the scene in the optical frame, in units of the trajectory.
            step: (3,) how the camera has moved since the last keyframe, in the optical frame.
        """
        # The camera is fixed to the robot: over some keyframes it sees the ground at the same distance.
        self._ground.append(points)
        self._steps.append(step)
        up = upright(self.up_in_camera, np.array(self._steps))
        height = ground_height(np.concatenate(list(self._ground)), up)
        if height is not None:
            self._ratios.append(float(np.log(self.settings.camera_height_m / height)))

    def be_told(self, log_ratio: float, sigma: float) -> None:
        """Take over what somebody who keeps account of it himself says now.

        Args:
            log_ratio: natural logarithm of true over present lengths.
            sigma: relative standard deviation.
        """
        self._told = log_ratio, sigma

    def correction(self, here: FloatArray, origin: FloatArray) -> tuple[float, FloatArray] | None:
        """Factor by which the world must grow now, and the point (3,) about which; None for none.

        What it says is taken as done. The first time the origin stays where it is, later the camera, whose pose must
        not jump.

        Args:
            here, origin: (3,) where the camera is, and where the trajectory began.
        """
        if self._told is not None:
            (off, sigma), self._told = self._told, None
            if self._metres_per_unit == 0.0 and sigma > _SURE:
                # Not metres yet, and yet better than the guess with which it began.
                return (float(np.exp(off)), origin) if abs(off) > _ROUGHLY else None
            return self._corrected(off, sigma, here, origin)
        if len(self._ratios) < _ENOUGH:
            return None
        ratios = np.array(self._ratios)
        off = float(np.median(ratios))
        spread = 1.4826 * float(np.median(np.abs(ratios - off)))
        floor = _HEIGHT_FLOOR if self.settings.source is ScaleSource.HEIGHT else _FLOOR
        sigma = float(np.hypot(floor, 1.2533 * spread / np.sqrt(len(ratios))))
        return self._corrected(off, sigma, here, origin)

    def _corrected(
        self, off: float, sigma: float, here: FloatArray, origin: FloatArray
    ) -> tuple[float, FloatArray] | None:
        first = self._metres_per_unit == 0.0
        if first and sigma > _SURE:
            return None
        self._sigma = sigma if first else float(np.hypot(sigma, abs(off)))
        step = off if first else _GAIN * off
        if not first and abs(off) < _LEAST_CHANGE:
            return None
        factor, centre = float(np.exp(step)), origin if first else here
        self._ratios = deque((ratio - step for ratio in self._ratios), maxlen=_RATIOS)
        self._path = deque(((centre + factor * (p - centre), m) for p, m in self._path), maxlen=_PATH)
        self._waiting = deque(((s, centre + factor * (p - centre)) for s, p in self._waiting), maxlen=_WAITING)
        self._ground = deque((points * factor for points in self._ground), maxlen=_GROUND_KEYFRAMES)
        self._metres_per_unit = factor * (self._metres_per_unit or 1.0)
        return factor, centre


def ground_height(points: FloatArray, up: FloatArray) -> float | None:
    """Height at which most points beneath the camera lie: the mode of the logarithms of their heights.

    Args:
        points: (K, 3) in the optical frame.
        up: (3,) unit vector from the ground to the camera, in the optical frame, right to a degree.

    Returns:
        In the unit of the points; None where no height stands out.
    """
    height = -(points @ up)
    # Far away an error of the upright tells more than the height.
    near = (height > 0) & (np.linalg.norm(points, axis=1) < _GROUND_REACH * height)
    if near.sum() < _GROUND_POINTS:
        return None
    logarithm = np.log(height[near])
    density = np.exp(-0.5 * ((logarithm[:, None] - logarithm) / _GROUND_WIDTH) ** 2).sum(axis=1)
    best = int(density.argmax())
    on = np.abs(logarithm - logarithm[best]) < 2 * _GROUND_WIDTH
    if on.sum() < _GROUND_POINTS or density[best] < _GROUND_SHARE * near.sum():
        return None
    # A wall has a lowest edge, too, but all of it at one distance.
    nearest, furthest = np.percentile(np.linalg.norm(points[near][on], axis=1), (10, 90))
    return float(np.exp(np.median(logarithm[on]))) if furthest > _GROUND_DEPTH * nearest else None


def upright(up: FloatArray, steps: FloatArray) -> FloatArray:
    """The upright nearest to `up` that the motion keeps to: who drives on the ground does not climb.

    Args:
        up: (3,) unit vector.
        steps: (K, 3) motions of the camera, in the same frame.
    """
    # Long steps count for more: the direction of a short one is noise.
    climb = steps.T @ steps / max(float((steps**2).sum()), _NO_MOTION)
    level = np.linalg.solve(climb + _UP_WEIGHT * np.eye(3), up)
    return np.asarray(level / np.linalg.norm(level))
