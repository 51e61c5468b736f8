"""Everything that the pose node publishes about one answer of the tracker."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Pose, PoseStamped, PoseWithCovarianceStamped, TransformStamped
from nav_msgs.msg import Odometry, Path
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ros2_raxels.geometry import FloatArray, PinholeCamera
from ros2_raxels.nodes.interfaces import PoseStatus
from ros2_raxels.nodes.messages import (
    covariance_in_body_world,
    image_message,
    pose_in_body_world,
    pose_message,
    transform_message,
    twist_message,
    unknown_covariance,
)
from ros2_raxels.nodes.parameters import Parameters
from ros2_raxels.nodes.preview import RaxelPicture
from ros2_raxels.nodes.transforms import EdgePublisher
from ros2_raxels.tracker import TrackedPose, TrackState

_WITH_POSE = (TrackState.TRACKING, TrackState.HELD, TrackState.LOST)
_WITH_TF = (TrackState.TRACKING, TrackState.HELD)


@dataclass(frozen=True)
class Counters:
    """What the status carries besides the answer itself.

    Attributes:
        received, processed, dropped: frames since activation or reset.
        latency_s: from the image stamp to now, in the node's clock.
        processing_s: from image in hand to pose in hand.
    """

    received: int
    processed: int
    dropped: int
    latency_s: float = 0.0
    processing_s: float = 0.0


class PoseOutputs:
    """Publishers of the pose node. Used by the worker thread, except `announce`, which any thread may call."""

    def __init__(self, node: Node, parameters: Parameters, engine_id: str) -> None:
        self._node = node
        self._parameters = parameters
        self._world = parameters.text("tf.world_frame")
        self._engine_id = engine_id
        self._edges = EdgePublisher(node, self._world)
        self._pose = node.create_publisher(PoseWithCovarianceStamped, "~/pose", 10)
        self._odometry = node.create_publisher(Odometry, "~/odometry", 10)
        self._status = node.create_publisher(PoseStatus, "~/status", 10)
        self._raxels = node.create_publisher(Image, "~/raxels/image", 1)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._path = node.create_publisher(Path, "~/path", latched)
        self._picture = RaxelPicture()
        self._poses: deque[PoseStamped] = deque(maxlen=parameters.integer("path.max_poses"))
        self._path_sent_at = -np.inf
        self._previous: tuple[int, FloatArray] | None = None
        self.tf_refusal = ""
        """Why the newest answer's edge was not published; empty when it was, or when there was none to publish."""

    def forget(self) -> None:
        """Start a new trajectory."""
        self._poses.clear()
        self._previous = None

    def publish(self, answer: TrackedPose, header: Header, camera: PinholeCamera | None) -> None:
        """Pose, odometry, TF, path and picture of one answer; the status follows through `report`.

        Args:
            answer: of the tracker.
            header: of the image.
            camera: its intrinsics; without them there is no picture.
        """
        if answer.state not in _WITH_POSE:
            self._previous = None
            return
        pose = pose_in_body_world(answer.camera_to_world)
        message = pose_message(pose)
        stamped = Header(stamp=header.stamp, frame_id=self._world)
        self._publish_edge(answer, stamped, self._child(header), message)
        tracked = answer.state == TrackState.TRACKING
        covariance = covariance_in_body_world(answer.covariance).ravel()
        self._publish_pose(stamped, message, covariance)
        self._publish_odometry(answer, stamped, self._child(header), message, pose, covariance)
        if tracked:
            self._publish_path(PoseStamped(header=stamped, pose=message))
            self._publish_picture(answer, header, camera)

    def report(self, answer: TrackedPose, header: Header, counters: Counters) -> None:
        """The status of one answer."""
        status = self._status_message(answer.state, answer.message, counters)
        status.header.stamp = header.stamp
        status.child_frame_id = self._child(header)
        status.confidence = float(answer.confidence)
        status.hypothesis_spread_rotation_rad = float(answer.spread_rotation_rad)
        status.hypothesis_spread_translation = float(answer.spread_translation)
        status.residual_px = float(answer.residual_px)
        status.correspondences = int(answer.correspondences)
        status.inliers = int(answer.inliers)
        self._status.publish(status)

    def announce(self, state: TrackState, message: str, counters: Counters) -> None:
        """A status that belongs to no image, stamped now."""
        status = self._status_message(state, message, counters)
        status.header.stamp = self._node.get_clock().now().to_msg()
        status.child_frame_id = self._parameters.text("tf.child_frame")
        self._status.publish(status)

    def _status_message(self, state: TrackState, message: str, counters: Counters) -> PoseStatus:
        status = PoseStatus(state=int(state), message=message, engine_id=self._engine_id)
        status.header.frame_id = self._world
        status.scale_source = PoseStatus.SCALE_NONE
        status.scale_sigma = 9999.0
        status.latency_s, status.processing_s = counters.latency_s, counters.processing_s
        status.frames_received, status.frames_processed = counters.received, counters.processed
        status.frames_dropped = counters.dropped
        return status

    def _child(self, header: Header) -> str:
        return self._parameters.text("tf.child_frame") or header.frame_id

    def _publish_edge(self, answer: TrackedPose, stamped: Header, child: str, pose: Pose) -> None:
        self.tf_refusal = ""
        if answer.state not in _WITH_TF or not self._parameters.flag("tf.publish"):
            return
        self.tf_refusal = self._edges.refusal(child)
        if not self.tf_refusal:
            edge = TransformStamped(header=stamped, child_frame_id=child, transform=transform_message(pose))
            self._edges.publish(edge)

    def _publish_pose(self, stamped: Header, pose: Pose, covariance: FloatArray) -> None:
        message = PoseWithCovarianceStamped(header=stamped)
        message.pose.pose = pose
        message.pose.covariance = covariance
        self._pose.publish(message)

    def _publish_odometry(
        self,
        answer: TrackedPose,
        stamped: Header,
        child: str,
        message: Pose,
        pose: FloatArray,
        covariance: FloatArray,
    ) -> None:
        odometry = Odometry(header=stamped, child_frame_id=child)
        odometry.pose.pose = message
        odometry.pose.covariance = covariance
        # Errors of consecutive poses are correlated in a way that the tracker does not tell, so that the accuracy of
        # their difference is not known even when both poses' is.
        odometry.twist.covariance = unknown_covariance()
        if answer.state == TrackState.TRACKING and self._previous is not None:
            then, before = self._previous
            odometry.twist.twist = twist_message(before, pose, (answer.stamp_ns - then) * 1e-9)
        self._previous = (answer.stamp_ns, pose) if answer.state == TrackState.TRACKING else None
        self._odometry.publish(odometry)

    def _publish_path(self, pose: PoseStamped) -> None:
        self._poses.append(pose)
        now = time.monotonic()
        if now - self._path_sent_at < self._parameters.number("path.period_s"):
            return
        if self._path.get_subscription_count():
            self._path_sent_at = now
            self._path.publish(Path(header=pose.header, poses=list(self._poses)))

    def _publish_picture(self, answer: TrackedPose, header: Header, camera: PinholeCamera | None) -> None:
        if camera is not None and self._raxels.get_subscription_count():
            self._raxels.publish(image_message(self._picture.draw(camera, answer.camera_to_world), header))
