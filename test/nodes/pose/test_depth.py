"""nodes.pose.depth: depth images found by stamp over DDS, what is wrong with them, and metres from the first image."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe, matched, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from walk import CAMERA, Walk

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry.frame_tree import UnknownFrameError
from ros2_raxels.geometry.poses import FloatArray, make_pose
from ros2_raxels.nodes.common.messages import camera_info_message, image_message, stamp_message, stamp_ns
from ros2_raxels.nodes.common.parameters import declare
from ros2_raxels.nodes.pose.depth import DepthListener
from ros2_raxels.nodes.pose.parameters import POSE_TABLE
from ros2_raxels.nodes.pose.pose_node import PoseNode
from ros2_raxels.tracking.depth_image import DepthImage
from ros2_raxels.tracking.tracker import Tracker

pytestmark = pytest.mark.ros

MS = 1_000_000
T0 = 1_700_000_000 * 1000 * MS
EYE = "eye_optical_frame"
CENTRE = np.array([[159.5, 119.5]])


def depth_message(stamp: int, depth_m: FloatArray, frame: str = EYE, encoding: str = "16UC1") -> Image:
    pixels = np.round(1000 * depth_m).astype("<u2") if encoding == "16UC1" else depth_m.astype("<f4")
    height, width = pixels.shape
    message = Image(header=Header(frame_id=frame, stamp=stamp_message(stamp)), height=height, width=width)
    message.encoding, message.step, message.data = encoding, pixels.itemsize * width, pixels.tobytes()
    return message


class Heard:
    """A publisher of depth images, and a listener."""

    def __init__(self, probe: Probe) -> None:
        self.problems: list[str] = []
        overrides = [Parameter("depth.wait_s", value=0.0)]
        self.node = Node(probe, overrides)
        self.listener = DepthListener(self.node.node, self.node.settings, self._optical_to, self.problems.append)
        self._publisher = matched(probe.publisher(Image, "/depth/image"))
        self.infos = matched(probe.publisher(CameraInfo, "/depth/camera_info"))

    @staticmethod
    def _optical_to(frame: str, stamp: int) -> FloatArray:
        if frame == "aligned_optical_frame":
            return np.eye(4)
        if frame == "infra_optical_frame":
            return make_pose(np.eye(3), [0.025, 0.0, 0.0])
        raise UnknownFrameError(f"nobody knows {frame}")

    def send(self, ms: int, depth_m: float = 2.0, frame: str = EYE, **more: Any) -> None:
        """Until it is there."""
        before = int(self.listener.values()["depth images received"])
        size = more.pop("size", (240, 320))
        self._publisher.publish(depth_message(T0 + ms * MS, np.full(size, depth_m), frame, **more))
        wait_until(
            lambda: int(self.listener.values()["depth images received"]) > before, what="depth image at the listener"
        )

    def of(self, ms: int) -> DepthImage | None:
        return self.listener.of(T0 + ms * MS, EYE, 320, 240)

    def depth(self, ms: int) -> float | None:
        found = self.of(ms)
        return None if found is None else round(1.0 / float(found.at(CENTRE, CAMERA)[0][0]), 3)


class Node:
    """A node with the parameters, spun by the probe's executor."""

    def __init__(self, probe: Probe, overrides: list[Parameter]) -> None:
        import rclpy

        self._executor = probe.node.executor
        self.node = rclpy.create_node("hears_depth", context=probe.node.context, parameter_overrides=overrides)
        self.settings = declare(self.node, POSE_TABLE)
        self._executor.add_node(self.node)

    def close(self) -> None:
        self._executor.remove_node(self.node)
        self.node.destroy_node()


@pytest.fixture
def heard(probe: Probe) -> Iterator[Heard]:
    found = Heard(probe)
    yield found
    found.listener.destroy()
    found.node.close()


def test_the_depth_image_nearest_by_stamp_is_taken(heard: Heard):
    heard.send(0, 1.0)
    heard.send(33, 2.0)
    heard.send(66, 3.0, encoding="32FC1")
    assert [heard.depth(ms) for ms in (5, 30, 70)] == [1.0, 2.0, 3.0]
    assert heard.depth(100) is None
    assert heard.listener.values() == {
        "depth images received": "3",
        "depth images used": "3",
        "depth images missing": "1",
        "depth images left out": "0",
    }
    assert heard.problems == []


