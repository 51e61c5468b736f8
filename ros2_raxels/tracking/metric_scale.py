"""Metres: how long one unit of the trajectory is, from a constant, odometry or the camera's height over the ground."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, nearest_rotation

UNKNOWN_SIGMA = 9999.0

USUAL_DEPTH_M = 2.5
"""Of a scene: a guess at metres until something tells better."""

_RATIOS = 60
_ENOUGH = 5
_SURE = 0.15
"""Relative sigma at which a first scale is believed."""

_ROUGHLY = 0.1
"""A guessed unit that is off by less is left as it is until metres are known."""

_LEAST_CHANGE, _LEAST_TOLD = 0.01, 0.002
"""Of a known scale that is followed, as a logarithm: by ratios, and as somebody tells who keeps account of it."""

_GAIN = 0.2
"""Share of what the newest ratios say that a known scale follows at once: it drifts slowly, and ratios are noisy."""

_FLOOR = 0.01
"""No odometry is better than this, however often it agrees."""

_HEIGHT_FLOOR = 0.05
"""A height over ground that is not quite flat, from an upright that is not quite right."""

_SEGMENT_M = 0.8
"""Length of the path by odometry over which lengths are compared: longer, and a drift of the unit is seen late."""

_LEAST_PATH_M = 0.1
_LEAST_PARALLAX = 0.03
_AT_START = 0.3
"""Relative sigma at which the first cameras, which stand close together, are put in metres by odometry."""

_LEAST_START_M = 0.02

_POSITION_NOISE = 0.002
"""Of the depth of the scene: error of a position that no comparison with odometry shows."""

_DRIFT = 0.03
"""Relative change of the unit that is expected along `_LEAST_PATH_M`."""

_SURELY_INERTIAL, _ROUGHLY_INERTIAL = 0.2, 0.6
"""Relative sigma at which a first scale by the IMU is believed; on rendered drives it was right to a third of that.

