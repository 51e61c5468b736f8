"""What cameras, clocks and graphs are really like, and what the pose node says of it: over real DDS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from ros_testing import START_S, Probe, Spawn, matched, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import scripted_node as script
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from pose_rig import CAMERA, FRAME, PERIOD_NS, Rig, next_stamp_ns, picture, settled_rig
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, make_pose
from ros2_raxels.nodes.common.messages import camera_info_message, pose_message, stamp_message, transform_message
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos

pytestmark = pytest.mark.ros

LATCHED = tf_qos(static=True)
YEAR_NS = 31_557_600 * 10**9


def info_of(camera: PinholeCamera = CAMERA, **changes: Any) -> CameraInfo:
    """A camera_info with these fields."""
    info = camera_info_message(camera, Header(frame_id=FRAME))
    for name, value in changes.items():
        setattr(info, name, value)
    return info


def edge(parent: str, child: str, pose: FloatArray) -> TFMessage:
    header = Header(frame_id=parent, stamp=stamp_message(time.time_ns()))
    transform = transform_message(pose_message(pose))
    return TFMessage(transforms=[TransformStamped(header=header, child_frame_id=child, transform=transform)])


# ------------------------------------------------------------------------------------- each with a node of its own


def test_a_latched_camera_info_from_before_the_start_is_received_and_so_are_volatile_ones(spawn: Spawn, probe: Probe):
    before = probe.publisher(CameraInfo, "/camera_info", LATCHED)
    before.publish(info_of())
    rig = Rig(probe, spawn("scripted_node.py"), info_qos=LATCHED)
    wait_until(lambda: rig.follows(rig.images), what="the reliable subscription")
    wait_until(lambda: rig.send(picture(script.INITIALISE)) and rig.status, what="first answer", every_s=0.05)
    assert rig.solve().status.message == "count 1 focal 60 lost.frames 5"
    volatile = matched(probe.publisher(CameraInfo, "/camera_info"))
    zoomed = info_of(PinholeCamera(CAMERA.width, CAMERA.height, 90.0, 90.0, CAMERA.cx, CAMERA.cy))

    def is_zoomed() -> bool:
        volatile.publish(zoomed)
        return "focal 90" in rig.solve().status.message

    wait_until(is_zoomed, what="the volatile camera_info")
    assert "incompatible" not in rig.node.log
    assert "estimated" not in rig.node.log


def test_what_cannot_be_calibrated_gives_no_pose_until_it_can_or_a_guess_is_allowed(spawn: Spawn, probe: Probe):
    topic = "left/image_rect"
    node = spawn("scripted_node.py", "-r", f"image:=/{topic}", "-p", "camera_info_timeout_s:=0.1")
    rig = Rig(probe, node, image=topic)

    def wait_for(info: CameraInfo, *words: str) -> PoseStatus:
        """Until the newest status has these words, with an image and this camera_info again and again."""

        def said() -> PoseStatus | None:
            rig.send_info(info)
            rig.send(picture())
            newest = rig.status[-1] if rig.status else None
            return newest if newest is not None and all(word in newest.message for word in words) else None

        return wait_until(said, START_S, f"status of {words}", every_s=0.05)

    unknown = info_of(distortion_model="mei", d=[0.1, 0.2])
    zeros, outside = info_of(k=[0.0] * 9), info_of(k=[60.0, 0.0, 640.0, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0])
    for info, reason in (
        (unknown, "/camera_info: distortion_model 'mei' is not supported"),
        (zeros, "/camera_info: K is all zeros"),
        (outside, "/camera_info: principal point (640, 23.5) px lies outside the 64x48 px image"),
    ):
        words = (f"waiting for a usable camera_info: {reason}", "allow_uncalibrated is false")
        assert wait_for(info, *words).state == PoseStatus.STATE_WAITING
    rig.wait_health("tracking", DiagnosticStatus.WARN, "WAITING: ", *words)
    assert not rig.poses
    assert not rig.edges

    rig.assign("allow_uncalibrated", True)
    assert wait_for(unknown, "focal estimated").state == PoseStatus.STATE_TRACKING
    rig.wait_health("input", DiagnosticStatus.WARN, "the focal length is estimated: ", "'mei'")
    rig.assign("allow_uncalibrated", False)
    wait_for(unknown, "'mei'")
    unposed = rig.send(picture())
    rig.taken()

    bent = info_of(PinholeCamera(64, 48, 60.0, 61.0, 31.5, 23.5, (-0.1, 0.01, 0.0, 0.0, 0.0)))
    assert wait_for(bent, "focal 60").state == PoseStatus.STATE_TRACKING
    assert rig.stamped(rig.poses, unposed) is None
    words = f"/{topic} is rectified by its name, but the D of /camera_info is not zero (-0.1, 0.01, 0, 0, 0)"
    rig.wait_health("input", DiagnosticStatus.WARN, words, "image_rectified is false; set it to true")
    assert rig.node.log.count(words) == 1


def test_simulated_time_that_does_not_come_or_is_not_that_of_the_images_is_named(spawn: Spawn, probe: Probe):
    rig = Rig(probe, spawn("scripted_node.py", "-p", "use_sim_time:=true"))
    rig.settle()
    still = "so that this node's clock stands at 0"
    rig.wait_health(
        "clock", DiagnosticStatus.WARN, "use_sim_time is true but nobody publishes /clock", still, "--clock"
    )
    clock = matched(probe.publisher(Clock, "/clock"))
    rig.wait_health("clock", DiagnosticStatus.WARN, "nothing arrives on /clock from probe", still)

    def said(level: bytes, words: str, stamp: int) -> bool:
        clock.publish(Clock(clock=stamp_message(100 * 10**9)))
        rig.send(picture(), stamp)
        return any(s.level == level and words in s.message for s in rig.health("clock")[-1:])

    theirs = "this node's clock (/clock) 100.0 s"
    wait_until(lambda: said(DiagnosticStatus.WARN, theirs, next_stamp_ns()), what="two clocks", every_s=0.05)
    assert "set use_sim_time to true where the images come from" in rig.health("clock")[-1].message
    wait_until(lambda: said(DiagnosticStatus.OK, "ok", 100 * 10**9), what="one clock", every_s=0.05)


def test_a_base_that_appears_late_and_a_mount_that_changes_are_said_once(spawn: Spawn, probe: Probe):
    rig = settled_rig(probe, spawn)
    assert rig.solve().status.child_frame_id == FRAME
    static = matched(probe.publisher(TFMessage, "/tf_static", LATCHED))
    static.publish(edge("base_link", FRAME, OPTICAL_TO_BODY))
    wait_until(lambda: rig.solve().status.child_frame_id == "base_link", what="poses of the base")
    changed = (
        f"poses are now those of base_link in raxels_world, no longer of {FRAME} in raxels_world: TF now says where "
        f"{FRAME} is on base_link; the origin of raxels_world is where base_link began"
    )
    rig.wait_health("tf", DiagnosticStatus.WARN, changed)
    static.publish(edge("base_link", FRAME, make_pose(np.eye(3), [0.0, 0.0, 0.5]) @ OPTICAL_TO_BODY))
    moved = "the camera's place on base_link in TF has changed by 0.500 m and 0.0 deg: poses of base_link follow it"
    wait_until(lambda: rig.solve() and moved in rig.node.log, what="another mount")
    # No metres are known, so that the base can be given no edge either.
    rig.wait_health("tf", DiagnosticStatus.ERROR, moved, "no edge to base_link, which is 0.5 m away from the camera")
    rig.solve()
    assert rig.node.log.count(changed) == rig.node.log.count(moved) == 1


def test_an_image_that_shows_nothing_is_said_to_be_constant(spawn: Spawn, probe: Probe):
    rig = Rig(probe, spawn("ros2_raxels.nodes.pose.pose_node", "-p", "model:=none"))
    noise = np.random.default_rng(0).normal(40.0, 1.2, (CAMERA.height, CAMERA.width, 1))
    grey = np.repeat(noise.round().astype(np.uint8), 3, axis=2)
    words = "the image is nearly constant (standard deviation 1.2 of 255): is the lens covered?"

    def said() -> bool:
        rig.send_info()
        rig.send(grey)
        return len(rig.status) > 3

    wait_until(said, START_S, "answers", every_s=0.05)
    answers = [s for s in rig.status if s.state == PoseStatus.STATE_INITIALISING]
    assert {s.message for s in answers} == {words}
    assert not rig.poses
    rig.wait_health("tracking", DiagnosticStatus.WARN, f"INITIALISING: {words}")


# ---------------------------------------------------------------------- with one node; its name is there from here on


@pytest.fixture(scope="module")
def rig(module_spawn: Spawn, module_probe: Probe) -> Iterator[Rig]:
    """One node with the scripted tracker."""
    rig = settled_rig(module_probe, module_spawn)
    yield rig
    assert rig.node.alive


def test_stamps_of_another_clock_are_named_with_both_clocks_and_the_difference(rig: Rig):
    before = time.time_ns() - 10 * YEAR_NS
    for number in range(3):
        rig.solve(stamp=before + number * PERIOD_NS)
    said = time.strftime("images are stamped by another clock: theirs says %Y-%m-%d", time.gmtime(before * 1e-9))
    warned = rig.wait_health("clock", DiagnosticStatus.WARN, said, "this node's (the wall clock)", "10.0 years behind")
    assert "use_sim_time" in warned.message
    rig.warned(said)
    clock = rig.probe.publisher(Clock, "/clock")
    rig.wait_health(
        "clock", DiagnosticStatus.WARN, "set use_sim_time to true on this node, since probe publishes /clock"
    )
    rig.probe.node.destroy_publisher(clock)
    since = len(rig.diagnostics)
    rig.solve(stamp=time.time_ns())
    wait_until(lambda: [s for s in rig.health("clock", since) if s.level == DiagnosticStatus.OK], what="one clock")


def test_a_second_node_of_the_same_name_is_an_error_while_it_is_there(rig: Rig, spawn: Spawn):
    rig.solve()
    second = spawn("scripted_node.py")
    named = "active: 2 nodes are named /raxels_pose: they answer each other's services"
    wait_until(
        lambda: any(s.message.startswith(named) for s in rig.health("lifecycle")[-1:]), START_S, "error of the name"
    )
    assert rig.health("lifecycle")[-1].level == DiagnosticStatus.ERROR

    def has_conflict() -> bool:
        rig.send_info()
        rig.send(picture())
        return "is published by /raxels_pose too" in rig.health("tf")[-1].message

    wait_until(has_conflict, what="error of the edge", every_s=0.05)
    second.stop()
    since = len(rig.diagnostics)
    wait_until(lambda: "active" in [s.message for s in rig.health("lifecycle", since)], what="the only one")


def test_a_second_publisher_of_the_same_edge_is_named_also_when_it_comes_later(rig: Rig):
    rig.solve()
    since = len(rig.diagnostics)
    wait_until(lambda: rig.health("tf", since), what="diagnostic")
    assert rig.health("tf")[-1].level == DiagnosticStatus.OK
    rival = matched(rig.probe.publisher(TFMessage, "/tf", tf_qos()))
    rival.publish(edge("raxels_world", FRAME, np.eye(4)))
    rig.solve()
    words = f"TF edge raxels_world -> {FRAME} is published by /probe too, and jumps between the publishers"
    rig.wait_health("tf", DiagnosticStatus.ERROR, words, "tf.mode")
    rig.warned(words)
    rig.probe.node.destroy_publisher(rival)
    since = len(rig.diagnostics)
    wait_until(lambda: [s for s in rig.health("tf", since) if s.level == DiagnosticStatus.OK], what="no rival")