def test_a_smaller_depth_image_goes_by_its_own_camera(heard: Heard):
    """The middle of the image lies elsewhere in it."""
    own = CAMERA.resized(160, 120)
    info = camera_info_message(own, Header(frame_id=EYE, stamp=stamp_message(T0)))
    info.k[2] -= 30.0
    info.p[2] -= 30.0
    heard.infos.publish(info)
    wait_until(lambda: heard.listener._infos.newest is not None, what="camera_info at the listener")
    heard.send(0, 2.0, size=(120, 160))
    found = heard.of(0)
    assert found is not None
    left, middle = found.at(np.array([[30.0, 120.0], [160.0, 120.0]]), CAMERA)[0]
    assert np.isnan(left)
    assert middle == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"depth_m": 1500.0, "encoding": "32FC1"}, "its values seem to be mm where they should be m"),
        ({"frame": "infra_optical_frame"}, "depth images are in frame 'infra_optical_frame' and images in"),
        ({"frame": "nobody_optical_frame"}, "so that they are not registered; remap depth/image to the aligned depth"),
        ({"size": (100, 320)}, "depth image of 320x100 px has another shape than the image of 320x240 px"),
    ],
)
def test_what_cannot_be_used_is_named_and_left_out(heard: Heard, sent: dict[str, Any], words: str):
    heard.send(0, **sent)
    assert heard.of(0) is None
    assert words in heard.problems[-1]
    assert words in heard.listener.trouble()
    heard.send(33, 2.0, frame="aligned_optical_frame")
    assert heard.depth(33) == 2.0


def test_another_encoding_is_named_when_it_comes(heard: Heard):
    wrong = depth_message(T0, np.ones((240, 320)))
    wrong.encoding = "rgb8"
    heard._publisher.publish(wrong)
    wait_until(lambda: heard.problems, what="the problem")
    assert "depth encoding 'rgb8' is not supported; depth images are 16UC1 (mm) or 32FC1 (m)" in heard.problems[0]


def test_stamps_that_never_match_are_named(heard: Heard):
    heard.send(0)
    for ms in range(1000, 1100, 33):
        assert heard.of(ms) is None
    assert "no depth image on /depth/image within 0.02 s of the images; check the stamps" in heard.listener.trouble()


class WithDepth:
    """The real node and tracker in this process, and a camera with depth that stands."""

    def __init__(self, probe: Probe) -> None:
        walk, self._executor = Walk(), probe.node.executor
        self._image = walk.images[0]
        self._depth_m = np.where(walk.depths_m[0] < 6.0, walk.depths_m[0], 0.0)
        self.node = PoseNode(
            lambda settings, model, odometry: Tracker(settings),
            context=probe.node.context,
            parameter_overrides=[Parameter("depth.wait_s", value=1.0)],
        )
        self.node.start()
        self._executor.add_node(self.node)
        self.status: list[PoseStatus] = probe.collect(PoseStatus, "/raxels_pose/status")
        self._images = matched(probe.publisher(Image, "/image"))
        self._depths = matched(probe.publisher(Image, "/depth/image"))
        self._infos = matched(probe.publisher(CameraInfo, "/camera_info"))

    def values(self) -> dict[str, str]:
        listener = self.node._depth
        assert listener is not None
        return listener.values()

    def send_depth(self, stamp: int) -> None:
        """Until the node has it."""
        before = self.values()["depth images received"]
        self._depths.publish(depth_message(stamp, self._depth_m))
        wait_until(lambda: self.values()["depth images received"] != before, what="a depth image")

    def solve(self, stamp: int) -> PoseStatus:
        """Of an image whose depth image comes after it."""
        header = Header(frame_id=EYE, stamp=stamp_message(stamp))
        self._infos.publish(camera_info_message(CAMERA, header))
        wait_until(lambda: self.node._intrinsics.newest is not None, what="camera_info")
        self._images.publish(image_message(self._image, header))
        self.send_depth(stamp)

        def answers() -> list[PoseStatus]:
            return [status for status in self.status if stamp_ns(status.header.stamp) == stamp]

        return wait_until(answers, what="an answer")[0]

    def close(self) -> None:
        self._executor.remove_node(self.node)
        self.node.stop()
        self.node.destroy_node()
        del self.node
        gc.collect()


@pytest.fixture
def with_depth(probe: Probe) -> Iterator[WithDepth]:
    found = WithDepth(probe)
    yield found
    found.close()


def test_a_standing_camera_with_depth_has_poses_in_metres_from_its_first_image(with_depth: WithDepth):
    # One of long ago, so that depth is known to come and is waited for.
    with_depth.send_depth(T0 - 1000 * MS)
    for stamp in (T0, T0 + 33 * MS):
        found = with_depth.solve(stamp)
        assert found.state == PoseStatus.STATE_TRACKING
        assert (found.scale_is_metric, found.scale_source) == (True, PoseStatus.SCALE_DEPTH)
        assert found.scale_sigma == pytest.approx(0.005)
    assert with_depth.values()["depth images used"] == "2"
    (health,) = with_depth.node._depth_health()
    assert (health.part, health.message) == ("depth", "")
