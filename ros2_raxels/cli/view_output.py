"""What commands write of predicted views: image files, and a record of them for the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.utils.files import FileError, make_folder, replacing
from ros2_raxels.view_synthesis.prediction import UNSEEN_SHARE, PredictedViews
from ros2_raxels.view_synthesis.self_consistency import Checked

WIDEST_PX = 640
"""Of the views, unless a width is asked for."""


def size_of_views(camera: PinholeCamera, width: int | None) -> tuple[int, int]:
    """Of the views of a camera, px; None for the camera's own width, up to `WIDEST_PX`."""
    wanted = min(camera.width, WIDEST_PX) if width is None else width
    return wanted, max(1, round(camera.height * wanted / camera.width))


def record_of(views: PredictedViews, checked: Checked) -> dict[str, Any]:
    """What a report says of views; null where the pose that a view shows could not be estimated."""

    def known(values: FloatArray) -> list[float | None]:
        return [round(float(v), 4) if np.isfinite(v) else None for v in values]

    return {
        "confidence": checked.confidence.round(4).tolist(),
        "self_consistency_rotation_deg": known(np.degrees(checked.rotation_rad)),
        "self_consistency_translation": known(checked.distance),
        "made_up": views.made_up.mean(axis=(1, 2)).round(4).tolist(),
        "camera_to_world": views.camera_to_world.tolist(),
        "steps": views.steps,
    }


def write_views(folder: Path, views: PredictedViews) -> None:
    """``000.png``, ``001.png``, ... of views, each whole or not at all.

    Raises:
        FileError: the folder cannot be made or written to.
    """
    make_folder(folder)
    for index, image in enumerate(views.images):
        write_image(folder / f"{index:03d}.png", image)


def write_depths(folder: Path, views: PredictedViews) -> None:
    """``000_depth.tiff``, ``000_unseen.png``, ... of views: z-depth, and 255 where no known frame has shown anything.

    Raises:
        ValueError: the views have no depth.
        FileError: a file cannot be written.
    """
    if views.depth is None:
        raise ValueError("the model tells no depth; export it again with this version")
    for index, (depth, made_up) in enumerate(zip(views.depth, views.made_up, strict=True)):
        _write(folder / f"{index:03d}_depth.tiff", depth)
        _write(folder / f"{index:03d}_unseen.png", np.where(made_up > UNSEEN_SHARE, 255, 0).astype(np.uint8))


def write_image(path: Path, image: ImageArray) -> None:
    """An image file of RGB pixels (H, W, 3) uint8, whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    _write(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def _write(path: Path, pixels: npt.NDArray[Any]) -> None:
    with replacing(path) as temporary:
        if not cv2.imwrite(str(temporary), pixels):
            raise FileError(f"{path} could not be written; make room or give another --out")
