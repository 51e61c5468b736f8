"""Both nodes in one process: images come in once, and each node has a life cycle of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import numpy as np
import pytest
from ros_testing import NodeProcess, Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import scripted_node as script
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from lifecycle_rig import Manager
from pose_rig import picture
from views_rig import BASE, EYE, PARAMETERS, WORLD, ViewsRig, at

from raxels_interfaces.action import PredictViews
from ros2_raxels.client import ViewClientError, Views, make_goal
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray
from ros2_raxels.nodes.common.messages import pose_array, stamp_ns

pytestmark = pytest.mark.ros

SCRIPT = "scripted_server.py"
QUIET_TF = ("-p", "raxels_pose:tf.mode:='off'")
"""The rig says where the camera is, and no frame may have two parents."""


class Both:
    """A camera for both nodes, and what each makes of it."""

    def __init__(self, probe: Probe, node: NodeProcess) -> None:
        self.node = node
        self.views = ViewsRig(probe, node)
        self.poses = probe.collect(PoseWithCovarianceStamped, "/raxels_pose/pose")
        self.pose_manager, self.views_manager = Manager(probe, node), Manager(probe, node, "raxels_views")

    def look(self) -> int:
        """Publish an image; its stamp."""
        return self.views.look(at(0.5), picture(script.TRACK))

    def gives_a_pose(self) -> None:
        """Waits for the pose of an image that is published from now on."""
        first = self.look()

        def posed() -> bool:
            self.look()
            return any(stamp_ns(pose.header.stamp) >= first for pose in self.poses)

        wait_until(posed, what=f"a pose\n{self.node.log}", every_s=0.02)

    def gives_a_view(self) -> None:
        """Waits for a view that was made from an image that is published now."""

        def served() -> bool:
            stamp = self.look()
            try:
                found = self.views.client.send(make_goal([at()], WORLD, seed=1)).result()
            except ViewClientError:
                return False
            return found.ok and found.stamp_ns == stamp

        wait_until(served, what=f"a view\n{self.node.log}")

    def subscribes_once(self) -> None:
        """Waits until images and camera_info go to one subscription each; an exchanged one ends with a message."""

        def once() -> bool:
            self.look()
            return all(p.get_subscription_count() == 1 for p in (self.views.images, self.views.infos))

        wait_until(once, what="one subscription", every_s=0.02)


@pytest.fixture
def both(probe: Probe, spawn: Spawn) -> Iterator[Both]:
    """For the tests that end it."""
    found = Both(probe, spawn(SCRIPT, *PARAMETERS, *QUIET_TF))
    yield found
    found.views.close()


def test_the_process_ends_when_both_have_been_shut_down(both: Both):
    both.gives_a_view()
    assert both.pose_manager.change("shutdown")
    both.gives_a_view()
    assert both.node.alive
    assert both.views_manager.change("shutdown")
    assert both.node.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_both(both: Both, number: signal.Signals):
    both.gives_a_view()
    code, _ = both.node.stop(number)
    assert code == 0
    assert "Traceback" not in both.node.log


def test_one_that_cannot_be_configured_ends_the_process(spawn: Spawn):
    node = spawn(SCRIPT, "-p", "raxels_pose:tf.world_frame:=map")
    assert node.wait() == 2
    assert "tf.world_frame = 'map' must be a frame of its own" in node.log


def test_a_parameter_that_is_not_allowed_is_refused_in_one_line(spawn: Spawn):
    node = spawn(SCRIPT, "-p", "raxels_views:steps:=0")
    assert node.wait() == 2
    assert [line for line in node.lines if "steps" in line]
    assert "Traceback" not in node.log


def test_build_only_prepares_the_engines_of_both_and_ends(spawn: Spawn):
    node = spawn(SCRIPT, "-p", "engine.build_only:=true")
    assert node.wait() == 0


def test_the_real_ones_run_together(probe: Probe, spawn: Spawn):
    """Loaded, active, and what each says of its engine."""
    node = spawn("ros2_raxels.nodes.server")
    managers = Manager(probe, node), Manager(probe, node, "raxels_views")
    for manager in managers:
        wait_until(lambda m=manager: m.state == "active", 30.0, f"active nodes\n{node.log}")
    assert "compact_rays.onnx" in node.log
    assert "compact_views_joint.onnx" in node.log
    assert node.stop()[0] == 0


@pytest.mark.parametrize("has_base", [False, True])
def test_a_pose_that_is_copied_into_a_goal_means_there_what_the_pose_node_means(
    probe: Probe, spawn: Spawn, has_base: bool
):
    """That of the camera; where TF has a base that of the base, which the camera follows."""
    both = Both(probe, spawn(SCRIPT, *PARAMETERS))
    optical_to_child = OPTICAL_TO_BODY if has_base else np.eye(4)
    if has_base:
        both.views.place(BASE, EYE, OPTICAL_TO_BODY, static=True)

    def answer_to_copy(frame: str = "") -> tuple[FloatArray, Views]:
        both.views.send(picture(script.TRACK))
        both.views.taken()
        assert both.poses
        pose = both.poses[-1]
        goal = PredictViews.Goal(reference_time=pose.header.stamp)
        goal.trajectory.poses = [PoseStamped(header=pose.header, pose=pose.pose.pose)]
        goal.trajectory.poses[0].header.frame_id = frame or pose.header.frame_id
        return pose_array(pose.pose.pose), both.views.client.predict(goal)

    def copied() -> bool:
        try:
            pose, found = answer_to_copy()
        except (ViewClientError, AssertionError):
            return False
        return found.ok and found.frame_id == WORLD and np.allclose(found.poses[0], pose @ optical_to_child)

    try:
        wait_until(copied, 20.0, f"a view from the pose that was copied\n{both.node.log}")
        of = BASE if has_base else f"{EYE}, because the pose node's poses are of it"
        both.views.warned(f"poses of goals that place the base are those of {of}")
        with pytest.raises(ViewClientError, match="rejected"):
            answer_to_copy("raxels_word")
        both.views.warned("UNKNOWN_FRAME: TF has never heard of frame 'raxels_word'; did you mean raxels_world")
    finally:
        both.views.close()


# ------------------------------------------------------- one process, which stays to the end: these tests come last


@pytest.fixture(scope="module")
def shared(module_probe: Probe, module_spawn: Spawn) -> Iterator[Both]:
    """Both active, and left so."""
    found = Both(module_probe, module_spawn(SCRIPT, *PARAMETERS, *QUIET_TF))
    yield found
    found.views.close()


def test_images_are_received_once_for_both(shared: Both):
    shared.gives_a_pose()
    shared.gives_a_view()
    shared.subscribes_once()


def test_each_keeps_receiving_while_the_other_is_inactive(shared: Both):
    shared.gives_a_pose()
    shared.pose_manager.go("deactivate")
    silent = len(shared.poses)
    shared.gives_a_view()
    shared.subscribes_once()
    assert len(shared.poses) == silent
    shared.pose_manager.go("activate")
    shared.gives_a_pose()
    shared.views_manager.go("deactivate")
    shared.gives_a_pose()
    shared.subscribes_once()
    shared.views_manager.go("activate")
    shared.gives_a_view()
    shared.subscribes_once()


def test_nothing_is_subscribed_while_neither_is_active(shared: Both):
    shared.gives_a_view()
    shared.pose_manager.go("deactivate")
    shared.views_manager.go("deactivate")
    for publisher in (shared.views.images, shared.views.infos):
        wait_until(lambda p=publisher: p.get_subscription_count() == 0, what="no subscription")
    shared.views_manager.go("activate")
    shared.gives_a_view()
    shared.pose_manager.go("activate")
    shared.gives_a_pose()
