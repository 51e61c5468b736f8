"""rig_intake: a complete rig is waited for, then what is known is gone on with; images that do not fit are left out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rig_walk import stereo
from std_msgs.msg import Header

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.frame_tree import UnknownFrameError
from ros2_raxels.geometry.poses import FloatArray, make_pose
from ros2_raxels.nodes.common.messages import image_message, stamp_message
from ros2_raxels.nodes.pose.intake import NotCalibratedError
from ros2_raxels.nodes.pose.rig_finder import RigFinder
from ros2_raxels.nodes.pose.rig_intake import Beside, RigIntake

LENS = PinholeCamera(64, 48, 60.0, 60.0, 31.5, 23.5)


class Lens:
    """Intrinsics of one camera that are known, or not."""

    missing = ""

    def __init__(self, camera: PinholeCamera | None) -> None:
        self.camera = camera

    def of(self, header: Any, info: Any) -> PinholeCamera:
        if self.camera is None:
            raise NotCalibratedError("waiting for a usable camera_info")
        return self.camera

    def forget(self) -> None:
        self.camera = None


class Desk:
    """An intake, its time, and what it has said."""

    def __init__(self, camera: PinholeCamera | None = LENS, mount: FloatArray | None = None) -> None:
        self.now, self.said = 0.0, []
        self.mount = mount
        finder = RigFinder(("left", "right"), self, False, self.said.append, clock=lambda: self.now)
        self.lens = Lens(camera)
        self.intake = RigIntake(finder, {"right": self.lens}, 2.0, self.said.append, clock=lambda: self.now)

    def lookup(self, target: str, source: str, stamp_ns: int = 0) -> FloatArray:
        if self.mount is None:
            raise UnknownFrameError(f"no frame {source}")
        return self.mount

    def images(self, height: int = 48, right: bool = True) -> tuple[dict[str, np.ndarray], bool]:
        self.now += 1.5
        images = {
            name: image_message(np.full((rows, 64), 7, np.uint8), Header(frame_id=name, stamp=stamp_message(1)))
            for name, rows in (("left", 48), ("right", height))
        }
        others = {"right": Beside(images["right"], None)} if right else {}
        moment = SimpleNamespace(message=images["left"], info=None, others=others)
        return self.intake.images(moment, "left", LENS)


def test_the_images_of_a_complete_rig_are_given() -> None:
    desk = Desk(mount=make_pose(np.eye(3), (0.1, 0.0, 0.0)))
    images, changed = desk.images()
    assert (list(images), images["right"].shape, changed) == (["right"], (48, 64), True)
    assert desk.intake.names == ("left", "right")
    assert desk.images()[1] is False
    assert desk.images(right=False) == ({}, False)


def test_a_rig_is_waited_for_with_the_reason_and_not_for_ever() -> None:
    desk = Desk()
    for _ in range(2):
        with pytest.raises(NotCalibratedError, match="waiting for all cameras of the rig: right: where it stands"):
            desk.images()
    assert desk.images() == ({}, False)
    desk.mount = make_pose(np.eye(3), (0.1, 0.0, 0.0))
    images, changed = desk.images()
    assert (list(images), changed) == (["right"], True)


def test_a_lens_that_is_waited_for_is_the_reason() -> None:
    desk = Desk(camera=None, mount=make_pose(np.eye(3), (0.1, 0.0, 0.0)))
    with pytest.raises(NotCalibratedError, match="right: waiting for a usable camera_info"):
        desk.images()


def test_an_image_of_another_size_is_left_out() -> None:
    desk = Desk(mount=make_pose(np.eye(3), (0.1, 0.0, 0.0)))
    desk.images()
    assert desk.images(height=30) == ({}, False)
    (words,) = desk.said
    assert words.startswith("camera 'right' is left out: the image of camera 'right' is 64x30 px but its camera")


def test_after_other_cameras_all_is_looked_for_again() -> None:
    desk = Desk(mount=make_pose(np.eye(3), (0.1, 0.0, 0.0)))
    desk.images()
    desk.intake.forget()
    assert desk.intake.names == ()
    desk.lens.camera = LENS
    assert desk.images()[1] is True


def test_what_the_images_say_against_the_calibration_is_named_once_for_each_rig() -> None:
    walk, stated, reported = stereo(), list[str](), list[str]()
    finder: Any = SimpleNamespace(rig=walk.rig)
    intake = RigIntake(finder, {}, 2.0, reported.append, say=stated.append)
    left, right = (walk.images[0][name] for name in ("left", "right"))
    # Not before all of them see something.
    intake.check(left, {}, True)
    intake.check(np.zeros_like(left), {"right": right}, False)
    assert stated == []
    for _ in range(2):
        intake.check(right, {"right": left}, False)
    assert len(stated) == len(reported) == 1
    assert intake.contradicts[0].startswith("the images of 'left' and 'right' are exchanged, by what they show")
    intake.check(left, {"right": right}, True)
    assert stated[1].endswith("px off (epipolar residual)")
    assert (intake.contradicts, len(reported)) == ((), 1)
