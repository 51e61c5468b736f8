"""One image of a view task: context frames, truth, prediction, depth, difference and expected error in rows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.prediction import PredictedViews
from ros2_raxels.visualization.drawing import depth_picture

_LABEL_PX = 18
_GAP_PX = 2
_ZOOM, _SMALL_PX = 2, 160
"""Views up to this width are shown so many times as large."""

_FULL_ERROR = 0.25
"""Share of full range from which errors have the hottest colour."""


def draw_sheet(context: Sequence[ImageArray], truth: Sequence[ImageArray], views: PredictedViews) -> ImageArray:
    """Rows of images, each row with a label above it. Small views are shown at twice their size.

    Args:
        context: context frames (H, W, 3) RGB uint8 of any size, oldest first.
        truth: what the camera saw, for the first views or none, (H, W, 3) RGB uint8 of any size.
        views: the predicted views.

    Returns:
        (H, W, 3) RGB uint8.
    """
    height, width = views.images.shape[1:3]
    zoom = _ZOOM if width <= _SMALL_PX else 1
    shape = (zoom * width, zoom * height)
    seen = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in truth]
    miss = [np.abs(t.astype(float) - v).mean(axis=2) / 255 for t, v in zip(seen, views.images, strict=False)]
    confidence = ", ".join(f"{value:.2f}" for value in views.confidence)
    rows = [("known frames, oldest first", [np.asarray(image) for image in context])]
    if seen:
        rows.append(("what the camera saw", seen))
    rows.append((f"predicted; confidence {confidence}", list(views.images)))
    if views.depth is not None:
        rows.append(("its depth (bright is near)", [depth_picture(depth) for depth in views.depth]))
    if seen:
        rows.append((f"difference (black 0, white {_FULL_ERROR:.0%} of full range)", [_heat(m) for m in miss]))
    rows.append((f"expected error (black 0, white {_FULL_ERROR:.0%})", [_heat(e) for e in views.expected_error]))
    columns = max(len(images) for _, images in rows)
    return np.concatenate([_row(label, images, columns, shape) for label, images in rows])


def _heat(error: npt.NDArray[np.floating]) -> ImageArray:
    """(H, W, 3) RGB colours of errors (H, W), 0 to 1 of full range."""
    level = (error / _FULL_ERROR * 255).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_HOT), cv2.COLOR_BGR2RGB), np.uint8)


def _row(label: str, images: Sequence[ImageArray], columns: int, shape: tuple[int, int]) -> ImageArray:
    width, height = shape
    row = np.full((_LABEL_PX + height + _GAP_PX, columns * (width + _GAP_PX), 3), 255, np.uint8)
    cv2.putText(row, label, (2, _LABEL_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    for k, image in enumerate(images):
        smaller = image.shape[1] < width
        scaled = cv2.resize(image, shape, interpolation=cv2.INTER_NEAREST if smaller else cv2.INTER_AREA)
        left = k * (width + _GAP_PX)
        row[_LABEL_PX : _LABEL_PX + height, left : left + width] = scaled
    return row
