"""nodes.views.depth_publisher: depth of kept frames over DDS, once each, and only while somebody listens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

import scripted_views as script
from sensor_msgs.msg import CameraInfo, Image
from views_rig import CAMERA, EYE, at

from ros2_raxels.nodes.common.messages import stamp_ns
from ros2_raxels.nodes.views.depth_publisher import DepthPublisher
from ros2_raxels.view_synthesis.context import ContextFrame
from ros2_raxels.view_synthesis.prediction import FrameDepth

pytestmark = pytest.mark.ros

S = 1_000_000_000
GREY = np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8)


def seen(second: int, frame_id: str = EYE) -> ContextFrame:
    return ContextFrame(GREY, CAMERA, second * S, frame_id, at(second))


class Kept:
    """As much of a `RigContext` as is asked for: what the first camera has kept, and one other."""

    def __init__(self) -> None:
        self.own: tuple[ContextFrame, ...] = ()
        self.others: tuple[ContextFrame, ...] = ()

    def __getitem__(self, name: str) -> Any:
        assert name == ""
        first = Kept()
        first.others = self.own
        return first

    @property
    def frames(self) -> tuple[ContextFrame, ...]:
        return tuple(sorted((*self.own, *self.others), key=lambda frame: frame.stamp_ns))


class Predictor(script.PaintingPredictor):
    """Counts what it is asked for, and fails when told to."""

    asked = 0
    fails = False

    def frame_depth(self, *args: Any) -> FrameDepth:
        self.asked += 1
        if self.fails:
            raise MemoryError("as told")
        return super().frame_depth(*args)


class Stand:
    """A publisher of depth on the probe's node."""

    metric, in_units = True, False

    def __init__(self, probe: Probe) -> None:
        self.probe, self.kept, self.predictor = probe, Kept(), Predictor("")
        self.said: list[str] = []
        self.told = DepthPublisher(
            probe.node,
            self.predictor,
            self.kept,  # type: ignore[arg-type]
            lambda: self.metric,
            lambda: self.in_units,
            self.said.append,
        )

    def listen(self) -> tuple[list[Any], list[Any], list[Any]]:
        name = self.probe.node.get_fully_qualified_name()
        found = tuple(
            self.probe.collect(kind, f"{name}/{topic}")
            for kind, topic in ((Image, "depth"), (Image, "depth_sigma"), (CameraInfo, "camera_info"))
        )
        wait_until(lambda: self.told._is_wanted, what="subscriber")
        return found  # type: ignore[return-value]

    def updated(self, condition: Any) -> Any:
        def now() -> Any:
            self.told.update()
            return condition()

        return wait_until(now, what="depth")


@pytest.fixture
def stand(probe: Probe) -> Iterator[Stand]:
    instance = Stand(probe)
    yield instance
    instance.told.destroy()


def pixels(message: Any) -> np.ndarray:
    assert message.encoding == "32FC1"
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def test_the_newest_frame_of_the_first_camera_has_its_depth_told_once(stand: Stand) -> None:
    stand.kept.own, stand.kept.others = (seen(1), seen(3)), (seen(2, "other"), seen(4, "other"))
    stand.told.update()
    assert stand.predictor.asked == 0, "nobody listens"
    depth, sigma, info = stand.listen()
    stand.updated(lambda: depth and sigma and info)
    for message in (depth[0], sigma[0], info[0]):
        assert (stamp_ns(message.header.stamp), message.header.frame_id) == (3 * S, EYE)
    half = CAMERA.width // 2
    np.testing.assert_allclose(pixels(depth[0])[:, half:], 4.0, rtol=1e-6, err_msg="four known frames")
    np.testing.assert_allclose(pixels(sigma[0])[:, half:], 0.08, rtol=1e-5)
    assert np.isinf(pixels(depth[0])[:, :half]).all()
    assert (info[0].width, info[0].height, info[0].k[0]) == (CAMERA.width, CAMERA.height, CAMERA.fx)
    stand.kept.own = (*stand.kept.own, seen(5))
    stand.updated(lambda: len(depth) == 2)
    assert stamp_ns(depth[1].header.stamp) == 5 * S
    assert stand.predictor.asked == 2


def test_one_frame_is_not_enough(stand: Stand) -> None:
    depth, *_ = stand.listen()
    stand.kept.own = (seen(1),)
    stand.told.update()
    assert stand.predictor.asked == 0
    stand.kept.others = (seen(1, "other"),)
    stand.updated(lambda: depth)


def test_without_a_scale_depth_is_withheld_unless_units_will_do(stand: Stand) -> None:
    stand.metric, stand.kept.own = False, (seen(1), seen(2))
    depth, *_ = stand.listen()
    stand.told.update()
    (words,) = stand.said
    assert words.startswith("~/depth is subscribed to, but the scale is not known: let the pose node find it, or set")
    assert stand.predictor.asked == 0
    stand.in_units = True
    stand.updated(lambda: depth)


def test_an_engine_that_fails_is_named_and_the_next_frame_tried(stand: Stand) -> None:
    stand.predictor.fails, stand.kept.own = True, (seen(1), seen(2))
    depth, *_ = stand.listen()
    stand.updated(lambda: stand.said)
    assert stand.said[0].startswith("no depth of an image: MemoryError")
    stand.predictor.fails, stand.kept.own = False, (seen(1), seen(2), seen(3))
    stand.updated(lambda: depth)
    assert stamp_ns(depth[0].header.stamp) == 3 * S
