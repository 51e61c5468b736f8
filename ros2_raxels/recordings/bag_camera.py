"""The camera of a bag's image topic: which camera_info is its own, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.recordings.camera_info import (
    CameraInfoError,
    camera_from_info,
    check_principal_point,
    is_rectified_topic,
)

_MOST_MESSAGES = 1000
"""Of zeros that are waited out: a driver without calibration sends them for ever."""

_REMEDY = "or give the camera of these images (--intrinsics)"


def info_topic_of(image_topic: str, info_topics: Iterable[str], is_only_image_topic: bool) -> tuple[str | None, str]:
    """The topic of the camera_info of an image topic, and what to say about it.

    It is ``camera_info`` beside the image topic or below it, as drivers have it. Else it is the only one that the bag
    has, where the bag has one image topic, and that is said.

    Args:
        image_topic: of the images.
        info_topics: those that have messages.
        is_only_image_topic: whether the bag has no other images.

    Returns:
        the topic, None where there is none, and words, empty where nothing was guessed.
    """
    have = sorted(set(info_topics))
    base = image_topic.removesuffix("/compressed")
    for topic in (f"{base.rpartition('/')[0]}/camera_info", f"{base}/camera_info"):
        if topic in have:
            return topic, f"camera of {topic}"
    if len(have) == 1 and is_only_image_topic:
        return have[0], f"camera of {have[0]}, the only camera_info, though it is not beside {image_topic}"
    if have:
        return None, f"no camera: none of the camera_info topics ({', '.join(have)}) is beside {image_topic}"
    return None, "no camera_info"


def first_calibrated(infos: Iterable[Any], image_topic: str) -> tuple[Any | None, bool]:
    """The first CameraInfo that says something, and whether its P is that of the images.

    Zeros are passed over: drivers send them until the calibration is loaded.
    """
    for index, info in enumerate(infos):
        if index == _MOST_MESSAGES:
            break
        has_projection = bool(info.p[0] > 0)
        if is_rectified_topic(image_topic) and has_projection:
            return info, True
        if np.any(info.k):
            return info, False
    return None, False


def camera_of_info(
    infos: Callable[[], Iterable[Any]], image_topic: str, size: tuple[int, int]
) -> tuple[Camera | None, str]:
    """The camera of images by the messages of its camera_info topic, and what to say about it.

    Args:
        infos: gives the messages.
        image_topic: of the images.
        size: width and height of the images, px.

    Raises:
        CameraInfoError: it cannot be used for these images; with the remedy.
    """
    info, rectified = first_calibrated(infos(), image_topic)
    if info is None:
        return None, "which holds zeros alone, so that the camera is unknown"
    try:
        camera = camera_from_info(info, rectified)
    except CameraInfoError as error:
        raise CameraInfoError(f"{error}, {_REMEDY}") from error
    if (camera.width, camera.height) != size:
        raise CameraInfoError(
            f"describes images of {camera.width}x{camera.height} px but those of {image_topic} are "
            f"{size[0]}x{size[1]} px; record the camera_info of these images, {_REMEDY}"
        )
    try:
        check_principal_point(camera)
    except CameraInfoError as error:
        raise CameraInfoError(f"{error}, {_REMEDY}") from error
    if is_rectified_topic(image_topic) and not rectified:
        bent = ", without its distortion" if camera.is_distorted else ""
        return camera.pinhole, f"K{bent}, because the images are rectified and P is zero"
    return camera, "P, because the images are rectified" if rectified else ""
