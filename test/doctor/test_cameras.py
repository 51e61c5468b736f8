"""doctor.cameras: camera_info against images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from doctor_rig import IMAGE, INFO, arrivals, healthy_graph

from ros2_raxels.doctor.cameras import info_topic_beside, judge_cameras
from ros2_raxels.doctor.findings import Finding, Severity
from ros2_raxels.doctor.seen import Graph

K = (500, 0, 320, 0, 500, 240, 0, 0, 1)


def only(graph: Graph) -> Finding:
    (found,) = judge_cameras(graph)
    return found


def test_nothing_is_said_of_a_healthy_camera() -> None:
    assert judge_cameras(healthy_graph()) == []
    assert judge_cameras(healthy_graph("/camera/image_rect", d=())) == []


@pytest.mark.parametrize("topic", ["/a/image_raw", "/a/image_rect", "/a/image_raw/compressed"])
def test_camera_info_is_beside_the_images(topic: str) -> None:
    assert info_topic_beside(topic) == "/a/camera_info"


@pytest.mark.parametrize(
    ("info", "severity", "what", "value"),
    [
        ({"k": [0] * 9}, Severity.ERROR, f"{INFO} cannot be used", "K is all zeros"),
        ({"model": "ocam"}, Severity.ERROR, f"{INFO} cannot be used", "distortion_model 'ocam' is not supported"),
        (
            {"width": 1280, "height": 960},
            Severity.ERROR,
            f"{INFO} does not describe the images of {IMAGE}",
            "images are 640x480 px, camera_info describes 1280x960 px",
        ),
        (
            {"k": (500, 0, 900, 0, 500, 240, 0, 0, 1)},
            Severity.ERROR,
            f"the principal point of {INFO} lies outside the image",
            "principal point (900, 240) px lies outside the 640x480 px image",
        ),
        (
            {"k": (50, 0, 320, 0, 50, 240, 0, 0, 1)},
            Severity.WARNING,
            f"the focal length of {INFO} is unlikely for its width",
            "fx is 50.0 px, the image 640 px wide",
        ),
        ({"frame": "eye"}, Severity.WARNING, f"{INFO} and {IMAGE} name different frames", "eye and camera"),
        (
            {"model": ""},
            Severity.WARNING,
            f"{INFO} has distortion but names no distortion_model",
            "D is 0.1, 0, 0, 0, 0",
        ),
    ],
)
def test_camera_info_that_is_wrong(info: dict[str, Any], severity: Severity, what: str, value: str) -> None:
    found = only(healthy_graph(**info))
    assert (found.severity, found.what) == (severity, what)
    assert found.value.startswith(value)
    assert found.remedy


def test_rectified_images_with_distortion() -> None:
    found = only(healthy_graph("/camera/image_rect_color"))
    assert found.what.startswith("/camera/image_rect_color is rectified by its name, but the D of /camera/camera_info")
    assert "image_rectified" in found.remedy


def test_no_camera_info_or_none_that_comes() -> None:
    graph = healthy_graph()
    graph.infos[INFO].newest = None
    assert only(graph).what == f"{INFO} has a publisher (usb_cam) but nothing arrived"
    graph.infos.clear()
    assert only(graph).what == f"{IMAGE} has no camera_info, so that its focal length is estimated"
    assert only(graph).value == f"nobody publishes {INFO}"


def test_a_latched_camera_info_that_comes_once_misses_those_who_are_late() -> None:
    graph = healthy_graph()
    info = graph.infos[INFO] = replace(graph.infos[INFO], is_latched=True, arrivals=arrivals(1))
    assert judge_cameras(graph) == []
    info.late_readers = ("raxels_pose",)
    assert only(graph).what.startswith(f"{INFO} is latched (transient local), and raxels_pose subscribes as volatile")
    info.arrivals = arrivals(60)
    assert judge_cameras(graph) == []


def test_images_that_cannot_be_read_or_have_no_frame() -> None:
    graph = healthy_graph()
    graph.images[IMAGE].refusal, graph.images[IMAGE].frame = "encoding '32FC1' is not supported", ""
    refused, frame = judge_cameras(graph)
    assert (refused.what, refused.value) == (f"images of {IMAGE} cannot be read", "encoding '32FC1' is not supported")
    assert frame.what.startswith(f"images of {IMAGE} have an empty frame_id")
