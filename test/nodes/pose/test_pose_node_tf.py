"""The pose node in a robot's TF tree, and what can be asked of it, over real DDS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from ros_testing import NodeProcess, Probe, Spawn, matched, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import scripted_node as script
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from lifecycle_rig import Manager
from pose_rig import FRAME, Rig, picture
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from raxels_interfaces.msg import PoseStatus
from raxels_interfaces.srv import LoadKeyframes, SaveKeyframes, SetPose
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, inverse_pose, make_pose, rotation_from_vector
from ros2_raxels.nodes.common.messages import pose_array, pose_message, stamp_message, stamp_ns, transform_message
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos
from ros2_raxels.nodes.common.tf_listener import pose_of_transform
from ros2_raxels.nodes.parameter_yaml import TABLES

pytestmark = pytest.mark.ros

MOUNT = make_pose(rotation_from_vector([0.0, 0.3, 0.0]), [0.3, 0.0, 0.5]) @ OPTICAL_TO_BODY
ODOMETRY = make_pose(rotation_from_vector([0.0, 0.0, 0.4]), [5.0, 1.0, 0.0])
METRES = {"scale.mode": "fixed"}
CHANGED = ("scale.mode", "odometry.unscaled", "tf.mode", "tf.time_offset_s", "lost.policy", "keyframes.folder")
"""Parameters that tests give values of their own."""


class Robot(Rig):
    """A rig whose camera is mounted on a base, with or without odometry."""

    def __init__(self, probe: Probe, node: NodeProcess, odometry: bool, waits: bool = True) -> None:
        self._static = probe.publisher(TFMessage, "/tf_static", tf_qos(static=True))
        self._moving = probe.publisher(TFMessage, "/tf", tf_qos())
        self._static.publish(self._edge("base_link", FRAME, MOUNT))
        super().__init__(probe, node)
        matched(self._static)
        # The node's reader and its watch for second parents, and the rig itself.
        wait_until(lambda: probe.node.count_subscribers("/tf") >= 3, what="ears for TF")
        self.settle()
        self.odometry_on, self.wheels = odometry, ODOMETRY
        if not waits:
            # Where no odometry is published a step would wait for it.
            wait_until(
                lambda: self.answer(self.send(picture())).child_frame_id == "base_link", what="place on the base"
            )
            return
        wait_until(lambda: self.step().status.child_frame_id == "base_link", what="place of the camera on the base")
        self.reset()

    @staticmethod
    def _edge(parent: str, child: str, pose: FloatArray, stamp: int = 0) -> TFMessage:
        header = Header(frame_id=parent, stamp=stamp_message(stamp))
        transform = transform_message(pose_message(pose))
        return TFMessage(transforms=[TransformStamped(header=header, child_frame_id=child, transform=transform)])

    def step(self, action: int = script.TRACK):
        """Odometry just before and after the image, as from a robot that is still; and the image."""
        if self.odometry_on:
            now = time.time_ns()
            for at in (now - 10_000_000_000, now, now + 10_000_000_000):
                self._moving.publish(self._edge("odom", "base_link", self.wheels, at))
            self.taken()
        answer = self.solve(action)
        answer.edges = [e for e in answer.edges if (e.header.frame_id, e.child_frame_id) != ("odom", "base_link")]
        return answer


MakeRobot = Callable[..., Robot]


@pytest.fixture(scope="module")
def node(module_spawn: Spawn) -> NodeProcess:
    """One process for all tests, each of which configures it anew."""
    return module_spawn("scripted_node.py", "-p", "autostart:=false")


@pytest.fixture
def make_robot(probe: Probe, node: NodeProcess) -> Iterator[MakeRobot]:
    """Configures the node with parameters, the others at their defaults, and activates it."""
    manager = Manager(probe, node)
    defaults = {row.name: row.default for row in TABLES["raxels_pose"] if row.name in CHANGED}

    def make(parameters: Mapping[str, object], *, odometry: bool = False, waits: bool = True) -> Robot:
        for name, value in {**defaults, **parameters}.items():
            assert manager.assign(name, value) == (True, "")
        manager.go("configure", "activate")
        return Robot(probe, node, odometry, waits)

    yield make
    manager.go("deactivate", "cleanup")


def second_step() -> FloatArray:
    """Pose of the base in its first place when the camera has made one step."""
    return MOUNT @ script.scripted_pose(1) @ inverse_pose(MOUNT)


def test_poses_are_those_of_the_base_where_tf_places_the_camera_on_it(make_robot: MakeRobot) -> None:
    robot = make_robot(METRES | {"tf.time_offset_s": 0.25})
    robot.step()
    answer = robot.solve()
    assert (answer.pose.header.frame_id, answer.odometry.child_frame_id) == ("raxels_world", "base_link")
    np.testing.assert_allclose(pose_array(answer.pose.pose.pose), second_step(), atol=1e-9)
    status = answer.status
    assert (status.child_frame_id, status.scale_source, status.scale_is_metric) == ("base_link", 1, True)
    assert (status.scale, status.scale_sigma) == (2.0, pytest.approx(0.01))
    wait_until(lambda: [e for m in robot.edges for e in m.transforms if e.child_frame_id == "base_link"])
    edge = [e for m in robot.edges for e in m.transforms if e.child_frame_id == "base_link"][-1]
    assert stamp_ns(edge.header.stamp) == answer.stamp + 250_000_000
    np.testing.assert_allclose(pose_of_transform(edge.transform), second_step(), atol=1e-9)


@pytest.mark.parametrize(("unscaled", "is_unknown"), [("unknown", True), ("publish", False)])
def test_what_is_said_of_lengths_while_none_is_in_metres(
    make_robot: MakeRobot, unscaled: str, is_unknown: bool
) -> None:
    robot = make_robot({"scale.mode": "none", "odometry.unscaled": unscaled})
    robot.step()
    answer = robot.solve()
    assert not answer.status.scale_is_metric
    assert bool(answer.edges) != is_unknown
    variances = np.diag(np.reshape(answer.odometry.pose.covariance, (6, 6)))
    assert (variances[:3] == 9999.0).all() == is_unknown
    assert (variances[3:] < 9999.0).all()


def test_odometry_is_withheld_until_there_are_metres(make_robot: MakeRobot) -> None:
    robot = make_robot({"scale.mode": "none", "odometry.unscaled": "withhold"}, waits=False)
    stamp = robot.send(picture(script.TRACK))
    assert not robot.answer(stamp).scale_is_metric
    wait_until(lambda: robot.stamped(robot.poses, stamp), what="pose")
    assert not robot.odometry
    robot.wait_health("tf", DiagnosticStatus.ERROR, "no edge to base_link", "odometry.unscaled")


def test_map_to_odom_is_chosen_where_odometry_owns_the_base(make_robot: MakeRobot) -> None:
    robot = make_robot(METRES, odometry=True)
    robot.step()
    answer = robot.step()
    assert answer.pose.header.frame_id == "map"
    (edge,) = answer.edges
    assert (edge.header.frame_id, edge.child_frame_id) == ("map", "odom")
    placed = pose_of_transform(edge.transform) @ ODOMETRY
    np.testing.assert_allclose(placed, pose_array(answer.pose.pose.pose), atol=1e-9)


def test_while_lost_odometry_moves_the_base_in_the_map(make_robot: MakeRobot) -> None:
    robot = make_robot(METRES | {"lost.policy": "hold"}, odometry=True)
    robot.step()
    seen = robot.step()
    driven = make_pose(np.eye(3), [1.0, 0.0, 0.0])
    robot.wheels = ODOMETRY @ driven
    lost = robot.step(script.LOST)
    assert lost.status.state == PoseStatus.STATE_LOST
    (before,), (after,) = seen.edges, lost.edges
    np.testing.assert_array_equal(pose_of_transform(after.transform), pose_of_transform(before.transform))
    # The wheels' samples are seconds apart.
    np.testing.assert_allclose(pose_array(lost.pose.pose.pose), pose_array(seen.pose.pose.pose) @ driven, atol=0.05)
    assert lost.pose.pose.covariance[0] == 9999.0


def test_without_a_scale_the_tree_of_the_robot_is_left_alone(make_robot: MakeRobot) -> None:
    robot = make_robot({"odometry.unscaled": "publish"}, odometry=True)
    robot.step()
    answer = robot.step()
    (edge,) = answer.edges
    assert (edge.header.frame_id, edge.child_frame_id) == ("base_link", "raxels_world")
    assert not answer.status.scale_is_metric


def test_a_tf_mode_that_needs_a_scale_says_so(make_robot: MakeRobot) -> None:
    robot = make_robot({"tf.mode": "odom_to_base"})
    answer = robot.step()
    assert not answer.edges
    assert answer.pose.header.frame_id == "raxels_world"
    robot.wait_health("tf", DiagnosticStatus.ERROR, "odom_to_base needs metres", "scale.mode")


@pytest.mark.parametrize(("policy", "has_pose", "has_edge"), [("stop", False, False), ("hold", True, True)])
def test_what_is_published_while_lost(make_robot: MakeRobot, policy: str, has_pose: bool, has_edge: bool) -> None:
    robot = make_robot({"lost.policy": policy, "odometry.unscaled": "publish"})
    robot.step()
    answer = robot.step(script.LOST)
    assert answer.status.state == PoseStatus.STATE_LOST
    assert ((answer.pose is not None), bool(answer.edges)) == (has_pose, has_edge)
    if has_pose:
        assert answer.pose.pose.covariance[0] == 9999.0


def test_services_and_initialpose_set_the_pose_and_keep_keyframes(
    make_robot: MakeRobot, probe: Probe, tmp_path: Path
) -> None:
    robot = make_robot(METRES | {"keyframes.folder": str(tmp_path)})
    robot.step()
    there = make_pose(rotation_from_vector([0.0, 0.0, 1.0]), [3.0, -2.0, 0.0])

    def place(frame: str, covariance: FloatArray) -> tuple[bool, str]:
        request = SetPose.Request()
        request.pose.header.frame_id = frame
        request.pose.pose.pose = pose_message(there)
        request.pose.pose.covariance = covariance.ravel()
        response = probe.call(SetPose, "/raxels_pose/set_pose", request)
        return response.success, response.message

    assert place("map", np.eye(6)) == (
        False,
        "frame 'map' is not the frame in which poses are published; use 'raxels_world'",
    )
    done, words = place("raxels_world", np.zeros((6, 6)))
    assert not done
    assert "all zero" in words
    assert place("raxels_world", np.eye(6)) == (True, "the pose is set in raxels_world")
    answer = robot.solve()
    np.testing.assert_allclose(pose_array(answer.pose.pose.pose), there @ second_step(), atol=1e-9)

    path = tmp_path / "keyframes.safetensors"
    saved = probe.call(SaveKeyframes, "/raxels_pose/save_keyframes", SaveKeyframes.Request(path=str(path)))
    assert (saved.success, saved.keyframes, saved.message) == (True, 2, f"2 keyframes written to {path}")
    nowhere = tmp_path / "none" / "keyframes.safetensors"
    failed = probe.call(SaveKeyframes, "/raxels_pose/save_keyframes", SaveKeyframes.Request(path=str(nowhere)))
    assert not failed.success
    assert "does not exist" in failed.message
    loaded = probe.call(LoadKeyframes, "/raxels_pose/load_keyframes", LoadKeyframes.Request(path=str(path)))
    assert (loaded.success, loaded.keyframes) == (True, 2)
    for request, words in (("", "names no file"), ("/etc/passwd", f"is not in {tmp_path}")):
        refused = probe.call(LoadKeyframes, "/raxels_pose/load_keyframes", LoadKeyframes.Request(path=request))
        assert not refused.success
        assert words in refused.message

    initial = probe.publisher(PoseWithCovarianceStamped, "initialpose", 10)
    matched(initial)
    message = PoseWithCovarianceStamped(header=Header(frame_id="raxels_world"))
    message.pose.pose, message.pose.covariance = pose_message(np.eye(4)), np.eye(6).ravel()
    initial.publish(message)
    robot.warned("initialpose: the pose is set in raxels_world")
    answer = robot.solve()
    moved = inverse_pose(MOUNT @ script.scripted_pose(1)) @ MOUNT @ script.scripted_pose(2)
    np.testing.assert_allclose(pose_array(answer.pose.pose.pose), MOUNT @ moved @ inverse_pose(MOUNT), atol=1e-9)
