"""Which way is up, in the world of a trajectory, by what an accelerometer reads while the camera stands and moves."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, rotation_angle_rad
from ros2_raxels.tracking.frame import KeyframePose
from ros2_raxels.tracking.inertial import Imu, Preintegrated, preintegrate
from ros2_raxels.tracking.visual_inertial import (
    GRAVITY,
    VISUAL_NOISE,
    Placed,
    accelerometer_trouble,
    seen_sigma,
)

_BIAS_SIGMA, _BIAS_WANDER = 0.1, 1e-3
"""m/s2 of an accelerometer of which nothing is known, and m/s2/sqrt(s)."""

_WEIGHT_SIGMA = 0.03
"""m/s2: gravity is 9.78 to 9.83."""

_STANDS_NS, _MOVES_NS = 100_000_000, 300_000_000
"""Time over which readings are averaged, and between places whose second difference is an acceleration."""

_LATEST_NS, _LONGEST_NS = 1_000_000_000, 2_500_000_000
"""So long readings are waited for, and so long a gap between two frames may be: longer than sensors carry a camera."""

_STANDS_SIGMA = 0.03
"""m/s2, of a mean over `_STANDS_NS` of a robot that stands with its motors on."""

_ANY_SIGMA = 1.5
"""m/s2, of the acceleration of a robot while nobody knows metres, over `_MOVES_NS`."""

_WANDER_RAD, _TURN_SHARE = 3e-4, 2e-3
"""What the turns that are seen are off by: rad/sqrt(s), and rad/sqrt(rad) of the turn."""

_SURPRISE = 3.0
"""Sigmas of a reading that is believed; one that is further off counts as little as it should then."""

_MOST_SURPRISES = 5
"""In a row: then it is what was known that is wrong."""

_FELT = 5.0, 15.0
"""m/s2, of weight and push together, in the mean over some tenths of a second."""

_RECENT, _ENOUGH_WRONG = 8, 5
"""Of the recent readings so many that no robot feels: then the accelerometer is left out."""

_AGAIN_NS = 20_000_000_000
"""So it is where what was known is found wrong twice within this time, and for as long."""

_WRONG_AXES = (
    "the accelerometer is left out: while the camera turns it says again and again that up is elsewhere; correct the "
    "transform from camera to IMU, or its axes"
)

_TELLS_RAD = 0.1


@dataclass(frozen=True, eq=False)
class Up:
    """Against gravity.

    Attributes:
        direction: (3,) unit vector, in the world of the trajectory.
        sigma_rad: standard deviation about each horizontal axis.
    """

    direction: FloatArray
    sigma_rad: float


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame that was solved.

    Attributes:
        stamp_ns: of it.
        pose: camera_to_world (4x4), as it was known then.
        told: the same beside a keyframe; None before there is one.
        scale_sigma: relative standard deviation of the unit, which is the metre; None where it is not.
        stands: whether the camera has not moved for some frames.
    """

    stamp_ns: int
    pose: FloatArray
    told: KeyframePose | None
    scale_sigma: float | None
    stands: bool

    def now(self, place: Placed) -> FloatArray | None:
        """The pose as it is known now; None where that is forgotten."""
        return self.pose if self.told is None else place(self.told)


