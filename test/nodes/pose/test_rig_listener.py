"""rig_listener: a node with two cameras, over real DDS: moments, mounts from TF, and a camera that dies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe, Spawn, matched, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from pose_rig import CAMERA, next_stamp_ns, picture
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.nodes.common.messages import camera_info_message, image_message, stamp_message, stamp_ns
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos

pytestmark = pytest.mark.ros

NAMES = ("left", "right")


class TwoCameras:
    """Their publishers, and what the node says."""

    def __init__(self, probe: Probe, node: Any) -> None:
        self.node = node
        self._images = {name: probe.publisher(Image, f"{name}/image") for name in NAMES}
        self._infos = {name: probe.publisher(CameraInfo, f"{name}/camera_info") for name in NAMES}
        self._static = probe.publisher(TFMessage, "/tf_static", tf_qos(static=True))
        self._diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
        self.status = probe.collect(PoseStatus, "/raxels_pose/status")
        for publisher in (*self._images.values(), *self._infos.values()):
            matched(publisher)

    def mount(self) -> None:
        """Say where the right camera is."""
        header, away = Header(frame_id="left_optical"), Vector3(x=0.12)
        transform = Transform(translation=away, rotation=Quaternion(w=1.0))
        edge = TransformStamped(header=header, child_frame_id="right_optical", transform=transform)
        self._static.publish(TFMessage(transforms=[edge]))

    def send(self, *names: str, height: int = CAMERA.height) -> int:
        """Images of one moment; its stamp."""
        stamp = next_stamp_ns()
        for name in names:
            header = Header(frame_id=f"{name}_optical", stamp=stamp_message(stamp))
            self._infos[name].publish(camera_info_message(CAMERA, header))
            image = picture(height=height if name == "right" else CAMERA.height)
            self._images[name].publish(image_message(image, header))
        return stamp

    def answer_with(self, words: str, *names: str) -> PoseStatus:
        """The first status, of moments sent until then, that has these words."""
        sent: set[int] = set()

        def found() -> PoseStatus | None:
            sent.add(self.send(*names))
            fitting = [s for s in self.status if stamp_ns(s.header.stamp) in sent and words in s.message]
            return fitting[-1] if fitting else None

        return wait_until(found, 20.0, f"status with {words!r}", every_s=0.05)

    def health(self, words: str, *names: str) -> DiagnosticStatus:
        """A diagnostic of the cameras with these words from now on, while moments are sent."""
        since = len(self._diagnostics)

        def found() -> DiagnosticStatus | None:
            self.send(*names)
            told = [s for m in self._diagnostics[since:] for s in m.status if s.name == "raxels_pose: cameras"]
            return next((s for s in reversed(told) if words in s.message), None)

        return wait_until(found, 20.0, f"diagnostic of cameras with {words!r}", every_s=0.1)


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
