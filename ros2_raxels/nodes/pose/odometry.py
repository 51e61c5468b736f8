"""Odometry of the robot at the stamps of images, for a scale in metres."""

from __future__ import annotations

from collections.abc import Callable

from nav_msgs.msg import Odometry
from rclpy.node import Node

from ros2_raxels.geometry.frame_tree import FrameError, FrameTree
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.nodes.common.messages import stamp_ns
from ros2_raxels.nodes.common.subscription import FollowingSubscription


class OdometryListener:
    """Keeps the newest seconds of nav_msgs/Odometry on ``odom``.

    Args:
        node: that subscribes.
        optical_to: ``(frame, stamp_ns)`` to the pose of the optical frame in a frame of the robot; raises FrameError.
        report: told of odometry that is of no use, in one line.
    """

    def __init__(self, node: Node, optical_to: Callable[[str, int], FloatArray], report: Callable[[str], None]) -> None:
        self._optical_to, self._report = optical_to, report
        self._tree = FrameTree()
        self._edge: tuple[str, str] | None = None
        self.subscription = FollowingSubscription(node, Odometry, "odom", self._on_odometry)

    def _on_odometry(self, message: Odometry) -> None:
        p, q = message.pose.pose.position, message.pose.pose.orientation
        edge = (message.header.frame_id, message.child_frame_id)
        reason = self._tree.insert(*edge, stamp_ns(message.header.stamp), (p.x, p.y, p.z), (q.x, q.y, q.z, q.w))
        if reason:
            self._report(f"{self.subscription.topic}: {reason}")
        else:
            self._edge = edge

    def camera_to_odom(self, stamp: int) -> FloatArray | None:
        """4x4, m, of the optical frame at a stamp, ns; None while odometry or the camera's place is not known then."""
        if self._edge is None:
            return None
        odom, base = self._edge
        try:
            base_to_odom = self._tree.lookup(odom, base, stamp)
        except FrameError:
            return None
        try:
            return base_to_odom @ self._optical_to(base, stamp)
        except FrameError as error:
            self._report(f"no scale from odometry: {error}")
            return None

    def why_silent(self) -> str:
        """Why there was none yet, in one line; empty once there was."""
        return self.subscription.why_silent() if self._edge is None else ""

    def destroy(self) -> None:
        """Unsubscribe."""
        self.subscription.destroy()