One that is certain to the other makes the guess better with which the trajectory began, once.
"""

_REPEATED, _INERTIAL_DRIFT = 20.0, 0.004
"""So many looks of the IMU in a row are one, and relative change of the unit from one to the next."""

_LEAST_STRETCH = 0.004
_FORGETTING = 0.3
"""Share of the newest comparison in what is known of the error of the unit."""

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

PathPoint = tuple[int, FloatArray]
"""A stamp, ns, and where the camera was then (3,)."""


class ScaleSource(enum.IntEnum):
    """Values equal ``raxels_interfaces/msg/PoseStatus.SCALE_*``."""

    NONE = 0
    FIXED = 1
    ODOM = 2
    HEIGHT = 3
    DEPTH = 4
    STEREO = 5
    IMU = 6


_MOTION = (ScaleSource.ODOM, ScaleSource.IMU)
"""What compares lengths of the path."""

MEASURED_DEPTHS = (ScaleSource.DEPTH, ScaleSource.STEREO)
"""What measures depths of single frames: a trajectory that began with them is in metres from its first frame."""


@dataclass(frozen=True)
class ScaleSettings:
    """Where metres come from.

    Attributes:
        source: see `ScaleSource`.
        auto: where source is NONE: the best that is there, depths before odometry, and that before the IMU.
        scene_depth_m: for FIXED: median depth of the scene where the trajectory begins, which is the unit otherwise.
        camera_height_m: for HEIGHT: of the camera over the ground plane.
        up_in_camera: for HEIGHT: unit vector, upwards from the ground, in the optical frame. Default: level camera.
    """

    source: ScaleSource = ScaleSource.NONE
    scene_depth_m: float = 1.0
    camera_height_m: float = 1.0
    up_in_camera: tuple[float, float, float] = (0.0, -1.0, 0.0)
    auto: bool = True

    @property
    def is_auto(self) -> bool:
        """Whether the source is chosen by what is there."""
        return self.auto and self.source is ScaleSource.NONE

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
        self._stretch: float | None = None
        self._metres_at: dict[int, FloatArray] = {}
        self._compared_at: FloatArray | None = None
        self._ground: deque[FloatArray] = deque(maxlen=_GROUND_KEYFRAMES)
        self._steps: deque[FloatArray] = deque(maxlen=_GROUND_STEPS)
        self._source = settings.source
        self._told: tuple[float, float] | None = None
        self._may_guess = False
        self._rough: float | None = None
        self._metres_per_unit = 0.0
        self._sigma = UNKNOWN_SIGMA

    @property
    def scale(self) -> Scale:
        """As it is now."""
        return Scale(self._source, self._metres_per_unit, self._sigma)

    @property
    def depth_of_scene(self) -> float:
        """Median depth of the scene where a trajectory begins, in its unit: m, known or guessed.

        A guess is nearer to metres than nothing, and what is known in metres, as where the camera is on its base, is
        least wrong with it.
        """
        return self.settings.scene_depth_m if self.settings.source is ScaleSource.FIXED else USUAL_DEPTH_M

    def begin(
        self,
        path: Sequence[PathPoint] = (),
        odometry: Odometry | None = None,
        scene_depth: float = 1.0,
        guessed: bool = False,
    ) -> float:
        """Factor for a trajectory that begins and has the median depth of the scene as its unit.

        Args:
            path: of the first cameras; in metres by odometry where that tells.
            odometry: see `see_odometry`.
            scene_depth: median depth of the scene in the unit of the path.
            guessed: whether an IMU that is not sure yet may make the guess better, because metres will be known soon.
        """
        self.forget_lengths()
        self._may_guess = False
        self._source, self._metres_per_unit, self._sigma = self.settings.source, 0.0, UNKNOWN_SIGMA
        if self.settings.source is ScaleSource.FIXED:
            self._metres_per_unit, self._sigma = self.settings.scene_depth_m, _FLOOR
        elif odometry is not None and self.takes(ScaleSource.ODOM):
            found = self._compared(path, odometry, scene_depth, _LEAST_START_M, 0.0)
            if found is not None and found[1] < _AT_START:
                self._source = ScaleSource.ODOM
                self._metres_per_unit, self._sigma = float(np.exp(found[0])) * scene_depth, max(found[1], _FLOOR)
                return self._metres_per_unit
        self._may_guess = guessed and self.settings.source in (ScaleSource.NONE, ScaleSource.IMU)
        return self.depth_of_scene

    def adopt(self, scale: Scale) -> None:
        """Go on with keyframes whose scale was known."""
        self.begin()
        self._metres_per_unit, self._sigma = scale.metres_per_unit, scale.sigma
        if scale.is_of_depths or (scale.is_metric and self.settings.is_auto):
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
        """The world has been moved: what was compared does not hold any more."""
        self._compared_at = None

    def forget_lengths(self) -> None:
        """The camera is found elsewhere, where another error of the unit may hold; what is known of metres stays."""
        self.forget_path()
        self._stretch, self._rough = None, None
        self._metres_at = {}
        self._ratios.clear()
        self._ground.clear()

    def see_growth(self, factor: float) -> None:
        """Lengths around the camera have become `factor` times as large for another reason than metres."""
        self.forget_path()
        if self._metres_per_unit and self._source in _MOTION:
            self._stretch = (self._stretch or 0.0) - float(np.log(factor))
        self._ratios = deque((r - float(np.log(factor)) for r in self._ratios), maxlen=_RATIOS)
        self._ground = deque((points * factor for points in self._ground), maxlen=_GROUND_KEYFRAMES)

    def see_odometry(self, path: Sequence[PathPoint], odometry: Odometry, scene_depth: float) -> None:
        """Compare the way that the camera has come with what odometry says of it.

        Args:
            path: the newest keyframes and the newest frame, in order, in units of the trajectory. Odometry may come
                later than images: who it does not reach yet is left out.
            odometry: see there.
            scene_depth: distance that counts as far, in units of the trajectory.
        """
        before, now = self._compared_at, odometry(path[-1][0])
        if before is not None and now is not None and np.linalg.norm(now[:3, 3] - before) < _LEAST_PATH_M:
            return
        found = self._compared(path, odometry, scene_depth, _LEAST_PATH_M, _LEAST_PARALLAX)
        if found is None:
            return
        if self._take(ScaleSource.ODOM, *found):
            newest = next(stamp for stamp, _ in reversed(path) if stamp in self._metres_at)
            self._compared_at = self._metres_at[newest]

    def see_inertial(self, stretch: float, sigma: float) -> None:
        """What the IMU says of the present unit: logarithm of metres per unit, and its standard deviation.

        It looks back over many seconds, and what it says next time is almost the same again.
        """
        if not self._metres_per_unit:
            if sigma < _SURELY_INERTIAL:
                self._source, self._stretch, self._sigma = ScaleSource.IMU, stretch, float(np.hypot(_FLOOR, sigma))
            elif sigma < _ROUGHLY_INERTIAL and self._may_guess:
                self._may_guess, self._rough = False, stretch
        elif self._source is ScaleSource.IMU:
            variance = max(self._sigma**2 - _FLOOR**2, 0.0) + _INERTIAL_DRIFT**2
            gain = variance / (variance + _REPEATED * sigma**2)
            self._stretch = gain * stretch
            self._sigma = float(np.sqrt(_FLOOR**2 + (1.0 - gain) * variance))

    def see_depths(self, source: ScaleSource, stretch: float, sigma: float) -> None:
        """What measured depths say of the unit of a trajectory that began without: as `see_inertial`."""
        if not self._metres_per_unit:
            self._take(source, stretch, sigma)

    @property
    def is_told_by_depths(self) -> bool:
        """Whether measured depths have told of the unit, and the world has not grown by that yet."""
        return self._stretch is not None and self._source in MEASURED_DEPTHS

    def leave_as_it_is(self) -> None:
        """Where wheels or IMU tell metres already, somebody else sees to it that the unit follows them."""
        if self._metres_per_unit and self._source in _MOTION:
            self._stretch = None

    def takes(self, source: ScaleSource) -> bool:
        """Whether metres may come from there now: as the settings say, or where nothing better is there."""
        if not self.settings.is_auto:
            return self.settings.source is source
        return not self._metres_per_unit or self._source in (source, ScaleSource.NONE, ScaleSource.IMU)

    def _take(self, source: ScaleSource, stretch: float, sigma: float) -> bool:
        """Whether a comparison was good enough to be used."""
        if self._metres_per_unit == 0.0 or self._source is not source:
            if sigma > _SURE:
                return False
            self._stretch, self._sigma = stretch, float(np.hypot(_FLOOR, sigma))
        else:
            variance = max(self._sigma**2 - _FLOOR**2, 0.0)
            gain = (variance + _DRIFT**2) / (variance + _DRIFT**2 + sigma**2)
            variance = (1.0 - _FORGETTING) * variance + _FORGETTING * (gain * stretch) ** 2
            self._stretch, self._sigma = gain * stretch, float(np.sqrt(_FLOOR**2 + variance))
        self._source = source
        return True

    def _compared(
        self, path: Sequence[PathPoint], odometry: Odometry, scene_depth: float, least_m: float, least_parallax: float
    ) -> tuple[float, float] | None:
        """Logarithm of metres per unit over the newest part of a path, and its sigma; None where that is short."""
        for stamp, _ in path:
            if stamp not in self._metres_at and (camera_to_odom := odometry(stamp)) is not None:
                self._metres_at[stamp] = camera_to_odom[:3, 3].copy()
        self._metres_at = {stamp: self._metres_at[stamp] for stamp, _ in path if stamp in self._metres_at}
        known = [(here, self._metres_at[stamp]) for stamp, here in path if stamp in self._metres_at]
        if len(known) < 2:
            return None
        here, there = (np.array(places) for places in zip(*known, strict=True))
        since = np.concatenate([[0.0], np.linalg.norm(np.diff(there[::-1], axis=0), axis=1).cumsum()])[::-1]
        first = max(int(np.searchsorted(-since, -_SEGMENT_M, side="right")) - 1, 0)
        here, there = here[first:], there[first:]
        reach, reach_m = (float(np.linalg.norm(places - places[-1], axis=1).max()) for places in (here, there))
        if reach_m < least_m or reach < least_parallax * scene_depth or reach == 0.0:
            return None
        return length_ratio(here, there, _POSITION_NOISE * scene_depth)

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
        first = self._metres_per_unit == 0.0
        told, self._told = self._told, None
        rough, self._rough = self._rough, None
        if rough is not None and first:
            return float(np.exp(rough)), origin
        if told is not None and not self.is_told_by_depths:
            if first and told[1] > _SURE:
                # Not metres yet, and yet better than the guess with which it began.
                return (float(np.exp(told[0])), origin) if abs(told[0]) > _ROUGHLY else None
            self._source = ScaleSource.STEREO
            step = self._taken_over(first, *told)
        else:
            step = self._stretched() if self._source in (*_MOTION, *MEASURED_DEPTHS) else self._by_ratios(first)
        if step is None:
            return None
        factor, centre = float(np.exp(step)), origin if first else here
        self._stretch = None
        self._ratios = deque((ratio - step for ratio in self._ratios), maxlen=_RATIOS)
        self._ground = deque((points * factor for points in self._ground), maxlen=_GROUND_KEYFRAMES)
        self._metres_per_unit = factor * (self._metres_per_unit or 1.0)
        return factor, centre

    def _stretched(self) -> float | None:
        """Logarithm of the factor by which the world must grow by odometry; None for none."""
        if self._stretch is None or (self._metres_per_unit and abs(self._stretch) < _LEAST_STRETCH):
            return None
        return self._stretch

    def _by_ratios(self, first: bool) -> float | None:
        """The same by the median of many ratios; `first` while metres are not known."""
        if len(self._ratios) < _ENOUGH:
            return None
        ratios = np.array(self._ratios)
        off = float(np.median(ratios))
        spread = 1.4826 * float(np.median(np.abs(ratios - off)))
        sigma = float(np.hypot(_HEIGHT_FLOOR, 1.2533 * spread / np.sqrt(len(ratios))))
        return self._followed(first, off, sigma)

    def _taken_over(self, first: bool, off: float, sigma: float) -> float | None:
        """The same of what keeps account of all that was seen: to follow it slowly would be to know it later."""
        self._sigma = sigma
        return off if first or abs(off) > _LEAST_TOLD else None

    def _followed(self, first: bool, off: float, sigma: float) -> float | None:
        """What of a logarithm of true over present lengths is followed now."""
        if first and sigma > _SURE:
            return None
        self._sigma = sigma if first else float(np.hypot(sigma, abs(off)))
        if not first and abs(off) < _LEAST_CHANGE:
            return None
        return off if first else _GAIN * off


def length_ratio(here: FloatArray, there: FloatArray, noise: float) -> tuple[float, float]:
    """How much longer one path is than the other: the logarithm, and its standard deviation.

    The paths are laid over each other first. All the error is taken to be that of the first one.

    Args:
        here, there: (N, 3) the same places in two frames, N at least 2, not all in one place.
        noise: least standard deviation of a place `here`, in its unit.
    """
    here, there = here - here.mean(axis=0), there - there.mean(axis=0)
    laid_over = there @ nearest_rotation(here.T @ there).T
    square = float((there**2).sum())
    shrunk = float((here * laid_over).sum()) / square
    left = here - shrunk * laid_over
    spread = float(np.sqrt((left**2).sum() / max(2 * len(here) - 4, 1)))
    if shrunk <= 0.0:
        return 0.0, UNKNOWN_SIGMA
    return -float(np.log(shrunk)), float(np.hypot(spread, noise) / (shrunk * np.sqrt(square)))


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
