"""bag_camera: which camera_info belongs to an image topic, and whether it fits the images."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from bags_rig import info_message

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.bag_camera import camera_of_info, first_calibrated, info_topic_of
from ros2_raxels.recordings.camera_info import CameraInfoError

SIZE = (32, 24)


@pytest.mark.parametrize(
    ("image", "infos", "topic"),
    [
        ("/cam/image_raw", ["/cam/camera_info", "/b/camera_info"], "/cam/camera_info"),
        ("/cam/image_raw/compressed", ["/cam/camera_info", "/b/camera_info"], "/cam/camera_info"),
        ("/cam/image_color/compressed", ["/cam/image_color/camera_info"], "/cam/image_color/camera_info"),
        ("/image_raw", ["/camera_info"], "/camera_info"),
        ("/a/image", ["/b/info"], "/b/info"),
        ("/a/image", ["/b/camera_info", "/c/camera_info"], None),
        ("/a/image", [], None),
    ],
)
def test_camera_info_is_looked_for_where_drivers_put_it(image: str, infos: list[str], topic: str | None) -> None:
    assert info_topic_of(image, infos, is_only_image_topic=True)[0] == topic


def test_the_only_camera_info_of_a_bag_of_two_cameras_may_be_the_others() -> None:
    topic, said = info_topic_of("/a/image", ["/b/camera_info"], is_only_image_topic=False)
    assert topic is None
    assert "/b/camera_info" in said


def test_zeros_are_waited_out() -> None:
    zeros, good = info_message([0, 0, 0, 0]), info_message([30, 31, 15.5, 11.5])
    assert first_calibrated([zeros, zeros, good], "/cam/image") == (good, False)
    assert first_calibrated([zeros] * 3, "/cam/image") == (None, False)
    camera, said = camera_of_info(lambda: [zeros], "/cam/image", SIZE)
    assert camera is None
    assert "zeros" in said


def test_the_projection_is_that_of_rectified_images_alone() -> None:
    info = info_message([0, 0, 0, 0], p=29.0)
    camera, said = camera_of_info(lambda: [info], "/cam/image_rect", SIZE)
    assert camera == PinholeCamera(32, 24, 29.0, 29.0, 16.0, 12.0)
    assert said == "P, because the images are rectified"
    assert camera_of_info(lambda: [info], "/cam/image_raw", SIZE)[0] is None


def changed(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**(vars(info_message([30, 31, 15.5, 11.5])) | fields))


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (changed(width=64, height=48), ["64x48", "/cam/image", "32x24", "--intrinsics"]),
        (info_message([30, 31, 40.0, 11.5]), ["(40, 11.5)", "outside the 32x24", "--intrinsics"]),
        (changed(distortion_model="omni"), ["'omni'", "rectify", "--intrinsics"]),
        (changed(distortion_model="lens9", d=[0.1, 0, 0, 0]), ["'lens9'", "--intrinsics"]),
    ],
)
def test_a_camera_of_other_images_is_refused_with_the_remedy(info: Any, words: list[str]) -> None:
    with pytest.raises(CameraInfoError) as caught:
        camera_of_info(lambda: [info], "/cam/image", SIZE)
    for word in words:
        assert word in str(caught.value)


def test_without_coefficients_no_model_is_needed() -> None:
    info = changed(distortion_model="lens9", d=[0.0] * 3)
    assert camera_of_info(lambda: [info], "/cam/image", SIZE)[0] == PinholeCamera(32, 24, 30.0, 31.0, 15.5, 11.5)
