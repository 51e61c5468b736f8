"""What the nodes say during a soak, and what memory they take."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event as Flag

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.demo.observer import state_name
from ros2_raxels.geometry import FloatArray
from ros2_raxels.nodes.messages import MessageError, pose_array, stamp_ns
from ros2_raxels.soak.camera import NAMESPACE
from ros2_raxels.soak.record import Answer, NodeCounts

_DEPTH = 100
_REPLACED, _REJECTED = "frames replaced by a newer one", "frames rejected"


class Listener:
    """A node of its own context, driven by `spin`.

    Args:
        now_s: seconds after the first frame.
        interrupted: set once the user wants it to end.
    """

    def __init__(self, now_s: Callable[[], float], interrupted: Flag) -> None:
        self.answers: dict[int, Answer] = {}
        self.counts = NodeCounts()
        self._state = PoseStatus.STATE_WAITING
        self.newest: tuple[str, FloatArray] | None = None
        self.unusable = ""
        self._now_s, self._interrupted = now_s, interrupted
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("listener", context=self._context, namespace=NAMESPACE)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        subscribe = self._node.create_subscription
        subscribe(PoseWithCovarianceStamped, "raxels_pose/pose", self._on_pose, _DEPTH)
        subscribe(PoseStatus, "raxels_pose/status", self._on_status, _DEPTH)
        subscribe(DiagnosticArray, "/diagnostics", self._on_diagnostics, _DEPTH)

    def spin(self, seconds: float) -> None:
        """Receive for so long.

        Raises:
            KeyboardInterrupt: the user wants it to end.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)
            if self._interrupted.is_set():
                raise KeyboardInterrupt

    def drain(self, seconds: float) -> None:
        """Receive what is still on its way, interrupted or not."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    @property
    def state_name(self) -> str:
        """Newest state of the pose node, in words."""
        return state_name(self._state)

    def hears_both(self) -> bool:
        """Whether pose node and view server are there."""
        names = {f"{space.rstrip('/')}/{name}" for name, space in self._node.get_node_names_and_namespaces()}
        return {f"{NAMESPACE}/raxels_pose", f"{NAMESPACE}/raxels_views"} <= names

    def close(self) -> None:
        """Leave the network."""
        self._executor.shutdown(timeout_sec=0.5)
        self._node.destroy_node()
        self._context.try_shutdown()

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        try:
            pose = pose_array(message.pose.pose)
        except MessageError as error:
            self.unusable = self.unusable or str(error)
            return
        self.newest = message.header.frame_id, pose

    def _on_status(self, message: PoseStatus) -> None:
        self._state = message.state
        self.counts.received, self.counts.processed = int(message.frames_received), int(message.frames_processed)
        tracked = message.state == PoseStatus.STATE_TRACKING
        # Statuses that belong to no image are stamped with the moment: no frame has that stamp.
        self.answers[stamp_ns(message.header.stamp)] = Answer(self._now_s(), tracked, float(message.latency_s))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == f"{NAMESPACE[1:]}/raxels_pose: input":
                values = {pair.key: pair.value for pair in status.values}
                self.counts.replaced, self.counts.rejected = int(values[_REPLACED]), int(values[_REJECTED])
