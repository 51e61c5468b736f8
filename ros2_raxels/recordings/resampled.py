"""Frames of a recording at another size: what is seen stays the same, and what pixels cost shows alone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ros2_raxels.recordings.source import Frame


def resampled(frame: Frame, width: int, height: int) -> Frame:
    """The middle of a frame in the shape of ``width`` by ``height`` px, at that size, with the camera that it has then.

    Images of other cameras and depth images stay as they are.
    """
    tall, wide = frame.image.shape[:2]
    kept_wide, kept_tall = min(wide, round(tall * width / height)), min(tall, round(wide * height / width))
    left, top = (wide - kept_wide) // 2, (tall - kept_tall) // 2
    middle = frame.image[top : top + kept_tall, left : left + kept_wide]
    shrinks = width < kept_wide
    image = cv2.resize(middle, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    camera = frame.camera
    if camera is not None:
        camera = camera.cropped(left, top, kept_wide, kept_tall).resized(width, height)
    return replace(frame, image=np.asarray(image, np.uint8), camera=camera)
