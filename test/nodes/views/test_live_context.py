"""nodes.live_context: images are decoded beside the executor, in order, and belong to the world they were taken in."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from ros_testing import Probe, matched, wait_until

pytest.importorskip("rclpy")

from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from views_rig import CAMERA, EYE, WORLD, at

from ros2_raxels.geometry.frame_tree import FrameError
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.nodes.common.messages import camera_info_message, image_message, stamp_message
from ros2_raxels.nodes.common.tf_listener import TransformReader
from ros2_raxels.nodes.views import live_context
from ros2_raxels.nodes.views.live_context import LiveContext
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.context import SpreadSettings

pytestmark = pytest.mark.ros

S = 1_000_000_000
GREY = np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8)


def _deep(pixels: np.ndarray, header: Header) -> Image:
    """A grey image of 16 bits, of which a sensor uses some."""
    height, width = pixels.shape
    data = pixels.astype("<u2").tobytes()
    return Image(header=header, height=height, width=width, encoding="mono16", step=2 * width, data=data)


class _Along(TransformReader):
    """The camera moves a metre a second along x; nothing is known of what comes after `known_ns`."""

    known_ns = 2**62

    def lookup(self, target: str, source: str, stamp_ns: int = 0) -> FloatArray:
        if stamp_ns > self.known_ns:
            raise FrameError("later than known")
        return at(stamp_ns / S)

    def destroy(self) -> None:
        pass


class Live:
    """A camera over DDS, and a context whose decoder works when it is allowed to."""

    def __init__(self, probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoding, self.go_on, self.updates = threading.Event(), threading.Event(), 0
        self.reader = _Along()
        decode = live_context.image_array

        def slowly(message: Image, stretch: Stretch) -> ImageArray:
            self.decoding.set()
            self.go_on.wait(20.0)
            return decode(message, stretch)

        monkeypatch.setattr(live_context, "image_array", slowly)
        self._node = probe.node
        self.context = LiveContext(probe.node, "raw", False, WORLD, self.reader, SpreadSettings(frames=4))
        self._timer = probe.node.create_timer(0.02, self._update)
        probe.node.executor.wake()
        self._infos = matched(probe.publisher(CameraInfo, "/camera_info"))
        self._images = matched(probe.publisher(Image, "/image"))

    def _update(self) -> None:
        self.context.update()
        self.updates += 1

    def look(self, stamp: int, pixels: np.ndarray = GREY) -> None:
        """An image, once it is the newest."""
        header = Header(frame_id=EYE, stamp=stamp_message(stamp))
        image = image_message(pixels, header) if pixels.dtype == np.uint8 else _deep(pixels, header)

        def came() -> bool:
            self._infos.publish(camera_info_message(CAMERA, header))
            self._images.publish(image)
            return self.context.newest_ns == stamp

        wait_until(came, what="image")

    def spins_on(self) -> None:
        """Waits for the executor to go round a few more times."""
        before = self.updates
        wait_until(lambda: self.updates >= before + 3, what="updates")

    @property
    def kept(self) -> list[int]:
        """Stamps, s."""
        return [frame.stamp_ns // S for frame in self.context.until(0)[1]]

    def close(self) -> None:
        self.go_on.set()
        self._node.destroy_timer(self._timer)
        self.context.destroy()


@pytest.fixture
def live(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    instance = Live(probe, monkeypatch)
    yield instance
    instance.close()


def test_decoding_an_image_blocks_neither_the_executor_nor_a_goal(live: Live) -> None:
    live.look(1 * S)
    assert live.decoding.wait(8.0)
    live.spins_on()
    recent, kept = live.context.until(0)
    assert [arrival.stamp_ns for arrival in recent][-1] == 1 * S
    assert kept == ()
    live.look(2 * S)
    live.go_on.set()
    wait_until(lambda: live.kept == [1, 2], what="both frames, in the order in which they were taken")


def test_an_image_whose_world_ends_during_decoding_is_not_kept(live: Live) -> None:
    live.look(1 * S)
    assert live.decoding.wait(8.0)
    live.context.forget()
    live.go_on.set()
    live.look(3 * S)
    wait_until(lambda: live.kept, what="a frame of the new world")
    assert live.kept == [3]


def test_only_the_most_recent_images_wait_for_their_pose(live: Live) -> None:
    live.reader.known_ns = 0
    live.go_on.set()
    for second in range(1, 15):
        live.look(second * S)
        live.spins_on()
    assert live.kept == []
    assert len(live.context.until(0)[0]) <= live_context._RECENT + 1
    live.reader.known_ns = 2**62
    wait_until(lambda: live.kept == [11, 12, 13, 14], what="frames whose pose is known now")


def test_images_of_16_bits_stay_as_bright_as_those_that_are_kept(live: Live) -> None:
    """Something bright that comes into view does not make all else darker."""
    live.go_on.set()
    dark = np.linspace(0, 1000, GREY[..., 0].size).reshape(GREY.shape[:2])
    lit = dark.copy()
    lit[:8] = 2000
    live.look(1 * S, dark)
    wait_until(lambda: live.kept == [1], what="first frame")
    live.look(2 * S, lit)
    wait_until(lambda: live.kept == [1, 2], what="second frame")
    recent, (first, second) = live.context.until(0)
    asked = [recent[-1].frame(False, None, live.context.stretch).image for _ in range(3)]
    rest = slice(10, None)
    for image in (second.image, *asked):
        assert np.abs(image[rest].astype(int) - first.image[rest]).max() <= 25
        np.testing.assert_array_equal(image, asked[0] if image is not second.image else image)
    assert first.image.max() > 225
