"""What the nodes publish during a soak: poses, statuses and counts."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event as Flag

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.harness.observer import state_name
from ros2_raxels.harness.spun_node import SpunNode
from ros2_raxels.nodes.common.messages import MessageError, pose_array, stamp_ns
from ros2_raxels.soak.camera import NAMESPACE
from ros2_raxels.soak.record import Answer, NodeCounts

_DEPTH = 100
_REPLACED, _REJECTED = "frames replaced by a newer one", "frames rejected"


class Listener(SpunNode):
    """Keeps what is published while it is spun.

    Args:
        now_s: seconds after the first frame.
        interrupted: set once the user wants it to end.
    """

    def __init__(self, now_s: Callable[[], float], interrupted: Flag) -> None:
        super().__init__("listener", interrupted, namespace=NAMESPACE)
        self.answers: dict[int, Answer] = {}
        self.counts = NodeCounts()
        self._state, self._resets = PoseStatus.STATE_WAITING, 0
        self.newest: tuple[str, FloatArray] | None = None
        self.places: dict[int, tuple[int, FloatArray]] = {}
        self._world = 0
        self.unusable = ""
        self._now_s = now_s
        subscribe = self.node.create_subscription
        subscribe(PoseWithCovarianceStamped, "raxels_pose/pose", self._on_pose, _DEPTH)
        subscribe(PoseStatus, "raxels_pose/status", self._on_status, _DEPTH)
        subscribe(DiagnosticArray, "/diagnostics", self._on_diagnostics, _DEPTH)

    @property
    def state_name(self) -> str:
        """Newest state of the pose node, in words."""
        return state_name(self._state)

    def hears_both(self) -> bool:
        """Whether pose node and view server have been discovered."""
        names = {f"{space.rstrip('/')}/{name}" for name, space in self.node.get_node_names_and_namespaces()}
        return {f"{NAMESPACE}/raxels_pose", f"{NAMESPACE}/raxels_views"} <= names

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        try:
            pose = pose_array(message.pose.pose)
        except MessageError as error:
            self.unusable = self.unusable or str(error)
            return
        self.newest = message.header.frame_id, pose
        self.places[stamp_ns(message.header.stamp)] = self._world, pose[:3, 3]

    def _on_status(self, message: PoseStatus) -> None:
        initialising = PoseStatus.STATE_INITIALISING
        restarts = message.state == initialising and self._state != initialising
        # A node that is started again counts anew, and may be tracking from its first image on.
        restarts = restarts or message.frames_processed < self.counts.processed
        self._world += restarts or message.resets != self._resets
        self._state, self._resets = message.state, message.resets
        self.counts.received, self.counts.processed = int(message.frames_received), int(message.frames_processed)
        tracked = message.state == PoseStatus.STATE_TRACKING
        # Statuses that belong to no image carry the current time, which is the stamp of no frame.
        self.answers[stamp_ns(message.header.stamp)] = Answer(self._now_s(), tracked, float(message.latency_s))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == f"{NAMESPACE[1:]}/raxels_pose: input":
                values = {pair.key: pair.value for pair in status.values}
                self.counts.replaced, self.counts.rejected = int(values[_REPLACED]), int(values[_REJECTED])
