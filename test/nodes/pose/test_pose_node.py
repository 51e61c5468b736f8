"""``raxels_pose`` as a process, over real DDS: values, stamps, faults, shutdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import scripted_node as script
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Path
from pose_rig import CAMERA, FRAME, PERIOD_NS, UNKNOWN, Rig, next_stamp_ns, picture, settled_rig
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import rotation_from_quaternion
from ros2_raxels.nodes.common.messages import camera_info_message, image_message, stamp_message, stamp_ns

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def rig(module_spawn: Spawn, module_probe: Probe) -> Iterator[Rig]:
    """One node with the scripted tracker for all tests that leave it as it was."""
    rig = settled_rig(module_probe, module_spawn, "-p", "path.period_s:=0.0", "-p", "lost.frames:=3")
    yield rig
    assert rig.node.alive


@pytest.fixture
def fresh(rig: Rig) -> Rig:
    """The rig, its tracker at the beginning of a trajectory with the usual camera."""
    rig.send_info()
    rig.reset()
    return rig


# --------------------------------------------------------------------------------------------------------- values


def test_stamps_frames_and_values_of_a_tracked_image(fresh: Rig):
    first = fresh.solve()
    second = fresh.solve()
    pose, odometry, (edge,) = second.pose, second.odometry, second.edges
    for message in (pose, odometry, edge, second.status):
        assert stamp_ns(message.header.stamp) == second.stamp
        assert message.header.frame_id == "raxels_world"
    for message in (odometry, edge, second.status):
        assert message.child_frame_id == FRAME
    assert fresh.stamped(fresh.poses, first.stamp).pose.pose.position.x == 0.0

    # One step forward along the optical z is one along x in REP-103; a turn to the right is negative about z.
    position, q = pose.pose.pose.position, pose.pose.pose.orientation
    np.testing.assert_allclose([position.x, position.y, position.z], [script.STEP, 0.0, 0.0], atol=1e-12)
    assert math.isclose(math.hypot(q.x, q.y, q.z, q.w), 1.0, abs_tol=1e-9)
    forward = rotation_from_quaternion([q.x, q.y, q.z, q.w]) @ [0.0, 0.0, 1.0]
    turned = [math.cos(script.TURN_RAD), -math.sin(script.TURN_RAD), 0.0]
    np.testing.assert_allclose(forward, turned, atol=1e-12)
    np.testing.assert_allclose(np.reshape(pose.pose.covariance, (6, 6)), np.diag([3.0, 1.0, 2.0, 6.0, 4.0, 5.0]))
    assert odometry.pose.pose == pose.pose.pose
    # Nothing tells metres here, so that a filter is told of turns alone.
    np.testing.assert_allclose(np.reshape(odometry.pose.covariance, (6, 6)), np.diag([9999.0] * 3 + [6.0, 4.0, 5.0]))
    translation = edge.transform.translation
    assert (translation.x, translation.y, translation.z) == (position.x, position.y, position.z)
    assert edge.transform.rotation == q


def test_twist_is_the_motion_in_the_child_frame_and_of_unknown_accuracy(fresh: Rig):
    first = fresh.solve().odometry
    assert first.twist.twist.linear.z == 0.0
    second = fresh.solve().odometry
    seconds = PERIOD_NS * 1e-9
    linear, angular = second.twist.twist.linear, second.twist.twist.angular
    # The step is along the first camera's z; seen from the second, turned right, it points a little to the left.
    expected = np.array([-math.sin(script.TURN_RAD), 0.0, math.cos(script.TURN_RAD)]) * script.STEP / seconds
    np.testing.assert_allclose([linear.x, linear.y, linear.z], expected, atol=1e-9)
    np.testing.assert_allclose([angular.x, angular.y, angular.z], [0.0, script.TURN_RAD / seconds, 0.0], atol=1e-9)
    np.testing.assert_array_equal(np.reshape(second.twist.covariance, (6, 6)), UNKNOWN)


def test_status_carries_what_the_tracker_said(fresh: Rig):
    status = fresh.solve().status
    assert status.state == PoseStatus.STATE_TRACKING
    assert status.message == "count 1 focal 60 lost.frames 3"
    numbers = (status.confidence, status.residual_px, status.correspondences, status.inliers)
    assert numbers == (0.75, 0.5, 100, 80)
    assert status.hypothesis_spread_rotation_rad == pytest.approx(0.01)
    assert status.hypothesis_spread_translation == pytest.approx(0.02)
    assert (status.scale_source, status.scale_is_metric, status.scale) == (PoseStatus.SCALE_NONE, False, 0.0)
    assert status.engine_id == "scripted"
    assert 0.0 < status.processing_s < 1.0
    assert status.frames_received == status.frames_processed + status.frames_dropped


@pytest.mark.parametrize(
    ("action", "state", "has_pose", "has_edge"),
    [
        (script.INITIALISE, PoseStatus.STATE_INITIALISING, False, False),
        (script.HELD, PoseStatus.STATE_HELD, True, True),
        (script.LOST, PoseStatus.STATE_LOST, True, False),
    ],
)
def test_what_is_published_while_not_tracking(fresh: Rig, action: int, state: int, has_pose: bool, has_edge: bool):
    fresh.solve()
    answer = fresh.solve(action)
    assert answer.status.state == state
    assert (answer.pose is not None, answer.odometry is not None) == (has_pose, has_pose)
    assert bool(answer.edges) == has_edge
    if has_pose:
        # As the tracker says: it grows while held and is unknown when lost. x forward is the optical z, and so on.
        expected = UNKNOWN if action == script.LOST else np.diag([3.0, 1.0, 2.0, 6.0, 4.0, 5.0])
        np.testing.assert_allclose(np.reshape(answer.pose.pose.covariance, (6, 6)), expected)
        expected = np.diag([9999.0] * 3 + list(np.diag(expected)[3:]))
        np.testing.assert_allclose(np.reshape(answer.odometry.pose.covariance, (6, 6)), expected)
        assert answer.odometry.twist.twist.linear.z == 0.0
    after = fresh.solve()
    assert after.pose.pose.covariance[0] == 3.0
    assert after.odometry.twist.twist.linear.z == 0.0, "a twist over a gap"


def test_the_path_grows_with_the_trajectory_and_is_latched(fresh: Rig):
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    paths = fresh.probe.collect(Path, "/raxels_pose/path", latched)
    stamps = [fresh.solve().stamp for _ in range(3)]
    wait_until(lambda: paths and len(paths[-1].poses) == 3, what="path of 3 poses")
    assert [stamp_ns(p.header.stamp) for p in paths[-1].poses] == stamps
    assert [round(p.pose.position.x, 9) for p in paths[-1].poses] == [0.0, 0.1, 0.2]
    late = fresh.probe.collect(Path, "/raxels_pose/path", latched)
    wait_until(lambda: late, what="path for a late listener")
    assert len(late[0].poses) == 3


def test_the_raxel_image_shows_the_raxels_of_the_pose(fresh: Rig):
    pictures = fresh.probe.collect(Image, "/raxels_pose/raxels/image")

    def shown() -> Image | None:
        fresh.reset()
        return fresh.stamped(pictures, fresh.solve().stamp)

    # The node draws once it has found the subscription.
    message = wait_until(shown, what="picture")
    assert (message.encoding, message.header.frame_id, message.width) == ("rgb8", FRAME, 320)
    rgb = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3).astype(float)
    # Red grows to the right, green downwards, and blue is highest in the middle, as x, y and z of unit rays.
    assert rgb[0, -1, 0] > 128 > rgb[0, 0, 0]
    assert rgb[-1, 0, 1] > 128 > rgb[0, 0, 1]
    assert rgb[message.height // 2, 160, 2] == rgb[..., 2].max() == 255


# --------------------------------------------------------------------------------------------------------- faults


def _bad(**changes: Any) -> Callable[[Rig], None]:
    def send(rig: Rig) -> None:
        message = image_message(picture(), Header(frame_id=FRAME))
        for name, value in changes.items():
            setattr(message, name, value)
        rig.send(message)

    return send


def _truncated(rig: Rig) -> None:
    message = image_message(picture(), Header(frame_id=FRAME))
    del message.data[100:]
    rig.send(message)


def _bad_info(**changes: Any) -> Callable[[Rig], None]:
    def send(rig: Rig) -> None:
        info = camera_info_message(CAMERA, Header(frame_id=FRAME))
        for name, value in changes.items():
            setattr(info, name, value)
        rig.send_info(info)
        rig.taken()
        rig.send(picture())

    return send


FAULTS = [
    pytest.param(_bad(encoding="yuv999"), "'yuv999'", True, id="encoding"),
    pytest.param(_truncated, "truncated", True, id="truncated"),
    pytest.param(_bad(height=0, width=0, step=0), "0x0", True, id="empty"),
    pytest.param(_bad(step=1), "step 1 ", True, id="step"),
    pytest.param(_bad_info(k=[math.nan] * 9), "camera_info: K has a nan", False, id="nan"),
    pytest.param(_bad_info(k=[0.0] * 9), "camera_info: K is all zeros", False, id="uncalibrated"),
    pytest.param(_bad_info(distortion_model="omni"), "'omni'", False, id="model"),
    pytest.param(_bad_info(width=640, height=480), "is 64x48 px but camera_info describes 640x480", True, id="size"),
    pytest.param(
        lambda rig: rig.send(picture(script.RAISE)), "ZeroDivisionError: as the image asked", True, id="exception"
    ),
    pytest.param(lambda rig: rig.send(picture(script.NOT_FINITE)), "not finite", True, id="not_finite"),
]


@pytest.mark.parametrize(("fault", "words", "is_dropped"), FAULTS)
def test_bad_input_is_reported_and_the_next_good_image_gives_a_pose(
    fresh: Rig, fault: Callable[[Rig], None], words: str, is_dropped: bool
):
    """An unusable camera_info costs no image: the last usable one goes on."""
    before = fresh.solve()
    fault(fresh)
    fresh.warned(words)
    fresh.send_info()
    fresh.taken()
    after = fresh.solve()
    assert after.pose is not None
    assert after.status.message == f"count {2 if is_dropped else 3} focal 60 lost.frames 3"
    assert after.status.frames_dropped == before.status.frames_dropped + is_dropped
    assert fresh.node.alive
    line = next(line for line in fresh.node.log.splitlines() if words in line)
    assert "WARN" in line
    assert "Traceback" not in fresh.node.log


def test_a_repeated_stamp_is_dropped_and_counted(fresh: Rig):
    first = fresh.solve()
    fresh.send(picture(), first.stamp)
    fresh.warned("repeats")
    after = fresh.solve()
    assert after.status.frames_dropped == first.status.frames_dropped + 1
    assert after.status.message.startswith("count 2 ")


def test_an_image_out_of_order_is_dropped(fresh: Rig):
    stamp = fresh.solve().stamp
    fresh.send(picture(), stamp - 2 * PERIOD_NS)
    fresh.warned("out of order")
    assert fresh.solve().status.message.startswith("count 2 ")


def test_a_bag_loop_resets_and_says_so(fresh: Rig):
    start = next_stamp_ns() - 100 * 10**9
    fresh.solve(stamp=next_stamp_ns())
    fresh.solve()
    looped = fresh.solve(stamp=start)
    assert looped.status.message.startswith("count 1 ")
    assert any("jumped back by" in s.message for s in fresh.status)
    assert looped.pose.pose.pose.position.x == 0.0
    assert fresh.solve(stamp=start + PERIOD_NS).status.message.startswith("count 2 ")


def test_images_of_another_size_reset_and_say_so(fresh: Rig):
    fresh.solve()
    fresh.solve()
    small = PinholeCamera(32, 24, 30.0, 30.0, 15.5, 11.5)
    fresh.send_info(camera_info_message(small, Header(frame_id=FRAME)))
    fresh.taken()
    answer = fresh.answer(fresh.send(picture(width=32, height=24)))
    assert answer.message == "count 1 focal 30 lost.frames 3"
    fresh.warned("image size changed from 64x48 to 32x24 px")


def _info(camera: PinholeCamera, stamp: int) -> CameraInfo:
    return camera_info_message(camera, Header(frame_id=FRAME, stamp=stamp_message(stamp)))


def test_images_of_changing_resolution_never_get_the_camera_info_of_another(fresh: Rig):
    """The small messages run ahead of the images."""
    small = PinholeCamera(32, 24, 30.0, 30.0, 15.5, 11.5)
    cameras = [CAMERA, small, CAMERA, small]
    stamps = [next_stamp_ns() for _ in cameras]
    for camera, stamp in zip(cameras, stamps, strict=True):
        fresh.send_info(_info(camera, stamp))
    fresh.taken()
    dropped = 0
    for camera, stamp in zip(cameras, stamps, strict=True):
        status = fresh.answer(fresh.send(picture(width=camera.width, height=camera.height), stamp))
        assert status.message == f"count 1 focal {camera.fx:g} lost.frames 3"
        dropped = dropped or status.frames_dropped
        assert status.frames_dropped == dropped
    assert "but camera_info describes 32x24" not in fresh.node.log


def test_a_tracker_that_keeps_failing_is_reset(fresh: Rig):
    fresh.solve()
    for _ in range(3):
        fresh.send(picture(script.RAISE))
        fresh.in_hand()
    fresh.warned("the tracker failed on 3 images in a row")
    assert fresh.solve().status.message.startswith("count 1 ")


def test_a_tracker_that_keeps_failing_on_keyframes_is_reset_and_its_images_are_answered(fresh: Rig):
    dropped = fresh.solve().status.frames_dropped
    for count in (2, 4):
        assert fresh.solve(script.SPOIL).status.message.startswith(f"count {count} ")
        # The images between, of which no keyframe is made, prove nothing.
        fresh.solve()
    assert fresh.solve(script.SPOIL).status.frames_dropped == dropped
    fresh.warned("the tracker failed on this keyframe: ZeroDivisionError: as the image asked")
    fresh.warned("the tracker failed on 3 keyframes in a row")
    assert fresh.solve().status.message.startswith("count 1 ")


def test_a_solved_image_counts_as_processed_only_even_if_its_answer_cannot_be_published(fresh: Rig):
    before = fresh.solve().status
    fresh.send(picture(script.UNSAID))
    fresh.warned("internal error, image not answered: ValueError: cannot convert float NaN to integer")
    after = fresh.solve().status
    assert after.message.startswith("count 3 ")
    assert after.frames_processed == before.frames_processed + 2
    assert after.frames_dropped == before.frames_dropped
    assert after.frames_received == after.frames_processed + after.frames_dropped


def test_a_sensor_that_is_left_out_and_a_rolling_shutter_are_named_in_the_diagnostics(fresh: Rig):
    fresh.solve()
    assert not fresh.health("sensors")
    assert not fresh.health("lens")
    assert fresh.solve(script.SLIPS).status.state == PoseStatus.STATE_TRACKING
    found = fresh.wait_health("sensors", DiagnosticStatus.WARN)
    assert found.message == script.SLIPPED
    assert fresh.wait_health("lens", DiagnosticStatus.WARN).message == script.ROLLS


def test_reset_service_starts_a_new_trajectory(rig: Rig):
    rig.send_info()
    rig.solve()
    rig.solve()
    response = rig.probe.call(Trigger, "/raxels_pose/reset", Trigger.Request())
    assert (response.success, response.message) == (True, "the next image is the new origin")
    assert rig.solve().status.message.startswith("count 1 ")


def test_the_newest_image_wins_and_the_others_are_counted(fresh: Rig):
    before = fresh.solve().status
    busy = fresh.send_busy()
    burst = []
    for _ in range(5):
        burst.append(fresh.send(picture()))
        fresh.taken()
    newest = fresh.answer(burst[-1])
    assert fresh.stamped(fresh.status, busy)
    assert not any(fresh.stamped(fresh.status, stamp) for stamp in burst[:-1])
    assert newest.frames_processed == before.frames_processed + 2
    assert newest.frames_dropped == before.frames_dropped + 4
