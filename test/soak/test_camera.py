"""The camera of a soak: each fault does what it says, and the record says what was sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

from sensor_msgs.msg import CameraInfo, Image

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.nodes.common.messages import image_array, stamp_ns
from ros2_raxels.recordings.image_codec import ImageError
from ros2_raxels.soak.camera import FRAME, Camera, there_and_back
from ros2_raxels.soak.faults import FAULTS, NONE, Event, fault_at
from ros2_raxels.soak.record import Sent

pytestmark = pytest.mark.ros

CAMERA = PinholeCamera(32, 24, 30.0, 30.0, 15.5, 11.5)
RATE_HZ = 50.0
EACH_S, GAP_S = 0.3, 0.2
NAMES = [fault.name for fault in FAULTS if fault.name != "restart"]


@dataclass
class Played:
    """What a camera sent, and what came of it."""

    sent: list[Sent]
    bad_sent: int
    images: list[Image]
    infos: list[CameraInfo]
    events: list[Event]

    def due(self, fault: str) -> list[Sent]:
        """Frames that were due while it acted."""
        return [s for s in self.sent if fault_at(self.events, s.at_s) == fault]

    def arrived(self, fault: str) -> list[Image]:
        """In the order in which they came, those with stamps of frames that were due then."""
        stamps = {s.stamp_ns for s in self.due(fault)}
        return [image for image in self.images if stamp_ns(image.header.stamp) in stamps]


@pytest.fixture(scope="module")
def played(module_probe: Probe) -> Played:
    """All faults but the restart, one after the other."""
    begin_s = {name: GAP_S + k * (EACH_S + GAP_S) for k, name in enumerate(NAMES)}
    events = [Event(replace(f, seconds=EACH_S), begin_s[f.name]) for f in FAULTS if f.name in begin_s]
    frames = [np.full((24, 32, 3), 50 + k, np.uint8) for k in range(4)]
    camera = Camera(frames, CAMERA, RATE_HZ, events, seed=1)
    try:
        images = module_probe.collect(Image, "/soak/image", 1000)
        infos = module_probe.collect(CameraInfo, "/soak/camera_info", 1000)
        wait_until(lambda: camera.listeners == 1, what="a listener")
        camera.begin()
        wait_until(lambda: camera.now_s > max(begin_s.values()) + EACH_S + 0.8, 30.0, "the end of the faults")
        camera.stop()
        assert camera.failure is None
        last = next(s.stamp_ns for s in reversed(camera.sent) if s.stamp_ns)
        wait_until(lambda: any(stamp_ns(m.header.stamp) == last for m in images), what="the last frame")
        return Played(list(camera.sent), camera.bad_sent, images, infos, events)
    finally:
        camera.close()


def test_frames_are_played_forwards_and_backwards_without_a_jump() -> None:
    assert there_and_back("abcd") == [*"abcdcb"]
    assert there_and_back([1]) == [1]
    assert there_and_back([1, 2]) == [1, 2]


def test_without_faults_frames_arrive_in_order_as_recorded(played: Played) -> None:
    order = there_and_back(range(4))
    quiet = [s for s in played.sent if s.fault == NONE]
    assert quiet[0].at_s == 0.0
    shown = {stamp_ns(m.header.stamp): m for m in played.images}
    for sent in quiet:
        assert sent.timely
        assert sent.expected
        message = shown[sent.stamp_ns or 0]
        assert message.header.frame_id == FRAME
        assert (image_array(message) == 50 + order[sent.frame]).all()
    numbers = [round(s.at_s * RATE_HZ) for s in played.sent]
    assert numbers == sorted(set(numbers))
    assert [s.frame for s in played.sent] == [number % len(order) for number in numbers]


def test_the_drop_fault_withholds_some_frames_and_the_silence_all(played: Played) -> None:
    dropped = [s for s in played.due("drop") if s.stamp_ns is None]
    assert 0 < len(dropped) < len(played.due("drop"))
    assert {s.stamp_ns for s in played.due("silence")} == {None}


def test_the_late_fault_delays_every_third_frame_which_needs_no_answer(played: Played) -> None:
    late = [s for s in played.due("late") if not s.expected]
    assert len(late) in (len(played.due("late")) // 3, len(played.due("late")) // 3 + 1)
    order = [stamp_ns(m.header.stamp) for m in played.images]
    for sent in late:
        assert not sent.timely
        place = order.index(sent.stamp_ns)
        # Half a second later than its stamp, so after many that were taken after it.
        assert order[place - 1] - order[place] > 0.3e9


def test_the_black_fault_sends_black_frames(played: Played) -> None:
    assert played.arrived("black")
    assert all(image_array(m).max() == 0 for m in played.arrived("black"))


def test_malformed_images_and_those_of_another_camera_are_sent_between_the_good_ones(played: Played) -> None:
    bad = [m for m in played.images if refused(m)]
    assert len(bad) == pytest.approx(len(played.due("malformed")) * 100 / RATE_HZ, abs=1)
    other = [m for m in played.images if m.header.frame_id != FRAME]
    assert len(other) == pytest.approx(len(played.due("other_camera")) * 10 / RATE_HZ, abs=1)
    assert {(m.width, m.height) for m in other} == {(320, 240)}
    for fault in ("malformed", "other_camera"):
        assert {s.stamp_ns is not None for s in played.due(fault)} == {True}


def refused(message: Any) -> bool:
    try:
        image_array(message)
    except ImageError:
        return True
    return False


def test_camera_info_holds_nan_or_another_focal_length(played: Played) -> None:
    focal = np.array([m.k[0] for m in played.infos])
    assert np.isnan(focal).sum() == len(played.due("nan_info"))
    assert (np.abs(focal - 1.05 * CAMERA.fx) < 1e-6).sum() == len(played.due("other_info"))
    assert (focal == CAMERA.fx).any()


def test_stamps_lie_in_the_past_or_repeat(played: Played) -> None:
    jump_s = played.due("clock_jump")[0].at_s
    before = max(s.stamp_ns for s in played.sent if s.stamp_ns and s.at_s < jump_s)
    assert all(-101e9 < (s.stamp_ns or 0) - before < -99e9 for s in played.due("clock_jump"))
    assert {s.timely for s in played.due("clock_jump")} == {False}
    repeated = [s for s in played.due("repeat") if s.stamp_ns is None]
    stamps = [stamp_ns(m.header.stamp) for m in played.images]
    assert len(repeated) >= len(played.due("repeat")) // 3
    assert len(stamps) - len(set(stamps)) == len(repeated)


def test_images_that_need_no_answer_are_counted(played: Played) -> None:
    bad = sum(refused(m) or m.header.frame_id != FRAME for m in played.images)
    repeated = sum(s.stamp_ns is None for s in played.due("repeat"))
    assert played.bad_sent == bad + repeated


@pytest.fixture
def restarting() -> Iterator[Camera]:
    event = Event(replace(next(f for f in FAULTS if f.name == "restart"), seconds=0.3), 0.2)
    camera = Camera([np.zeros((24, 32, 3), np.uint8)], CAMERA, RATE_HZ, [event], seed=0)
    yield camera
    camera.close()


def test_a_camera_that_restarts_leaves_the_network_and_comes_back(restarting: Camera, probe: Probe) -> None:
    images = probe.collect(Image, "/soak/image", 1000)
    wait_until(lambda: restarting.listeners, what="a listener")
    restarting.begin()
    wait_until(lambda: not probe.node.count_publishers("/soak/image"), what="its leave")
    back_ns = time.time_ns()
    wait_until(lambda: images and stamp_ns(images[-1].header.stamp) > back_ns, what="a frame after the restart")
    restarting.stop()
    away = {s.stamp_ns is None for s in restarting.sent if fault_at(restarting._events, s.at_s) == "restart"}
    assert away == {True}
    assert restarting.failure is None


def test_an_error_in_its_thread_is_stored(restarting: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(restarting, "_step", fail)
    restarting.begin()
    failure = wait_until(lambda: restarting.failure, what="the failure")
    assert str(failure) == "no more"
