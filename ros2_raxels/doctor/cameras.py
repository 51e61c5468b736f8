"""Judges camera_info against the images that it should describe."""

from __future__ import annotations

from collections.abc import Iterable

from ros2_raxels.doctor.findings import Finding, Severity
from ros2_raxels.doctor.seen import Graph, ImageTopic, InfoTopic, named
from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.frame_tree import bare
from ros2_raxels.recordings.camera_info import (
    CameraInfoError,
    camera_from_info,
    check_principal_point,
    is_rectified_topic,
)

_COMPRESSED = "/compressed"
_FOCAL_PER_WIDTH = (0.2, 10.0)
_REPEATED = 3


def info_topic_beside(topic: str) -> str:
    """Where drivers publish the camera_info of a topic of images."""
    return topic.removesuffix(_COMPRESSED).rpartition("/")[0] + "/camera_info"


def judge_cameras(graph: Graph) -> list[Finding]:
    """What is wrong with images and their camera_info."""
    found = []
    for image in graph.images.values():
        if image.is_listened_to and image.publishers:
            found += _judge_image(image)
            found += _judge_info(image, graph.infos.get(image.info_topic))
    return found


def _judge_image(image: ImageTopic) -> list[Finding]:
    found = []
    if image.refusal:
        found.append(
            Finding(
                Severity.ERROR, f"images of {image.topic} cannot be read", image.refusal, "change the driver's format"
            )
        )
    if image.arrivals.count and not image.frame:
        found.append(
            Finding(
                Severity.WARNING,
                f"images of {image.topic} have an empty frame_id, so that TF has no child frame",
                "",
                "set tf.child_frame or the driver's frame_id",
            )
        )
    return found


def _judge_info(image: ImageTopic, info: InfoTopic | None) -> list[Finding]:
    if info is None or not info.publishers:
        return [
            Finding(
                Severity.WARNING,
                f"{image.topic} has no camera_info, so that its focal length is estimated",
                f"nobody publishes {image.info_topic}",
                "calibrate the camera and let its driver publish camera_info, or remap camera_info to it",
            )
        ]
    if info.newest is None:
        return [
            Finding(
                Severity.WARNING,
                f"{info.topic} has a publisher ({named(info.publishers)}) but nothing arrived",
                "the pose node gives no poses until something does",
                "let the driver publish a camera_info with every image, or set allow_uncalibrated to true",
            )
        ]
    found = _judge_latched(info)
    if not info.newest.distortion_model and any(info.newest.d):
        found.append(
            Finding(
                Severity.WARNING,
                f"{info.topic} has distortion but names no distortion_model",
                f"D is {_numbers(info.newest.d)}",
                "set distortion_model to that of the calibration",
            )
        )
    try:
        camera = camera_from_info(info.newest)
    except CameraInfoError as error:
        remedy = "calibrate the camera, or set allow_uncalibrated of the pose node to true"
        return [*found, Finding(Severity.ERROR, f"{info.topic} cannot be used", str(error), remedy)]
    return [*found, *_judge_match(image, info, camera), *_judge_rectified(image, info)]


def _judge_latched(info: InfoTopic) -> list[Finding]:
    is_repeated = info.arrivals.count >= _REPEATED
    if not info.is_latched or not info.late_readers or is_repeated:
        return []
    return [
        Finding(
            Severity.ERROR,
            f"{info.topic} is latched (transient local), and {named(info.late_readers)} subscribes as volatile: a "
            "message that was sent before never comes",
            f"{info.arrivals.count} messages",
            "let the driver publish a camera_info with every image",
        )
    ]


def _judge_match(image: ImageTopic, info: InfoTopic, camera: Camera) -> list[Finding]:
    """Whether the camera can be that of the images."""
    found = []
    if image.width and (image.width, image.height) != (camera.width, camera.height):
        found.append(
            Finding(
                Severity.ERROR,
                f"{info.topic} does not describe the images of {image.topic}",
                f"images are {image.width}x{image.height} px, camera_info describes {camera.width}x{camera.height} px",
                "let the driver send the camera_info of the images it sends",
            )
        )
    try:
        check_principal_point(camera)
    except CameraInfoError as error:
        found.append(
            Finding(
                Severity.ERROR,
                f"the principal point of {info.topic} lies outside the image",
                str(error),
                "calibrate the camera at this resolution",
            )
        )
    low, high = _FOCAL_PER_WIDTH
    if not low * camera.width < camera.fx < high * camera.width:
        found.append(
            Finding(
                Severity.WARNING,
                f"the focal length of {info.topic} is unlikely for its width",
                f"fx is {camera.fx:.1f} px, the image {camera.width} px wide",
                "calibrate the camera at this resolution",
            )
        )
    frame = bare(info.newest.header.frame_id)
    if image.frame and frame and frame != bare(image.frame):
        found.append(
            Finding(
                Severity.WARNING,
                f"{info.topic} and {image.topic} name different frames",
                f"{frame} and {bare(image.frame)}",
                "let the driver give both the same frame_id",
            )
        )
    return found


def _judge_rectified(image: ImageTopic, info: InfoTopic) -> list[Finding]:
    if not is_rectified_topic(image.topic) or not any(info.newest.d):
        return []
    return [
        Finding(
            Severity.WARNING,
            f"{image.topic} is rectified by its name, but the D of {info.topic} is not zero: the distortion would be "
            "removed twice",
            f"D is {_numbers(info.newest.d)}",
            "set image_rectified to true on our nodes (nothing to do where it is set already)",
        )
    ]


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
