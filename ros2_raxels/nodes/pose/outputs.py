"""Everything that the pose node publishes about one answer of the tracker."""

from __future__ import annotations

import math
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

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.nodes.common.interfaces import PoseStatus
from ros2_raxels.nodes.common.messages import (
    image_message,
    pose_message,
    stamp_message,
    transform_message,
    twist_message,
    twist_of,
    unknown_covariance,
    without_lengths,
)
from ros2_raxels.nodes.common.parameters import Parameters
from ros2_raxels.nodes.common.tf_broadcaster import EdgePublisher
from ros2_raxels.nodes.pose.placement import FrameNames, Placed, Placement, TfMode, Transforms, Unscaled
from ros2_raxels.nodes.pose.preview import RaxelPicture
from ros2_raxels.tracking.metric_scale import UNKNOWN_SIGMA
from ros2_raxels.tracking.types import LostPolicy, TrackedPose, TrackState

_KNOWN = (TrackState.TRACKING, TrackState.HELD)
_LOST_WITH_POSE = (LostPolicy.HOLD, LostPolicy.RESET)
_LOST_WITH_TF = (LostPolicy.HOLD,)


@dataclass(frozen=True)
class Counters:
    """What the status carries besides the answer itself.

    Attributes:
        received, processed, dropped: frames since activation.
        resets: of tracking since then.
        latency_s: from the image stamp to now, in the node's clock.
        processing_s: from image in hand to pose in hand.
    """

    received: int
    processed: int
    dropped: int
    resets: int = 0
    latency_s: float = 0.0
    processing_s: float = 0.0


