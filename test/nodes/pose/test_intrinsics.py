"""nodes.pose.intrinsics: which camera an image goes with, heard over DDS."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from ros_testing import Probe, matched, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import rclpy
from pose_rig import CAMERA
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.nodes.common.messages import camera_info_message, stamp_message
from ros2_raxels.nodes.common.parameters import declare
from ros2_raxels.nodes.pose.intake import NotCalibratedError
from ros2_raxels.nodes.pose.intrinsics import Intrinsics
from ros2_raxels.nodes.pose.parameters import POSE_TABLE

pytestmark = pytest.mark.ros

ZOOMED = replace(CAMERA, fx=90.0, fy=91.0)


def image(stamp: int) -> Header:
    """Of an image."""
    return Header(frame_id="eye", stamp=stamp_message(stamp))


class Lens:
    """A publisher of camera_info, and the intrinsics that hear it; time is set by hand."""

    now_s = 100.0

    def __init__(self, probe: Probe, *ros_arguments: str) -> None:
        self.problems: list[str] = []
        arguments = ["--ros-args", *ros_arguments] if ros_arguments else None
        self.node = rclpy.create_node("lens", context=probe.node.context, cli_args=arguments)
        settings = declare(self.node, POSE_TABLE)
        probe.node.executor.add_node(self.node)
        self._executor = probe.node.executor
        self.intrinsics = Intrinsics(self.node, settings, self.problems.append, lambda: self.now_s)
        self.listener = self.intrinsics.listen()
        self._publisher: Any = None
        self._probe = probe

    def leave(self) -> None:
        """Publish no more, until the intrinsics know."""
        self._probe.node.destroy_publisher(self._publisher)
        self._publisher = None
        wait_until(lambda: not self.listener.has_publisher, what="the end of the publisher")

    def publish(self, stamp: int, camera: PinholeCamera = CAMERA, **changes: Any) -> None:
        """A message, until it is the newest that was heard."""
        self._publisher = self._publisher or matched(self._probe.publisher(CameraInfo, "/camera_info"))
        info = camera_info_message(camera, image(stamp))
        for name, value in changes.items():
            setattr(info, name, value)
        self._publisher.publish(info)
        wait_until(
            lambda: (newest := self.intrinsics.newest) and newest.header.stamp == info.header.stamp, what="camera_info"
        )

    def of(self, stamp: int, heard: CameraInfo | None = None) -> PinholeCamera | None:
        return self.intrinsics.of(image(stamp), heard)

    def close(self) -> None:
        self.listener.destroy()
        if self._publisher is not None:
            self._probe.node.destroy_publisher(self._publisher)
        self._executor.remove_node(self.node)
        self.node.destroy_node()


@pytest.fixture
def lens(module_probe: Probe, request: pytest.FixtureRequest) -> Iterator[Lens]:
    instance = Lens(module_probe, *getattr(request, "param", ()))
    yield instance
    instance.close()


def focal(camera: PinholeCamera | None) -> float:
    assert camera is not None
    return camera.fx


def test_an_image_is_used_with_the_camera_info_of_its_stamp_or_else_the_newest_one(lens: Lens):
    lens.publish(1)
    lens.publish(2, ZOOMED)
    assert focal(lens.of(1)) == CAMERA.fx
    assert focal(lens.of(2)) == ZOOMED.fx
    heard = lens.intrinsics.heard_for(image(3))
    lens.publish(4)
    assert focal(lens.of(3, heard)) == ZOOMED.fx
    assert lens.problems == []


def test_a_camera_info_just_after_its_image_is_used_for_it(lens: Lens):
    lens.publish(1)
    heard = lens.intrinsics.heard_for(image(2))
    lens.publish(2, ZOOMED)
    assert focal(lens.of(2, heard)) == ZOOMED.fx


def test_an_unusable_camera_info_is_reported_and_leaves_the_camera_as_it_was(lens: Lens):
    lens.publish(1, ZOOMED)
    assert focal(lens.of(1)) == ZOOMED.fx
    lens.publish(2, k=[math.nan] * 9)
    assert focal(lens.of(2)) == ZOOMED.fx
    (problem,) = lens.problems
    assert problem.startswith("/camera_info: K has a nan")


def test_images_wait_for_a_camera_info_then_do_without_until_one_arrives(lens: Lens):
    with pytest.raises(NotCalibratedError, match="waiting for a usable camera_info: no publisher on /camera_info"):
        lens.of(1)
    lens.now_s += 1.9
    with pytest.raises(NotCalibratedError):
        lens.of(2)
    assert lens.intrinsics.missing == ""
    lens.now_s += 0.2
    assert lens.of(3) is None
    assert lens.intrinsics.missing.startswith(
        "no usable camera_info after 2.1 s, the focal length is estimated: no pub"
    )
    lens.publish(4)
    assert focal(lens.of(4)) == CAMERA.fx
    assert lens.intrinsics.missing == ""


def test_the_wait_is_explained_by_what_the_first_camera_info_lacks(lens: Lens):
    lens.publish(1, k=[0.0] * 9)
    with pytest.raises(NotCalibratedError, match="waiting for a usable camera_info: /camera_info: K is all zeros"):
        lens.of(1)
    # Said with the image, not twice.
    assert lens.problems == []


def test_what_is_published_but_cannot_be_used_is_waited_for_unless_a_guess_is_allowed(lens: Lens):
    waiting = r"waiting for a usable camera_info: /camera_info: K is all zeros.*\(allow_uncalibrated is false"
    lens.publish(1, k=[0.0] * 9)
    for _ in range(2):
        with pytest.raises(NotCalibratedError, match=waiting):
            lens.of(1)
        lens.now_s += 100.0
    lens.node.set_parameters([rclpy.Parameter("allow_uncalibrated", value=True)])
    with pytest.raises(NotCalibratedError, match="all zeros"):
        lens.of(1)
    lens.now_s += 2.1
    assert lens.of(1) is None
    assert (
        "no usable camera_info after 2.1 s, the focal length is estimated: /camera_info: K" in lens.intrinsics.missing
    )
    assert lens.problems == []
    lens.node.set_parameters([rclpy.Parameter("allow_uncalibrated", value=False)])
    with pytest.raises(NotCalibratedError, match=waiting):
        lens.of(1)
    assert lens.intrinsics.missing == ""
    lens.publish(2)
    assert focal(lens.of(2)) == CAMERA.fx


@pytest.mark.parametrize("lens", [("-r", "image:=/left/image_rect")], indirect=True)
def test_distortion_of_images_that_are_rectified_by_name_is_doubted(lens: Lens):
    lens.publish(1)
    lens.of(1)
    assert lens.intrinsics.doubt == ""
    lens.publish(2, replace(CAMERA, distortion=(-0.1, 0.01, 0.0, 0.0, 0.0)))
    lens.of(2)
    assert lens.intrinsics.doubt == (
        "/left/image_rect is rectified by its name, but the D of /camera_info is not zero (-0.1, 0.01, 0, 0, 0): the "
        "images are assumed to have this distortion, because image_rectified is false; set it to true if they have none"
    )
    lens.node.set_parameters([rclpy.Parameter("image_rectified", value=True)])
    lens.publish(3, replace(CAMERA, distortion=(-0.1, 0.01, 0.0, 0.0, 0.0)))
    lens.of(3)
    assert lens.intrinsics.doubt == ""


def test_another_camera_does_not_inherit_the_lens_of_the_first(lens: Lens):
    lens.publish(1)
    assert focal(lens.of(1)) == CAMERA.fx
    lens.intrinsics.forget()
    with pytest.raises(NotCalibratedError, match="waiting"):
        lens.of(2)
    lens.publish(3, ZOOMED)
    assert focal(lens.of(3)) == ZOOMED.fx


def test_a_camera_of_which_nobody_speaks_is_guessed_also_after_one_that_was_known(lens: Lens):
    lens.publish(1)
    assert focal(lens.of(1)) == CAMERA.fx
    lens.leave()
    lens.intrinsics.forget()
    with pytest.raises(NotCalibratedError, match="since another camera sends the images"):
        lens.of(2)
    lens.now_s += 60.0
    assert lens.of(3) is None
    assert "the focal length is estimated" in lens.intrinsics.missing


def test_the_camera_survives_deactivation(lens: Lens):
    lens.publish(1, ZOOMED)
    assert focal(lens.of(1)) == ZOOMED.fx
    lens.listener.destroy()
    lens.listener = lens.intrinsics.listen()
    assert lens.intrinsics.newest is None
    assert focal(lens.of(2)) == ZOOMED.fx


def test_rectified_images_use_the_projection_matrix(lens: Lens):
    lens.node.set_parameters([rclpy.Parameter("image_rectified", value=True)])
    projection = [50.0, 0.0, 31.5, 0.0, 0.0, 51.0, 23.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    lens.publish(1, p=projection)
    assert focal(lens.of(1)) == 50.0