class Gravity:
    """Gravity and the bias of the accelerometer, from all frames since the last loss.

    All is linear in the two. A camera that stands is pushed up by as much as it weighs; one that moves also by the
    second difference of its places, where these are in metres. In turns a bias goes with the camera and gravity does
    not, which tells the two apart.

    Args:
        imu: mounted with the camera.

    Attributes:
        words: why the accelerometer is left out, in a line; empty while it is not.
    """

    def __init__(self, imu: Imu) -> None:
        self._imu = imu
        self.words, self._wrong_until_ns = "", 0
        self._credible: deque[bool] = deque(maxlen=_RECENT)
        self._mean: FloatArray = np.zeros(6)
        self._variance: FloatArray = np.eye(6) * _BIAS_SIGMA**2
        self.jump()

    def _open(self) -> None:
        """Nothing is known of gravity any more."""
        self._mean[:3] = 0.0
        self._variance[:3], self._variance[:, :3] = 0.0, 0.0
        self._variance[:3, :3] = np.eye(3) * GRAVITY**2
        self._is_weighed, self._surprises = False, 0

    def jump(self) -> None:
        """The next pose has nothing to do with the last one; what is known of the bias stays."""
        self._open()
        self._newest: Seen | None = None
        self._points: list[Seen] = []
        self._waiting: deque[tuple[Seen, ...]] = deque()

    @property
    def bias(self) -> FloatArray:
        """(3,) m/s2 of the accelerometer, in the axes of the camera."""
        return self._mean[3:].copy()

    @property
    def bias_sigma(self) -> float:
        """Standard deviation of that along the axis of which least is known, m/s2."""
        return float(np.sqrt(np.linalg.eigvalsh(self._variance[3:, 3:])[-1]))

    @property
    def is_trusted(self) -> bool:
        """Whether the accelerometer has been looked at, and reads what a robot feels."""
        return not self.words and len(self._credible) > 0 and self._credible[-1]

    @property
    def newest_ns(self) -> int:
        """Stamp of the newest frame that was solved; 0 for none."""
        return 0 if self._newest is None else self._newest.stamp_ns

    @property
    def up(self) -> Up | None:
        """None while it is not known to some degrees."""
        length = float(np.linalg.norm(self._mean[:3]))
        if self.words or not self._is_weighed or length < GRAVITY / 2.0:
            return None
        direction = self._mean[:3] / length
        level = np.eye(3) - np.outer(direction, direction)
        sigma = float(np.sqrt(np.linalg.eigvalsh(level @ self._variance[:3, :3] @ level)[-1])) / GRAVITY
        return Up(direction, sigma) if sigma < _TELLS_RAD else None

    def see(self, seen: Seen, place: Placed, gyro_bias: FloatArray | None, depth: float) -> None:
        """A frame was solved.

        Args:
            seen: it.
            place: where the camera of a keyframe pose is now.
            gyro_bias: (3,) rad/s; None while the gyro is not believed.
            depth: of the scene, in the unit of the world.
        """
        self._follow_world(seen, place)
        self._newest = seen
        self._collect(seen)
        while self._waiting and self._take_in(self._waiting[0], place, gyro_bias, depth):
            self._waiting.popleft()

    def _way(self, begin_ns: int, end_ns: int, gyro_bias: FloatArray) -> Preintegrated | None:
        readings = self._imu.between(begin_ns, end_ns)
        return None if readings is None else preintegrate(readings, gyro_bias, np.zeros(3), VISUAL_NOISE)

    def _follow_world(self, seen: Seen, place: Placed) -> None:
        """Corrections of the map turn the world under a camera that gravity has not moved."""
        if self._newest is None:
            return
        before, elapsed_ns = self._newest.now(place), seen.stamp_ns - self._newest.stamp_ns
        if before is None or not 0 < elapsed_ns < _LONGEST_NS:
            self.jump()
            return
        turned = np.eye(6)
        turned[:3, :3] = before[:3, :3] @ self._newest.pose[:3, :3].T
        self._mean, self._variance = turned @ self._mean, turned @ self._variance @ turned.T
        turn_rad = float(rotation_angle_rad(before[:3, :3].T @ seen.pose[:3, :3]))
        wander = GRAVITY**2 * (_WANDER_RAD**2 * elapsed_ns * 1e-9 + _TURN_SHARE**2 * turn_rad)
        self._variance += np.diag(np.repeat([wander, _BIAS_WANDER**2 * elapsed_ns * 1e-9], 3))

    def _collect(self, seen: Seen) -> None:
        """Frames between which readings are to be looked at, as soon as they are all there."""
        self._points.append(seen)
        first = self._points[0]
        if seen.stands and first.stands:
            if seen.stamp_ns - first.stamp_ns >= _STANDS_NS:
                self._waiting.append((first, seen))
                self._points = [seen]
            return
        spaced = [first]
        for point in self._points[1:]:
            if point.stamp_ns - spaced[-1].stamp_ns >= _MOVES_NS:
                spaced.append(point)
        if len(spaced) == 3:
            self._waiting.append(tuple(spaced))
            self._points = [point for point in self._points if point.stamp_ns >= spaced[1].stamp_ns]

    def _take_in(self, points: tuple[Seen, ...], place: Placed, gyro_bias: FloatArray | None, depth: float) -> bool:
        """Whether there is nothing more to be waited for."""
        assert self._newest is not None
        poses = [pose for point in points if (pose := point.now(place)) is not None]
        stands = len(points) == 2
        if len(poses) < len(points) or (gyro_bias is None and not stands):
            return True
        bias = np.zeros(3) if gyro_bias is None else gyro_bias
        ways = [self._way(a.stamp_ns, b.stamp_ns, bias) for a, b in pairwise(points)]
        motions = [way for way in ways if way is not None]
        if len(motions) < len(ways):
            return self._newest.stamp_ns - points[-1].stamp_ns > _LATEST_NS
        self._judge(motions, points[0].stamp_ns, points[-1].stamp_ns)
        if self.words or not self._credible[-1]:
            return True
        if stands:
            self._learn(*_mean_force(poses[0], motions[0]), _STANDS_SIGMA)
        elif any(point.scale_sigma is None for point in points):
            self._learn(*_mean_force(poses[0], motions[0]), _ANY_SIGMA)
        else:
            self._learn(*_pushed(poses, motions, self._imu.place, depth, max(p.scale_sigma or 0.0 for p in points)))
        return True

    def _judge(self, motions: Sequence[Preintegrated], begin_ns: int, end_ns: int) -> None:
        """Whether a robot can feel what the accelerometer reads."""
        forces = [float(np.linalg.norm(motion.velocity)) / motion.duration_s for motion in motions]
        self._credible.append(all(_FELT[0] < force < _FELT[1] for force in forces))
        if self._credible.count(False) >= _ENOUGH_WRONG:
            self.words = self.words or accelerometer_trouble(self._imu, begin_ns, end_ns)
        elif len(self._credible) == _RECENT and all(self._credible) and end_ns > self._wrong_until_ns:
            self.words = ""

    def _learn(self, force: FloatArray, by_bias: FloatArray, sigma: float) -> None:
        """What pushes the camera up (3,), m/s2, with how the bias is in it (3x3)."""
        matrix = np.hstack([np.eye(3), by_bias])
        off = force - matrix @ self._mean
        spread = matrix @ self._variance @ matrix.T
        noise = np.eye(3) * sigma**2
        surprise = float(off @ np.linalg.solve(spread + noise, off)) / 3.0
        if surprise > _SURPRISE**2:
            self._surprises += 1
            if self._surprises > _MOST_SURPRISES:
                self._open()
                if self.newest_ns < self._wrong_until_ns:
                    self.words = _WRONG_AXES
                self._wrong_until_ns = self.newest_ns + _AGAIN_NS
                return
            noise *= surprise
        else:
            self._surprises = 0
        self._update(matrix, off, noise)
        if not self._is_weighed:
            self._is_weighed = True
            length = float(np.linalg.norm(self._mean[:3]))
            weighed = np.zeros((1, 6))
            weighed[0, :3] = self._mean[:3] / length
            self._update(weighed, np.array([GRAVITY - length]), np.eye(1) * _WEIGHT_SIGMA**2)

    def _update(self, matrix: FloatArray, off: FloatArray, noise: FloatArray) -> None:
        gain = np.linalg.solve(matrix @ self._variance @ matrix.T + noise, matrix @ self._variance).T
        self._mean = self._mean + gain @ off
        left = np.eye(6) - gain @ matrix
        self._variance = left @ self._variance @ left.T + gain @ noise @ gain.T


