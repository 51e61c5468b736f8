"""pose_node: of several cameras, over real DDS, where the first one sends nothing."""

from __future__ import annotations

import pytest
from ros_testing import Probe, Spawn

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

from diagnostic_msgs.msg import DiagnosticStatus
from two_cameras import NAMES, TwoCameras

from raxels_interfaces.msg import PoseStatus

pytestmark = pytest.mark.ros


def test_a_first_camera_that_never_sends_is_replaced_until_it_does(spawn: Spawn, probe: Probe) -> None:
    names = ("-p", "cameras:=[left, right]", "-p", "stall_timeout_s:=1.0")
    cameras = TwoCameras(probe, spawn("scripted_node.py", *names, "-p", "camera_info_timeout_s:=1.0"))
    # With the lens of the right camera: of the left one none is known.
    alone = cameras.answer_with("focal 60", "right")
    assert alone.state == PoseStatus.STATE_TRACKING
    assert "beside" not in alone.message
    assert "camera 'left' has sent no image; poses are those of 'right' until it does" in cameras.node.log
    assert cameras.health("left: no image for", "right").level == DiagnosticStatus.WARN
    cameras.mount()
    both = cameras.answer_with("beside right", *NAMES)
    assert both.state == PoseStatus.STATE_TRACKING
    assert both.resets > alone.resets
