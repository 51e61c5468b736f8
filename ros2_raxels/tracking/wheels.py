"""The wheels: the motion between two stamps by odometry, as long as what is seen does not contradict it."""

from __future__ import annotations

from collections import deque

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, interpolate_pose, relative_pose, rotation_angle_rad
from ros2_raxels.tracking.metric_scale import Odometry

_LATE_NS, _LATEST_NS = 20_000_000, 120_000_000
"""Odometry comes later than images: the motion is taken to go on for so long at most, tried in such steps."""

_COMPARED_NS = 500_000_000
_LONGEST_NS = 2_000_000_000
_SILENT_NS = 2_000_000_000
_WAITING = 120

_SLIP_RAD, _SLIP_TURN = 0.06, 0.2
_SLIP_M, _SLIP_LENGTH = 0.08, 0.55
"""How far wheels and eyes may be apart: so much, and such a share of the motion.

Over half a second a young map may be wrong by a half, and it is the wheels that mend it.
"""

_RECENT = 4
_ENOUGH_WRONG = 2

_WALK, _WALK_M, _MOST_WALK_M = 0.026, 0.3, 5.0
"""What wheels of which nothing is known err by, m/sqrt(m): 3 % and 5 mm over 30 cm. It counts as so many metres that
were compared, of which the newest are remembered.
"""

_LEAST_M = 0.002
"""What any motion by wheels errs by: stamps, and readings that are interpolated."""


class Wheels:
    """Motion by odometry, which is left out where what is seen contradicts it again and again.

    Args:
        odometry: see there.

    Attributes:
        words: why they are left out, in a line; empty while they are not.
        good_since_ns: before this stamp they jumped or slipped.
    """

    def __init__(self, odometry: Odometry) -> None:
        self.odometry = odometry
        self.words = ""
        self.good_since_ns = 0
        self._waiting: deque[tuple[int, FloatArray, bool]] = deque(maxlen=_WAITING)
        self._last: tuple[int, FloatArray, FloatArray, bool] | None = None
        self._agreed: deque[bool] = deque(maxlen=_RECENT)
        self._heard_ns: int | None = None
        self._walk_m, self._walk_square = _WALK_M, _WALK**2 * _WALK_M

    def sigma_m(self, length_m: float) -> float:
        """Standard deviation of a motion of such a length, along each axis.

        A random walk, as large as what wheels and eyes have differed by where both were there.
        """
        return float(np.sqrt(_LEAST_M**2 + self._walk_square / self._walk_m * length_m))

    @property
    def is_trusted(self) -> bool:
        """Whether they may be used."""
        return not self.words

    def moved(self, begin_ns: int, end_ns: int) -> FloatArray | None:
        """The camera at the end in the camera at the beginning, 4x4, m; None where that is not known."""
        before = self.odometry(begin_ns) if self.is_trusted and begin_ns <= end_ns else None
        if before is None:
            return None
        now = self.odometry(end_ns)
        return self._gone_on(begin_ns, before, end_ns) if now is None else relative_pose(before, now)

    def _gone_on(self, begin_ns: int, before: FloatArray, end_ns: int) -> FloatArray | None:
        """The same where odometry does not reach the end yet."""
        for late_ns in range(_LATE_NS, _LATEST_NS + 1, _LATE_NS):
            newest_ns = end_ns - late_ns
            newest, earlier = self.odometry(newest_ns), self.odometry(newest_ns - _LATEST_NS // 2)
            if newest is not None and earlier is not None and newest_ns >= begin_ns:
                step = interpolate_pose(np.eye(4), relative_pose(earlier, newest), late_ns / (_LATEST_NS // 2))
                return relative_pose(before, newest) @ step
        return None

    def jump(self) -> None:
        """The next pose has nothing to do with the last one."""
        self._waiting.clear()
        self._last = None

    def see(self, stamp_ns: int, camera_to_world: FloatArray, is_metric: bool) -> None:
        """A frame was solved there (4x4); what odometry says of it may come later."""
        self._waiting.append((stamp_ns, camera_to_world, is_metric))
        self._heard_ns = stamp_ns if self._heard_ns is None else self._heard_ns
        while self._waiting and (there := self.odometry(self._waiting[0][0])) is not None:
            self._heard_ns, pose, metric = self._waiting.popleft()
            self._compare(self._heard_ns, pose, there, metric)
        if stamp_ns - self._heard_ns > _SILENT_NS and not self.words:
            self.words = f"the wheels are left out: no odometry at the stamps of the images for {_SILENT_NS * 1e-9:g} s"
            self._agreed.clear()

    def _compare(self, stamp_ns: int, pose: FloatArray, there: FloatArray, metric: bool) -> None:
        if self._last is not None and stamp_ns - self._last[0] < _COMPARED_NS:
            return
        last, self._last = self._last, (stamp_ns, pose, there, metric)
        if last is None or stamp_ns - last[0] > _LONGEST_NS or last[3] != metric:
            return
        seen, rolled = relative_pose(last[1], pose), relative_pose(last[2], there)
        wrong = _difference(seen, rolled, metric)
        self._agreed.append(not wrong)
        if metric and not wrong:
            self._learn_walk(seen[:3, 3], rolled[:3, 3])
        recent = list(self._agreed)
        if wrong:
            self.good_since_ns = stamp_ns
        if recent.count(False) >= _ENOUGH_WRONG:
            self.words = f"the wheels are left out: {wrong}" if wrong else self.words
        if self.words and len(recent) == _RECENT and all(recent):
            self.words, self.good_since_ns = "", stamp_ns

    def _learn_walk(self, seen: FloatArray, rolled: FloatArray) -> None:
        """What two motions (3,), m, differ by; noise of the eyes is in it."""
        kept = min(1.0, _MOST_WALK_M / self._walk_m)
        self._walk_m = kept * self._walk_m + float(np.linalg.norm(rolled))
        self._walk_square = kept * self._walk_square + float(((seen - rolled) ** 2).sum()) / 3.0


def _difference(seen: FloatArray, rolled: FloatArray, metric: bool) -> str:
    """In what two motions (4x4) differ so much that both cannot be right, in words; empty where they do not."""
    angles = [float(rotation_angle_rad(motion[:3, :3])) for motion in (seen, rolled)]
    apart = float(rotation_angle_rad(seen[:3, :3].T @ rolled[:3, :3]))
    if apart > _SLIP_RAD + _SLIP_TURN * max(angles):
        by_eye, by_wheels = np.degrees(angles)
        return f"they say a turn of {by_wheels:.0f} deg where {by_eye:.0f} deg are seen: they slip, or lie"
    lengths = [float(np.linalg.norm(motion[:3, 3])) for motion in (seen, rolled)]
    apart = float(np.linalg.norm(seen[:3, 3] - rolled[:3, 3]))
    if metric and apart > _SLIP_M + _SLIP_LENGTH * max(lengths):
        return f"they say {lengths[1]:.2f} m where {lengths[0]:.2f} m are seen: they slip, jump or stand still"
    return ""
