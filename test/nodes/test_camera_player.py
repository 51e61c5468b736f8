"""``camera`` as a process, over real DDS: what it plays, when, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rig_sets import write_rig_set
from ros_testing import Probe, Spawn, wait_until

pytest.importorskip("rclpy")

import cv2
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from ros2_raxels.nodes.camera_player import CameraPlayer
from ros2_raxels.nodes.common.messages import image_array, stamp_ns
from ros2_raxels.recordings.camera_info import camera_from_info
from ros2_raxels.recordings.source import SourceError

pytestmark = pytest.mark.ros

PLAYER = "ros2_raxels.nodes.camera_player"
BEST_EFFORT = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
INTRINSICS = [60.0, 61.0, 31.5, 23.5]
FIRST_S = 1700000000.125


def numbered(index: int, width: int = 64, height: int = 48) -> np.ndarray:
    """An image that tells its index by its colour."""
    return np.full((height, width, 3), (index, 255 - index, 7), np.uint8)


def write_set(folder: Path, count: int, rate_hz: float, size: tuple[int, int] = (64, 48)) -> Path:
    """A posed set of numbered images with intrinsics and times."""
    (folder / "images").mkdir(parents=True)
    frames = []
    for index in range(count):
        name = f"images/{index:04d}.png"
        cv2.imwrite(str(folder / name), numbered(index, *size)[..., ::-1])
        frame = {"file": name, "timestamp": FIRST_S + index / rate_hz, "width": size[0], "height": size[1]}
        frames.append(frame | {"K": INTRINSICS})
    (folder / "cameras.json").write_text(json.dumps({"name": "numbers", "frame_rate": rate_hz, "frames": frames}))
    return folder


class Ears:
    """Subscribed to the player before it starts to play, and noting when images come."""

    def __init__(self, probe: Probe, node: Any, qos: Any = 50) -> None:
        self.images: list[Image] = []
        self.arrived_s: list[float] = []
        self.infos = probe.collect(CameraInfo, "/camera/camera_info", qos)
        probe.node.create_subscription(Image, "/camera/image_raw", self._hear, qos)
        self.node = node

    def _hear(self, message: Image) -> None:
        self.arrived_s.append(time.monotonic())
        self.images.append(message)

    def numbers(self) -> list[int]:
        return [int(image_array(message)[0, 0, 0]) for message in self.images]

    def summary(self) -> tuple[int, float, float]:
        found = re.search(r"^played (\d+) frames at ([\d.]+) Hz, late by p95 ([\d.]+) ms$", self.node.log, re.MULTILINE)
        assert found, self.node.log
        return int(found[1]), float(found[2]), float(found[3])


def test_images_are_played_at_another_size_with_intrinsics_to_match(spawn: Spawn, probe: Probe, tmp_path: Path) -> None:
    source = write_set(tmp_path / "set", 3, rate_hz=20.0)
    node = spawn(PLAYER, "-p", f"source:={source}", "-p", "size:=128x72")
    ears = Ears(probe, node)
    assert node.wait() == 0
    wait_until(lambda: len(ears.images) == 3, what="3 images")
    assert ears.numbers() == [0, 1, 2]
    assert [(m.width, m.height) for m in (*ears.images, *ears.infos)] == [(128, 72)] * 6
    # The 64x36 px in the middle, twice as large.
    fx, fy, cx, cy = INTRINSICS
    k = ears.infos[0].k.reshape(3, 3)
    assert (k[0, 0], k[1, 1]) == pytest.approx((2 * fx, 2 * fy))
    assert (k[0, 2], k[1, 2]) == pytest.approx((2 * (cx + 0.5) - 0.5, 2 * (cy - 6 + 0.5) - 0.5))


@pytest.mark.parametrize("reliability", ["reliable", "best_effort"])
def test_every_frame_is_played_on_time_with_its_camera_info(
    spawn: Spawn, probe: Probe, tmp_path: Path, reliability: str
):
    source = write_set(tmp_path / "set", 30, rate_hz=20.0)
    node = spawn(PLAYER, "-p", f"source:={source}", "-p", f"reliability:={reliability}")
    ears = Ears(probe, node, BEST_EFFORT if reliability == "best_effort" else 50)
    assert node.wait() == 0
    wait_until(lambda: len(ears.images) == 30, what="30 images")
    assert ears.numbers() == list(range(30))
    np.testing.assert_array_equal(image_array(ears.images[3]), numbered(3))
    assert [i.header.stamp for i in ears.infos] == [i.header.stamp for i in ears.images]
    for message in (*ears.images, *ears.infos):
        assert message.header.frame_id == "camera_optical_frame"
    camera = camera_from_info(ears.infos[0])
    assert [camera.fx, camera.fy, camera.cx, camera.cy] == INTRINSICS
    count, rate_hz, late_ms = ears.summary()
    assert count == 30
    assert rate_hz == pytest.approx(20.0, rel=0.05)
    assert late_ms < 25.0
    # Deadlines are absolute: an image that is late does not push the following ones back.
    stamps_s = np.array([stamp_ns(i.header.stamp) for i in ears.images]) * 1e-9
    assert stamps_s[-1] - stamps_s[0] == pytest.approx(29 / 20.0, abs=0.05)
    assert abs(time.time() - stamps_s[-1]) < 30.0


def test_stamps_of_the_source_speed_and_limit(spawn: Spawn, probe: Probe, tmp_path: Path):
    source = write_set(tmp_path / "set", 30, rate_hz=8.0)
    options = ["speed:=4.0", "use_source_stamps:=true", "limit:=20", "frame_id:=left"]
    node = spawn(PLAYER, "-p", f"source:={source}", *(word for option in options for word in ("-p", option)))
    ears = Ears(probe, node)
    assert node.wait() == 0
    wait_until(lambda: len(ears.images) == 20, what="20 images")
    assert [stamp_ns(i.header.stamp) for i in ears.images] == [round((FIRST_S + n / 8.0) * 1e9) for n in range(20)]
    assert {i.header.frame_id for i in (*ears.images, *ears.infos)} == {"left"}
    assert ears.summary()[1] == pytest.approx(32.0, rel=0.1)


def test_the_old_names_of_speed_and_limit_still_work(spawn: Spawn, probe: Probe, tmp_path: Path):
    source = write_set(tmp_path / "set", 12, rate_hz=8.0)
    node = spawn(PLAYER, "-p", f"source:={source}", "-p", "rate:=4.0", "-p", "max_frames:=6")
    ears = Ears(probe, node)
    assert node.wait() == 0
    wait_until(lambda: len(ears.images) == 6, what="6 images")
    assert ears.summary()[1] == pytest.approx(32.0, rel=0.1)


def test_a_loop_goes_on_at_the_same_pace_until_it_is_stopped(spawn: Spawn, probe: Probe, tmp_path: Path):
    source = write_set(tmp_path / "set", 5, rate_hz=20.0)
    node = spawn(PLAYER, "-p", f"source:={source}", "-p", "loop:=true")
    ears = Ears(probe, node)
    wait_until(lambda: len(ears.images) >= 13, what="13 images")
    code, seconds = node.stop(signal.SIGTERM)
    assert code == 0, node.log
    assert seconds < 1.5
    assert "Traceback" not in node.log
    assert ears.numbers()[:13] == [n % 5 for n in range(13)]
    stamps_s = np.array([stamp_ns(i.header.stamp) for i in ears.images[:13]]) * 1e-9
    assert stamps_s[12] - stamps_s[0] == pytest.approx(12 / 20.0, abs=0.05)


def test_it_waits_for_a_subscriber_for_a_limited_time(spawn: Spawn, tmp_path: Path):
    source = write_set(tmp_path / "set", 2, rate_hz=20.0)
    begun = time.monotonic()
    node = spawn(PLAYER, "-p", f"source:={source}", "-p", "wait_timeout_s:=1.0")
    assert node.wait() == 0
    assert time.monotonic() - begun > 1.0
    assert "nobody listens to /camera/image_raw; playing anyway" in node.log
    assert "played 2 frames" in node.log


def test_a_node_with_two_subscriptions_is_one_listener(spawn: Spawn, probe: Probe, tmp_path: Path):
    source = write_set(tmp_path / "set", 2, rate_hz=20.0)
    options = ["-p", "wait_for_subscribers:=2", "-p", "wait_timeout_s:=2.0"]
    for qos in (BEST_EFFORT, 50):
        probe.node.create_subscription(Image, "/camera/image_raw", lambda _: None, qos)
    node = spawn(PLAYER, "-p", f"source:={source}", *options)
    assert node.wait() == 0
    assert "only 1 of 2 listen to /camera/image_raw; playing anyway" in node.log


def test_a_subscriber_to_camera_info_alone_is_waited_for(spawn: Spawn, probe: Probe, tmp_path: Path):
    source = write_set(tmp_path / "set", 5, rate_hz=20.0)
    node = spawn(PLAYER, "-p", f"source:={source}", "-p", "wait_for_subscribers:=2", "-p", "wait_timeout_s:=60.0")
    ears = Ears(probe, node)
    other = Probe("other")
    try:
        infos = other.collect(CameraInfo, "/camera/camera_info")
        assert node.wait() == 0
        wait_until(lambda: len(ears.images) == len(infos) == 5, what="5 images and their camera_info")
    finally:
        other.close()
    assert "playing anyway" not in node.log
    assert [i.header.stamp for i in infos] == [i.header.stamp for i in ears.images]


def test_sigint_while_waiting_ends_it_cleanly(spawn: Spawn, probe: Probe, tmp_path: Path):
    node = spawn(PLAYER, "-p", f"source:={write_set(tmp_path / 'set', 2, rate_hz=20.0)}")
    wait_until(lambda: probe.node.count_publishers("/camera/image_raw"), what="player")
    code, seconds = node.stop(signal.SIGINT)
    assert code == 0
    assert "Traceback" not in node.log, node.log
    assert seconds < 1.5


@pytest.mark.parametrize("source", ["absent", "broken"])
def test_a_source_that_cannot_be_played_gives_one_line_and_exit_status_2(spawn: Spawn, tmp_path: Path, source: str):
    """One that cannot be opened, and one that ends in the middle."""
    write_set(tmp_path / "broken", 3, rate_hz=20.0)
    (tmp_path / "broken" / "images" / "0001.png").write_bytes(b"no image")
    node = spawn(PLAYER, "-p", f"source:={tmp_path / source}", "-p", "wait_for_subscribers:=0")
    assert node.wait() == 2
    assert len(node.lines) == 1
    assert source in node.lines[0]
    assert "Traceback" not in node.log


@pytest.mark.parametrize(("source", "words"), [("", "parameter source is empty; say what to play"), ("empty", "empty")])
def test_a_source_that_cannot_be_opened_is_refused_at_the_start(probe: Probe, tmp_path: Path, source: str, words: str):
    (tmp_path / "empty").mkdir()
    given = Parameter("source", value=str(tmp_path / source) if source else "")
    player = CameraPlayer(context=probe.node.context, parameter_overrides=[given])
    try:
        with pytest.raises(SourceError, match=words) as caught:
            player.start()
        assert "\n" not in str(caught.value)
        player.stop()
    finally:
        player.destroy_node()


def test_a_camera_of_a_rig_that_is_not_there_is_named_with_those_that_are(probe: Probe, tmp_path: Path):
    given = {"source": str(write_rig_set(tmp_path / "rig", "left", "right", count=1)), "camera": "top"}
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    player = CameraPlayer(context=probe.node.context, parameter_overrides=overrides)
    try:
        with pytest.raises(SourceError, match="has no camera 'top'; choose from left, right"):
            player.start()
        player.stop()
    finally:
        player.destroy_node()


def test_a_size_that_cannot_be_played_is_refused(probe: Probe, tmp_path: Path):
    given = {"source": str(write_rig_set(tmp_path / "rig", "left", "right", count=1)), "size": "320"}
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    player = CameraPlayer(context=probe.node.context, parameter_overrides=overrides)
    words = "parameter size: '320' must be a width and a height from 16 to 16384 px, like 1280x720"
    try:
        with pytest.raises(SourceError, match=words):
            player.start()
        player.stop()
    finally:
        player.destroy_node()


@pytest.mark.slow
def test_pace_holds_at_640x480_and_30_hz(spawn: Spawn, probe: Probe, tmp_path: Path):
    source = write_set(tmp_path / "set", 60, rate_hz=30.0, size=(640, 480))
    (source / "cameras.json").unlink()
    for file in (source / "images").iterdir():
        file.rename(source / file.name)
    (source / "images").rmdir()
    node = spawn(PLAYER, "-p", f"source:={source}")
    images: list[Image] = []
    probe.node.create_subscription(Image, "/camera/image_raw", images.append, 5)
    assert node.wait() == 0
    wait_until(lambda: len(images) >= 59, what="60 images")
    found = re.search(r"played 60 frames at ([\d.]+) Hz, late by p95 ([\d.]+) ms", node.log)
    assert found, node.log
    assert float(found[1]) == pytest.approx(30.0, rel=0.03)
    assert float(found[2]) < 20.0