class PoseOutputs:
    """Publishers of the pose node. Used by the worker thread, except `announce`, which any thread may call."""

    def __init__(self, node: Node, parameters: Parameters, transforms: Transforms, engine_id: str) -> None:
        self._node = node
        self._parameters = parameters
        self._lost_policy = LostPolicy(parameters.text("lost.policy"))
        self._engine_id = engine_id
        names = FrameNames(*(parameters.text(f"tf.{name}_frame") for name in ("world", "map", "odom", "base")))
        self._edges = EdgePublisher(node, (names.world, names.map, names.odom, names.base))
        self._unscaled = Unscaled(parameters.text("odometry.unscaled"))
        level = parameters.flag("tf.level")
        self.placement = Placement(names, transforms, self._edges.other_parent, self._unscaled, level)
        # Exchanged as a whole, because `announce` reads them in another thread.
        self._frames = (names.world, parameters.text("tf.child_frame"))
        self._pose = node.create_publisher(PoseWithCovarianceStamped, "~/pose", 10)
        self._odometry = node.create_publisher(Odometry, "~/odometry", 10)
        self._status = node.create_publisher(PoseStatus, "~/status", 10)
        self._raxels = node.create_publisher(Image, "~/raxels/image", 1)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._path = node.create_publisher(Path, "~/path", latched)
        self._picture = RaxelPicture()
        self.rig: Rig | None = None
        """All cameras, where there are several, for the picture of their raxels."""
        self._poses: deque[PoseStamped] = deque(maxlen=parameters.integer("path.max_poses"))
        self._path_sent_at = -np.inf
        self._previous: tuple[int, str, str, FloatArray] | None = None
        self.tf_refusal = ""
        """Why the newest answer's edge was not published; empty when it was, or when there was none to publish.

        Any thread may read it: it is set once for each answer, when that is known.
        """
        self.frame_change = ("", -math.inf)
        """In what frames or mount last changed, and ``time.monotonic()`` then. Any thread may read it."""

    def destroy(self) -> None:
        """Publish nothing any more."""
        self._edges.destroy()
        for publisher in (self._pose, self._odometry, self._status, self._raxels, self._path):
            self._node.destroy_publisher(publisher)

    def forget(self) -> None:
        """Start a new trajectory."""
        self._poses.clear()
        self._previous = None
        self.placement.forget()

    def publish(self, answer: TrackedPose, header: Header, camera: Camera | None) -> None:
        """Pose, odometry, TF, path and picture of one answer; the status follows through `report`.

        Args:
            answer: of the tracker.
            header: of the image.
            camera: its intrinsics; without them there is no picture.
        """
        lost = answer.state is TrackState.LOST
        if answer.corrected:
            # What comes is in a world that has been corrected: joined to what was, it would show a jump.
            self._poses.clear()
        if answer.state not in _KNOWN and not (lost and self._lost_policy in _LOST_WITH_POSE):
            self._previous = None
            self.tf_refusal = ""
            return
        placed = self._place(answer, self.optical(header))
        stamped = Header(stamp=header.stamp, frame_id=placed.parent)
        message = pose_message(placed.pose)
        self.tf_refusal = self._publish_edge(placed, answer, not lost or self._lost_policy in _LOST_WITH_TF)
        self._publish_pose(stamped, message, placed.covariance.ravel())
        self._publish_odometry(answer, stamped, placed, message)
        if answer.state == TrackState.TRACKING:
            self._publish_path(PoseStamped(header=stamped, pose=message))
            self._publish_picture(answer, header, camera)

    def optical(self, header: Header) -> str:
        """Name of the optical frame of an image."""
        return self._parameters.text("tf.child_frame") or str(header.frame_id)

    def _place(self, answer: TrackedPose, optical: str) -> Placed:
        mode = TfMode(self._parameters.text("tf.mode"))
        placed = self.placement.place(answer, optical, mode, self._parameters.flag("tf.invert"))
        frames = (placed.parent, placed.child)
        if frames != self._frames:
            # Poses in another frame are no continuation of this path.
            self._poses.clear()
        self._frames = frames
        if placed.change:
            self.frame_change = (placed.change, time.monotonic())
            self._node.get_logger().warning(placed.change)
        return placed

    def tf_conflict(self) -> str:
        """Who else publishes the edge that this node publishes, in one line; empty if nobody. Any thread may ask."""
        return self._edges.conflict()

    def report(self, answer: TrackedPose, header: Header, counters: Counters) -> None:
        """The status of one answer."""
        status = self._status_message(answer.state, answer.message, counters)
        status.header.stamp = header.stamp
        status.child_frame_id = status.child_frame_id or self.optical(header)
        status.motion = int(answer.motion)
        status.scale_source = int(answer.scale.source)
        status.scale_is_metric = answer.scale.is_metric
        status.scale, status.scale_sigma = float(answer.scale.metres_per_unit), float(answer.scale.sigma)
        status.confidence = float(answer.confidence)
        status.hypothesis_spread_rotation_rad = float(answer.solve.spread_rotation_rad)
        status.hypothesis_spread_translation = float(answer.solve.spread_translation)
        status.residual_px = float(answer.solve.residual_px)
        status.correspondences = int(answer.solve.correspondences)
        status.inliers = int(answer.solve.inliers)
        self._status.publish(status)

    def announce(self, state: TrackState, message: str, counters: Counters) -> None:
        """A status that belongs to no image, stamped now."""
        status = self._status_message(state, message, counters)
        status.header.stamp = self._node.get_clock().now().to_msg()
        self._status.publish(status)

    def _status_message(self, state: TrackState, message: str, counters: Counters) -> PoseStatus:
        status = PoseStatus(state=int(state), message=message, engine_id=self._engine_id)
        status.header.frame_id, status.child_frame_id = self._frames
        status.scale_sigma = UNKNOWN_SIGMA
        status.latency_s, status.processing_s = counters.latency_s, counters.processing_s
        status.frames_received, status.frames_processed = counters.received, counters.processed
        status.frames_dropped, status.resets = counters.dropped, counters.resets
        return status

    def _publish_edge(self, placed: Placed, answer: TrackedPose, wanted: bool) -> str:
        """Why it was not published; empty when it was, or when none is wanted."""
        if not wanted or placed.edge is None:
            return placed.refusal
        edge = placed.edge
        if refusal := self._edges.refusal(edge.parent, edge.child):
            return refusal
        offset_ns = round(self._parameters.number("tf.time_offset_s") * 1e9)
        stamped = Header(stamp=stamp_message(answer.stamp_ns + offset_ns), frame_id=edge.parent)
        transform = transform_message(pose_message(edge.pose))
        self._edges.publish(TransformStamped(header=stamped, child_frame_id=edge.child, transform=transform))
        return ""

    def _publish_pose(self, stamped: Header, pose: Pose, covariance: FloatArray) -> None:
        message = PoseWithCovarianceStamped(header=stamped)
        message.pose.pose = pose
        message.pose.covariance = covariance
        self._pose.publish(message)

    def _publish_odometry(self, answer: TrackedPose, stamped: Header, placed: Placed, message: Pose) -> None:
        odometry = Odometry(header=stamped, child_frame_id=placed.child)
        odometry.pose.pose = message
        odometry.pose.covariance = placed.covariance.ravel()
        odometry.twist.covariance = unknown_covariance()
        previous, self._previous = self._previous, None
        if answer.state == TrackState.TRACKING:
            self._previous = (answer.stamp_ns, placed.parent, placed.child, placed.pose)
            # A step that corrects the world is no motion.
            if placed.twist is not None:
                twist, covariance = placed.twist
                odometry.twist.twist, odometry.twist.covariance = twist_of(twist), covariance.ravel()
            elif previous is not None and previous[1:3] == self._previous[1:3] and not answer.corrected:
                # How well two poses agree with each other is not known, even where both their own errors are.
                seconds = (answer.stamp_ns - previous[0]) * 1e-9
                odometry.twist.twist = twist_message(previous[3], placed.pose, seconds)
        if not answer.scale.is_metric and self._unscaled is Unscaled.WITHHOLD:
            return
        if not answer.scale.is_metric and self._unscaled is Unscaled.UNKNOWN:
            odometry.pose.covariance = without_lengths(odometry.pose.covariance)
            odometry.twist.covariance = without_lengths(odometry.twist.covariance)
        self._odometry.publish(odometry)

    def _publish_path(self, pose: PoseStamped) -> None:
        self._poses.append(pose)
        now = time.monotonic()
        if now - self._path_sent_at < self._parameters.number("path.period_s"):
            return
        if self._path.get_subscription_count():
            self._path_sent_at = now
            self._path.publish(Path(header=pose.header, poses=list(self._poses)))

    def _publish_picture(self, answer: TrackedPose, header: Header, camera: Camera | None) -> None:
        if camera is not None and self._raxels.get_subscription_count():
            beside = [] if self.rig is None else [(self.rig[n].camera, self.rig.to_leader(n)) for n in self.rig.others]
            pose = answer.camera_to_world
            cells = self._picture.draw((camera, pose), *((lens, pose @ to_leader) for lens, to_leader in beside))
            self._raxels.publish(image_message(cells, header))
