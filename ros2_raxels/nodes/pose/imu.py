"""The IMU that is mounted with the camera, as it is heard on ``imu``."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Imu

from ros2_raxels.geometry.frame_tree import JUMP_BACK_S, FrameError
from ros2_raxels.geometry.poses import FloatArray, inverse_pose
from ros2_raxels.nodes.common.messages import stamp_ns
from ros2_raxels.nodes.common.subscription import FollowingSubscription
from ros2_raxels.recordings.imu import ImuReadings, reading_of

_KEEP_S = 10.0
_MOST_READINGS = 20_000


class ImuListener:
    """Keeps the newest seconds of sensor_msgs/Imu on ``imu``.

    Args:
        node: that subscribes.
        optical_to: ``(frame, stamp_ns)`` to the pose of the optical frame in a frame of the robot; raises FrameError.
        report: told of readings that are of no use, in one line.
    """

    def __init__(self, node: Node, optical_to: Callable[[str, int], FloatArray], report: Callable[[str], None]) -> None:
        self._optical_to, self._report = optical_to, report
        self._lock = threading.Lock()
        self._stamps_ns: list[int] = []
        self._readings: list[tuple[float, ...]] = []
        self._frame = ""
        self.subscription = FollowingSubscription(node, Imu, "imu", self._on_imu)

    def _on_imu(self, message: Imu) -> None:
        stamp, reading = stamp_ns(message.header.stamp), reading_of(message)
        if not np.isfinite(reading).all():
            self._report(f"{self.subscription.topic}: a reading is not finite and is passed over")
            return
        with self._lock:
            self._frame = message.header.frame_id
            if self._stamps_ns and stamp < self._stamps_ns[-1] - JUMP_BACK_S * 1e9:
                # Time has started again (bag loop, simulation).
                self._stamps_ns, self._readings = [], []
            if self._stamps_ns and stamp <= self._stamps_ns[-1]:
                return
            self._stamps_ns.append(stamp)
            self._readings.append(reading)
            if len(self._stamps_ns) > _MOST_READINGS or stamp - self._stamps_ns[0] > 2 * _KEEP_S * 1e9:
                old = max(bisect.bisect_left(self._stamps_ns, stamp - round(_KEEP_S * 1e9)), 1)
                del self._stamps_ns[:old], self._readings[:old]

    def between(self, begin_ns: int, end_ns: int) -> ImuReadings | None:
        """Readings in the axes of the camera, see `ImuReadings.between`; None where its place is not known."""
        with self._lock:
            first = max(bisect.bisect_right(self._stamps_ns, begin_ns) - 1, 0)
            last = bisect.bisect_left(self._stamps_ns, end_ns) + 1
            stamps_ns, table = self._stamps_ns[first:last], np.array(self._readings[first:last])
        if len(stamps_ns) < 2:
            return None
        found = ImuReadings(np.array(stamps_ns, np.int64), table[:, :3], table[:, 3:]).between(begin_ns, end_ns)
        mount = None if found is None else self._imu_to_camera(begin_ns)
        return None if found is None or mount is None else found.turned(mount[:3, :3])

    @property
    def place(self) -> FloatArray:
        """(3,) where it is in the optical frame, m; the camera's own place while that is not known."""
        mount = self._imu_to_camera(0) if self._frame else None
        return np.zeros(3) if mount is None else mount[:3, 3]

    def _imu_to_camera(self, stamp: int) -> FloatArray | None:
        try:
            return inverse_pose(self._optical_to(self._frame, stamp))
        except FrameError as error:
            self._report(f"the IMU is left out: {error}")
            return None

    def why_silent(self, stamp: int) -> str:
        """Why there are no readings at a stamp, ns, in a line."""
        with self._lock:
            ends = (self._stamps_ns[0], self._stamps_ns[-1]) if self._stamps_ns else None
        if ends is None:
            return self.subscription.why_silent()
        begin_s, end_s = (1e-9 * end for end in ends)
        return f"{self.subscription.topic} covers {begin_s:.10g} to {end_s:.10g} s, and not {stamp * 1e-9:.10g} s"

    def destroy(self) -> None:
        """Unsubscribe."""
        self.subscription.destroy()


class HeardImu:
    """An `inertial.Imu` for a tracker that outlives listeners.

    Args:
        listener: the present one; None while the node does not listen.
    """

    def __init__(self, listener: Callable[[], ImuListener | None]) -> None:
        self._listener = listener

    @property
    def place(self) -> FloatArray:
        """See `ImuListener`."""
        listener = self._listener()
        return np.zeros(3) if listener is None else listener.place

    def between(self, begin_ns: int, end_ns: int) -> ImuReadings | None:
        """See `ImuListener`."""
        listener = self._listener()
        return None if listener is None else listener.between(begin_ns, end_ns)

    def why_silent(self, stamp: int) -> str:
        """See `ImuListener`."""
        listener = self._listener()
        return "the node does not listen" if listener is None else listener.why_silent(stamp)
