"""Why a frame may not have been solved, as far as its image tells."""

from __future__ import annotations

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.features import Features

_BLURRED = 0.25
"""Of the last keyframe's edges, below which an image counts as blurred."""

_LIGHT = 1.6
"""Times brighter or darker than the last keyframe, beyond which the light has changed."""


_CONSTANT = 3.0
"""Standard deviation of the grey values, of 255, below which an image shows nothing: sensor noise has that much."""


def nearly_constant(seen: Features) -> str:
    """Says of an image that shows nothing that it does; empty for all others."""
    deviation = float(seen.grey.std())
    if deviation >= _CONSTANT:
        return ""
    return f"the image is nearly constant (standard deviation {deviation:.1f} of 255): is the lens covered?"


def what_is_wrong(seen: Features, known: Features) -> str:
    """Likely reasons in the image itself, beside the last keyframe's, to be added to a message; empty for none."""
    blank = nearly_constant(seen)
    reason = f"; {blank}" if blank else ""
    image, last = seen.grey.astype(np.float32), known.grey.astype(np.float32)
    light = float((image.mean() + 1.0) / (last.mean() + 1.0))
    if not 1.0 / _LIGHT < light < _LIGHT:
        return f"{reason}; the image is {light:.2g} times as bright as the last keyframe"
    sharpness = float(_edges(image) / max(_edges(last), 1e-6))
    if sharpness < _BLURRED and not blank:
        return f"; the image is blurred ({100 * sharpness:.0f} % of the last keyframe's edges)"
    return reason


def _edges(grey: FloatArray) -> float:
    return float(np.diff(grey, axis=1).var() + np.diff(grey, axis=0).var())
