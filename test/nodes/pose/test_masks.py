"""masks: of each camera of a rig, by files and latched topics; those that cannot be used are named, none is fatal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from ros_testing import Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

from pose_rig import CAMERA
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from two_cameras import NAMES, TwoCameras

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.nodes.common.messages import image_message
from ros2_raxels.nodes.common.parameters import ParameterError
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos
from ros2_raxels.nodes.pose.masks import Masks, mask_files

pytestmark = pytest.mark.ros

HEIGHT, WIDTH = CAMERA.height, CAMERA.width


def white(rows: int, height: int = HEIGHT) -> np.ndarray:
    """A mask that uses so many rows."""
    mask = np.zeros((height, WIDTH), np.uint8)
    mask[:rows] = 255
    return mask


def written(folder: Path, mask: np.ndarray) -> str:
    file = folder / f"{int(mask.sum())}_{len(mask)}.png"
    assert cv2.imwrite(str(file), mask)
    return str(file)


@pytest.fixture(scope="module")
def cameras(module_spawn: Spawn, module_probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoCameras]:
    folder = tmp_path_factory.mktemp("masks")
    black, half = written(folder, white(0)), written(folder, white(20))
    options = ["cameras:=[left, right]", f"rig.masks:=['left={black}', 'right={half}']", "camera_info_timeout_s:=1.0"]
    node = module_spawn("scripted_node.py", *(word for option in options for word in ("-p", option)))
    found = TwoCameras(module_probe, node)
    found.mount()
    yield found
    assert node.alive


class Publishers:
    """Of masks, each latched."""

    def __init__(self, probe: Probe) -> None:
        topics = {name: f"/raxels_pose/{name}/mask" for name in NAMES}
        self._publishers = {n: probe.publisher(Image, topic, tf_qos(static=True)) for n, topic in topics.items()}

    def send(self, name: str, mask: np.ndarray) -> None:
        self._publishers[name].publish(image_message(mask, Header()))


@pytest.fixture(scope="module")
def masks(module_probe: Probe) -> Publishers:
    return Publishers(module_probe)


def test_files_are_those_of_the_cameras_in_their_order_and_a_black_one_is_left_out(cameras: TwoCameras) -> None:
    assert cameras.answer_with(f"masked right {20 * WIDTH}", *NAMES).state == PoseStatus.STATE_TRACKING
    wait_until(lambda: "is left out: " in cameras.node.log, 20.0, "a word about the black mask")
    assert "0_48.png is black everywhere, so that no pixel would be used" in cameras.node.log


def test_what_is_published_outranks_the_files_of_each_camera(cameras: TwoCameras, masks: Publishers) -> None:
    masks.send("left", white(30))
    masks.send("right", white(10))
    words = f"masked right {10 * WIDTH}, first {30 * WIDTH}", f"masked first {30 * WIDTH}, right {10 * WIDTH}"
    wait_until(
        lambda: cameras.send(*NAMES) and any(w in s.message for s in cameras.status for w in words),
        20.0,
        "both masks",
        every_s=0.05,
    )


def test_a_black_mask_and_one_of_another_size_are_named_and_the_images_go_on(
    cameras: TwoCameras, masks: Publishers
) -> None:
    masks.send("right", white(0))
    assert cameras.health("the mask of camera 'right' is black everywhere", *NAMES, of="input").message
    masks.send("right", white(9, height=HEIGHT // 2))
    told = cameras.health("the mask of camera 'right' is 64x24 px and its images 64x48 px", *NAMES, of="input")
    assert "give one of the size of the images" in told.message
    # The images of that camera are used as they are.
    assert cameras.answer_with("beside right", *NAMES).state == PoseStatus.STATE_TRACKING
    masks.send("right", white(40))
    assert cameras.answer_with(f"right {40 * WIDTH}", *NAMES).state == PoseStatus.STATE_TRACKING


class Told:
    """What a tracker is told."""

    def __init__(self) -> None:
        self.masks: list[tuple[str, int | None]] = []

    def use_mask(self, mask: Any, camera: str = "") -> None:
        self.masks.append((camera, None if mask is None else int(mask.sum())))


def test_the_tracker_is_told_of_changes_alone() -> None:
    told, reports = Told(), list[str]()
    masks = Masks({"": white(48) > 0}, (), reports.append)
    masks.use(told, "", HEIGHT, WIDTH)
    assert told.masks == []
    for _ in range(2):
        masks.use(told, "", HEIGHT, 2 * WIDTH)
    assert told.masks == [("", None)]
    (report,) = reports
    assert report.startswith("the mask of the first camera is 64x48 px and its images 128x48 px; it is left out")
    masks.use(told, "", HEIGHT, WIDTH)
    assert told.masks[1:] == [("", HEIGHT * WIDTH)]
    assert masks.left_out == {}


def test_a_camera_that_takes_the_place_of_the_first_one_brings_its_mask() -> None:
    told, right = Told(), white(48) > 0
    right[:10] = False
    masks = Masks({"right": right}, ("left", "right"), list[str]().append)
    masks.use(told, "", HEIGHT, WIDTH, of="right")
    masks.use(told, "", HEIGHT, WIDTH)
    assert told.masks == [("", int(right.sum())), ("", None)]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("top=a.png", "rig.masks has 'top=a.png', which is no NAME=FILE of one of the cameras (left, right)"),
        ("a.png", "rig.masks has 'a.png', which is no NAME=FILE"),
        ("right=/nowhere.png", "rig.masks = '/nowhere.png': /nowhere.png cannot be read"),
    ],
)
def test_files_that_cannot_be_meant_are_refused(entry: str, words: str) -> None:
    lists = {"cameras": ["left", "right"], "rig.masks": [entry]}
    settings: Any = SimpleNamespace(texts=lists.__getitem__, text=lambda name: "")
    with pytest.raises(ParameterError) as caught:
        mask_files(settings, print)
    assert words in str(caught.value)
