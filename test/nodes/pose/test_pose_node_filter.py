"""pose_node: what a filter reads of the real node and tracker, from the start through metres and a loss to a loop."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from ros_testing import Probe, matched, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from velocity_filter import VelocityFilter
from walk import BLACK, CAMERA

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry.poses import (
    OPTICAL_TO_BODY,
    FloatArray,
    inverse_pose,
    make_pose,
    relative_pose,
    rotation_angle_rad,
)
from ros2_raxels.nodes.common.messages import (
    camera_info_message,
    image_message,
    pose_message,
    stamp_message,
    stamp_ns,
    transform_message,
)
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos
from ros2_raxels.nodes.pose.pose_node import PoseNode
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking.tracker import Tracker

pytestmark = [pytest.mark.ros, pytest.mark.slow]

STEP_NS = 66_666_667
T0 = 1_700_000_000_000_000_000
EYE = "eye_optical_frame"
MOUNT = make_pose(np.eye(3), [0.2, 0.0, 0.4]) @ OPTICAL_TO_BODY
ROUND, COUNT = 105, 150
ROLLS, LOST = range(14, 42), range(36, 42)
"""The frames with odometry, and those that are black. While wheels tell the unit, a loop has nothing to correct."""


class Film:
    """A round of seven seconds and three more, at 15 Hz."""

    def __init__(self) -> None:
        room = furnished_room(3)
        loop = handheld_loop(7.0, 15.0, seed=1)
        poses = [loop[k % ROUND] for k in range(COUNT)]
        self.base = np.array(poses) @ inverse_pose(MOUNT)
        images = [render(room, CAMERA, pose)[0] for pose in poses[:ROUND]]
        self.images = [BLACK if k in LOST else images[k % ROUND] for k in range(COUNT)]


class Driven:
    """The real node and tracker in this process, on a robot whose odometry comes late and ends early."""

    def __init__(self, probe: Probe) -> None:
        self._executor = probe.node.executor
        self.trackers: list[Tracker] = []
        # The filter owns the edge to the base.
        parameters = [Parameter("tf.mode", value="off")]
        self.node = PoseNode(self._tracker, context=probe.node.context, parameter_overrides=parameters)
        self.node.start()
        self._executor.add_node(self.node)
        self.status: list[PoseStatus] = probe.collect(PoseStatus, "/raxels_pose/status", 50)
        self.odometry: list[Odometry] = probe.collect(Odometry, "/raxels_pose/odometry", 50)
        self._images = matched(probe.publisher(Image, "/image"))
        self._infos = matched(probe.publisher(CameraInfo, "/camera_info"))
        self._wheels = matched(probe.publisher(Odometry, "/odom"))
        mount = TransformStamped(header=Header(frame_id="base_link"), child_frame_id=EYE)
        mount.transform = transform_message(pose_message(MOUNT))
        matched(probe.publisher(TFMessage, "/tf_static", tf_qos(static=True))).publish(TFMessage(transforms=[mount]))

    def _tracker(self, settings, model, odometry) -> Tracker:
        self.trackers.append(Tracker(settings, None, odometry))
        return self.trackers[-1]

    def roll(self, stamp: int, base: FloatArray) -> None:
        """Odometry, which the node has when this returns."""
        message = Odometry(header=Header(frame_id="odom", stamp=stamp_message(stamp)), child_frame_id="base_link")
        message.pose.pose = pose_message(base)
        self._wheels.publish(message)
        wait_until(lambda: self.node._camera_to_odom(stamp) is not None, what="odometry")

    def see(self, stamp: int, image: np.ndarray) -> tuple[PoseStatus, Odometry | None]:
        """Status and odometry of an image."""
        header = Header(frame_id=EYE, stamp=stamp_message(stamp))
        self._infos.publish(camera_info_message(CAMERA, header))
        wait_until(lambda: self.node._intrinsics.newest is not None, what="camera_info")
        self._images.publish(image_message(image, header))
        (status,) = wait_until(lambda: [s for s in self.status if stamp_ns(s.header.stamp) == stamp], what="an answer")
        # A camera gives more time than this film does.
        maker = self.trackers[-1]._live.maker
        wait_until(lambda: maker.is_ready or not maker.is_at_work, what="the end of mapping")
        told = [o for o in self.odometry if stamp_ns(o.header.stamp) == stamp]
        return status, told[0] if told else None

    @property
    def loops(self) -> int:
        return len(self.trackers[-1]._live.keyframes.loops)

    def close(self) -> None:
        self._executor.remove_node(self.node)
        self.node.stop()
        self.node.destroy_node()
        # Each of them asks the node for odometry.
        self.trackers.clear()
        del self.node
        gc.collect()


@pytest.fixture
def driven(probe: Probe) -> Iterator[Driven]:
    found = Driven(probe)
    yield found
    found.close()


def test_a_filter_sees_no_step_from_the_start_through_metres_and_a_loss_to_a_loop(driven: Driven) -> None:
    film, filtered = Film(), VelocityFilter()
    begun: int | None = None
    metric, states, updates = [], [], 0
    for k, image in enumerate(film.images):
        stamp = T0 + k * STEP_NS
        if k in ROLLS:
            driven.roll(stamp, film.base[k])
        status, odometry = driven.see(stamp, image)
        metric.append(status.scale_is_metric)
        states.append(status.state)
        if begun is not None:
            filtered.predict(STEP_NS * 1e-9)
        if odometry is None:
            continue
        covariance = np.array(odometry.twist.covariance).reshape(6, 6)
        # A filter takes no velocity that is unknown, and nothing is known of lengths before there are metres.
        assert status.scale_is_metric or covariance[0, 0] == 9999.0
        if np.diag(covariance).max() >= 9999.0:
            continue
        assert odometry.child_frame_id == "base_link"
        twist = odometry.twist.twist
        velocity = np.array([getattr(part, axis) for part in (twist.linear, twist.angular) for axis in "xyz"])
        steps, updates = filtered.update(velocity, covariance), updates + 1
        assert steps.max() < 3.0, (k, steps)
        if begun is None:
            begun = k
            filtered.pose, filtered.covariance[:6, :6] = np.eye(4), np.eye(6) * 1e-9
    assert begun is not None
    assert ROLLS.start <= begun < LOST.start
    assert metric == sorted(metric)
    assert {states[k] for k in LOST} == {PoseStatus.STATE_HELD}
    assert states[LOST.stop] == PoseStatus.STATE_TRACKING
    assert driven.loops > 0
    assert updates > 0.8 * (COUNT - begun - len(LOST))
    truth = relative_pose(film.base[begun], film.base[-1])
    # Of velocities alone, and over six frames of nothing, a place is known to some hundredths of the way.
    way_m = np.linalg.norm(np.diff(film.base[begun:, :3, 3], axis=0), axis=1).sum()
    assert np.linalg.norm(filtered.pose[:3, 3] - truth[:3, 3]) < 0.05 * way_m
    assert float(rotation_angle_rad(filtered.pose[:3, :3].T @ truth[:3, :3])) < 0.1