def _mean_force(pose: FloatArray, motion: Preintegrated) -> tuple[FloatArray, FloatArray]:
    """What pushes the camera, in the mean (3,), m/s2, and how much of it (3x3) is the bias."""
    turn = pose[:3, :3] / motion.duration_s
    return turn @ motion.velocity, -turn @ motion.by_accelerometer_bias[3:6]


def _pushed(
    poses: list[FloatArray], motions: list[Preintegrated], arm: FloatArray, depth: float, scale_sigma: float
) -> tuple[FloatArray, FloatArray, float]:
    """The same but for what the velocity changes by, and its standard deviation.

    Args:
        poses: three of the camera, m.
        motions: two of the IMU, from each to the next.
        arm: (3,) of the IMU in the optical frame, m.
        depth: of the scene, m.
        scale_sigma: relative, of the places.
    """
    places = np.array([pose[:3, 3] + pose[:3, :3] @ arm for pose in poses])
    first, second = (motion.duration_s for motion in motions)
    between = (first + second) / 2.0
    change = (places[2] - places[1]) / second - (places[1] - places[0]) / first
    read, biased = _read(poses, motions)
    seen = [seen_sigma(step, depth) for step in np.diff(places, axis=0)]
    sigma = float(np.hypot(np.hypot(seen[0] / first, seen[1] / second), scale_sigma * np.linalg.norm(change)))
    reading = VISUAL_NOISE.acceleration / float(np.sqrt(between))
    return (read - change) / between, biased / between, float(np.hypot(sigma / between, reading))


def _read(poses: list[FloatArray], motions: list[Preintegrated]) -> tuple[FloatArray, FloatArray]:
    """By what the mean velocity of the second motion differs from that of the first (3,), gravity and bias included.

    What readings say of each way is counted from the velocity at its beginning, which drops out.

    Returns:
        It, and how much of it (3x3) is the bias.
    """
    first, second = (motion.duration_s for motion in motions)

    def summed(begin: FloatArray, onward: FloatArray, after: FloatArray) -> FloatArray:
        return poses[0][:3, :3] @ (begin - onward / first) + poses[1][:3, :3] @ after / second

    by_bias = [motion.by_accelerometer_bias for motion in motions]
    return (
        summed(motions[0].velocity, motions[0].position, motions[1].position),
        -summed(by_bias[0][3:6], by_bias[0][6:], by_bias[1][6:]),
    )
