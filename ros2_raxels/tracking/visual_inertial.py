"""Metres from an IMU: the trajectory of the camera beside what the accelerometer says of its changes of velocity."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.tracking.frame import KeyframePose
from ros2_raxels.tracking.inertial import Imu, ImuNoise, Preintegrated, preintegrate

GRAVITY = 9.81

_SEEN_NOISE, _SEEN_SHARE = 0.0005, 0.01
"""Error of the way from one camera to the next as it is seen: so much of the depth of the scene, and of the way itself.

Where the camera is in the world is known less well, but errors of neighbours are the same.
"""

_HELD = 1e-6
"""Of the depth of the scene: where the first camera is, from which the others are counted."""

VISUAL_NOISE = ImuNoise(turn_rate=5e-4, acceleration=0.01)
"""More than that of the readings: cameras are turned wrong by a tenth of a degree, too, which lets gravity in."""

_BIAS_SIGMA = 0.1
"""m/s2, of the accelerometer."""

_GRAVITY_SIGMA = 0.03
_ROUNDS = 4
_FEWEST = 6
_CREDIBLE_G = (8.5, 11.2)
"""m/s2, within which the median of what an accelerometer reads lies, however the robot drives."""

_PERIOD_NS, _LONGEST_NS, _MOST_POINTS = 330_000_000, 2_500_000_000, 40

_STANDS = 0.01
"""Of the depth of the scene, from one point of the path to the next: who stands learns nothing new."""

Placed = Callable[[KeyframePose], FloatArray | None]
"""Where the camera of a pose is (4x4), as it is known now; None where that is forgotten."""

Pose = tuple[int, FloatArray]
"""A stamp, ns, and camera_to_world (4x4) then."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """What an IMU says of a trajectory.

    Attributes:
        log_metres: natural logarithm of the metres in one unit of it.
        sigma: standard deviation of that; large where the motion was too smooth to tell.
        up: (3,) unit vector against gravity, in the world of the trajectory.
    """

    log_metres: float
    sigma: float
    up: FloatArray


def align(
    path: Sequence[Pose], motions: Sequence[Preintegrated], place: FloatArray, scene_depth: float
) -> Alignment | None:
    """Scale, gravity, velocities and the bias of the accelerometer by linear least squares, all lengths in the unit.

    Told in metres the places of the cameras would be measured quantities times an unknown one, and noise would shrink
    the scale; told in the unit it is the exact readings that are multiplied.

    Args:
        path: of the camera, some tenths of a second apart.
        motions: of the IMU, from each pose to the next.
        place: (3,) of the IMU in the optical frame, m.
        scene_depth: distance that counts as far, in the unit.

    Returns:
        None where they say nothing.
    """
    if len(path) < _FEWEST:
        return None
    scale, toward_up, solved = 1.0 / scene_depth, None, None
    for _ in range(_ROUNDS):
        matrix, wanted = _equations(path, motions, place, scene_depth, max(scale, 1e-6), toward_up)
        information = matrix.T @ matrix
        try:
            solution = np.linalg.solve(information, matrix.T @ wanted)
        except np.linalg.LinAlgError:
            return None
        if solution[0] <= 0.0 or not np.isfinite(solution).all():
            return None
        gravity = solution[1:4]
        scale, toward_up = float(solution[0]), -gravity / np.linalg.norm(gravity)
        solved = (matrix, matrix @ solution - wanted)
    assert solved is not None
    assert toward_up is not None
    matrix, left = solved
    surplus = max(float(left @ left) / max(len(left) - matrix.shape[1], 1), 1.0)
    variance = float(np.linalg.solve(matrix.T @ matrix, np.eye(matrix.shape[1])[:, 0])[0]) * surplus
    return Alignment(-float(np.log(scale)), float(np.sqrt(variance)) / scale, toward_up)


def accelerometer_trouble(imu: Imu, begin_ns: int, end_ns: int) -> str:
    """What is wrong with the unit of the accelerometer, in a line; empty where nothing is, or nothing is known."""
    readings = imu.between(begin_ns, end_ns)
    if readings is None:
        return ""
    usual = float(np.median(np.linalg.norm(readings.acceleration, axis=1)))
    if _CREDIBLE_G[0] < usual < _CREDIBLE_G[1]:
        return ""
    hint = ", as if in g" if 0.8 < usual < 1.2 else ""
    return (
        f"the accelerometer is left out: it reads {usual:.2g} m/s2 where gravity is 9.8{hint}; publish m/s2, gravity "
        "included"
    )


def seen_sigma(step: FloatArray, scene_depth: float) -> float:
    """Standard deviation of the way (3,) from one camera to the next as it is seen, in the unit of the depth."""
    return _SEEN_NOISE * scene_depth + _SEEN_SHARE * float(np.linalg.norm(step))


class InertialPath:
    """The newest part of a trajectory, as it was told beside keyframes, with what the IMU says of the ways between.

    Args:
        imu: mounted with the camera.
    """

    def __init__(self, imu: Imu) -> None:
        self._imu = imu
        self._points: deque[tuple[int, KeyframePose]] = deque(maxlen=_MOST_POINTS)
        self._motions: dict[tuple[int, int], tuple[Preintegrated, FloatArray]] = {}

    def forget(self) -> None:
        """The camera is found elsewhere."""
        self._points.clear()
        self._motions.clear()

    def covers(self, begin_ns: int, end_ns: int) -> bool:
        """Whether there are readings between two stamps."""
        return self._imu.between(begin_ns, end_ns) is not None

    def begin(self, points: Sequence[tuple[int, KeyframePose]]) -> None:
        """A trajectory begins with these, of which the first may have stood for long."""
        self.forget()
        self._points.extend(points)

    def see(self, stamp_ns: int, pose: KeyframePose) -> bool:
        """Where the camera is at a stamp; whether it is far enough from the last one in time to be kept."""
        if self._points and stamp_ns - self._points[-1][0] < _PERIOD_NS:
            return False
        if self._points and stamp_ns - self._points[-1][0] > _LONGEST_NS:
            self.forget()
        self._points.append((stamp_ns, pose))
        return True

    def aligned(self, place: Placed, gyro_bias: FloatArray, scene_depth: float) -> Alignment | None:
        """See `align`; `place` tells where the camera of a keyframe pose is now."""
        path = [(stamp_ns, where) for stamp_ns, pose in self._points if (where := place(pose)) is not None]
        if len(path) < _FEWEST or np.linalg.norm(path[-1][1][:3, 3] - path[-2][1][:3, 3]) < _STANDS * scene_depth:
            return None
        ways = [(a[0], b[0]) for a, b in pairwise(path)]
        self._motions = {way: self._motions[way] for way in ways if way in self._motions}
        motions = [self._motion(way, gyro_bias) for way in ways]
        if any(motion is None for motion in motions):
            return None
        return align(path, [motion for motion in motions if motion is not None], self._imu.place, scene_depth)

    def _motion(self, way: tuple[int, int], gyro_bias: FloatArray) -> Preintegrated | None:
        """Integrated once, and made to fit what is known of the bias by now."""
        if way not in self._motions:
            readings = self._imu.between(*way)
            if readings is None:
                return None
            self._motions[way] = preintegrate(readings, gyro_bias, np.zeros(3), VISUAL_NOISE), gyro_bias
        motion, bias = self._motions[way]
        change = motion.by_gyro_bias @ (gyro_bias - bias)
        return replace(motion, velocity=motion.velocity + change[3:6], position=motion.position + change[6:])


def _equations(
    path: Sequence[Pose],
    motions: Sequence[Preintegrated],
    place: FloatArray,
    scene_depth: float,
    scale: float,
    toward_up: FloatArray | None,
) -> tuple[FloatArray, FloatArray]:
    """Rows of unit variance for (units per metre, gravity, bias, places and velocities of the IMU)."""
    count = len(path)
    columns = 7 + 6 * count
    rows, wanted = [], []

    def add(noise: FloatArray, value: FloatArray, **blocks: FloatArray) -> None:
        row = np.zeros((len(value), columns))
        for name, block in blocks.items():
            kind, _, index = name.partition("_")
            first = {"k": 0, "g": 1, "b": 4, "p": 7 + 6 * int(index or 0), "v": 10 + 6 * int(index or 0)}[kind]
            row[:, first : first + block.shape[1]] = block
        rows.append(row / noise[:, None])
        wanted.append(value / noise)

    eye, nothing = np.eye(3), np.zeros(3)
    arms = [pose[:3, :3] @ place for _, pose in path]
    add(np.full(3, _HELD * scene_depth), path[0][1][:3, 3], k=-arms[0][:, None], p_0=eye)
    for i, ((_, before), (_, after)) in enumerate(pairwise(path)):
        step = after[:3, 3] - before[:3, 3]
        seen = np.full(3, seen_sigma(step, scene_depth))
        add(seen, step, **{"k": (arms[i] - arms[i + 1])[:, None], f"p_{i}": -eye, f"p_{i + 1}": eye})
    for i, (motion, (_, pose)) in enumerate(zip(motions, path[:-1], strict=True)):
        turn, dt = pose[:3, :3], motion.duration_s
        sigma = scale * np.sqrt(np.diag(motion.covariance))
        onward = {f"p_{i}": -eye, f"p_{i + 1}": eye, f"v_{i}": -dt * eye, "g": -(dt**2 / 2) * eye}
        push, by_bias = turn @ motion.position, turn @ motion.by_accelerometer_bias[6:]
        add(sigma[6:], nothing, **onward, k=-push[:, None], b=-by_bias)
        faster = {f"v_{i}": -eye, f"v_{i + 1}": eye, "g": -dt * eye}
        push, by_bias = turn @ motion.velocity, turn @ motion.by_accelerometer_bias[3:6]
        add(sigma[3:6], nothing, **faster, k=-push[:, None], b=-by_bias)
    add(np.full(3, _BIAS_SIGMA * scale), nothing, b=eye)
    if toward_up is not None:
        known = np.full(1, _GRAVITY_SIGMA * scale)
        add(known, np.zeros(1), k=np.full((1, 1), -GRAVITY), g=-toward_up[None])
    return np.concatenate(rows), np.concatenate(wanted)
