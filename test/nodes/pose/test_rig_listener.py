"""rig_listener: a node with two cameras, over real DDS: moments, mounts from TF, and a camera that dies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from ros_testing import Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

from diagnostic_msgs.msg import DiagnosticStatus
from two_cameras import NAMES, TwoCameras

from raxels_interfaces.msg import PoseStatus

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def cameras(module_spawn: Spawn, module_probe: Probe) -> Iterator[TwoCameras]:
    names = ("-p", "cameras:=[left, right]", "-p", "stall_timeout_s:=1.0")
    node = module_spawn("scripted_node.py", *names, "-p", "camera_info_timeout_s:=1.0")
    found = TwoCameras(module_probe, node)
    yield found
    assert node.alive


def test_a_camera_that_stands_nobody_knows_where_is_named_and_the_other_goes_on(cameras: TwoCameras) -> None:
    """For a while the rig is waited for, with the reason; the tests below find it complete."""
    words = "waiting for all cameras of the rig: right: where it stands is not known"
    waiting = wait_until(
        lambda: cameras.send(*NAMES) and [s for s in cameras.status if words in s.message], 20.0, words, every_s=0.05
    )
    assert waiting[0].state == PoseStatus.STATE_WAITING
    alone = cameras.answer_with("count", *NAMES)
    assert alone.state == PoseStatus.STATE_TRACKING
    assert "beside" not in alone.message
    told = cameras.health("right: where it stands is not known", *NAMES)
    assert told.level == DiagnosticStatus.WARN
    cameras.mount()
    assert cameras.answer_with("beside right", *NAMES).state == PoseStatus.STATE_TRACKING
    wait_until(lambda: "the rig is left, right now" in cameras.node.log, 20.0, "a word about the rig")


def test_images_of_a_moment_come_together_and_a_camera_that_dies_is_named(cameras: TwoCameras) -> None:
    cameras.mount()
    cameras.answer_with("beside right", *NAMES)
    assert cameras.health("", *NAMES).level in (DiagnosticStatus.OK, DiagnosticStatus.WARN)
    gone = cameras.answer_with("focal 60 lost.frames", "left")
    assert gone.state == PoseStatus.STATE_TRACKING
    told = cameras.health("right: no image for", "left")
    assert told.level == DiagnosticStatus.WARN
    values = {v.key: v.value for v in told.values}
    assert int(values["missing right"]) > 0
    assert cameras.answer_with("beside right", *NAMES).state == PoseStatus.STATE_TRACKING


def test_where_the_first_camera_has_no_image_the_other_one_goes_on(cameras: TwoCameras) -> None:
    cameras.mount()
    cameras.answer_with("beside right", *NAMES)
    # The scripted tracker does what the first pixel of the image says, which is black: it tracks.
    assert cameras.answer_with("beside right", "right").state == PoseStatus.STATE_TRACKING


def test_an_image_of_another_size_is_left_out_and_named(cameras: TwoCameras) -> None:
    cameras.mount()
    cameras.answer_with("beside right", *NAMES)
    wait_until(
        lambda: (
            cameras.send(*NAMES, height=30) and "camera 'right' is left out: the image of camera" in cameras.node.log
        ),
        20.0,
        "a word about the size",
        every_s=0.1,
    )
    assert np.isfinite(cameras.answer_with("beside right", *NAMES).confidence)


def test_where_the_first_camera_is_dead_for_long_it_is_named_and_poses_go_on(cameras: TwoCameras) -> None:
    cameras.mount()
    cameras.answer_with("beside right", *NAMES)
    told = cameras.health("left: no image for", "right")
    assert told.level == DiagnosticStatus.WARN
    since = len(cameras.status)
    wait_until(lambda: cameras.send("right") and len(cameras.status) > since + 20, 20.0, "20 answers", every_s=0.05)
    assert {s.state for s in cameras.status[since:]} == {PoseStatus.STATE_TRACKING}
    assert cameras.health("ok", *NAMES, of="input").level == DiagnosticStatus.OK
