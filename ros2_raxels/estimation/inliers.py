"""When an observation agrees with cameras, and how much confidence the number that agree is worth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray

INLIER_PX = 2.0
"""An observation with a smaller reprojection error agrees; working image."""

FEWEST_MATCHES = 8
"""Fewer matches, or tracks, say nothing: a wrong answer finds as many that agree by chance."""

ENOUGH_IN_CLIP, ENOUGH_IN_STREAM = 30.0, 40.0
"""Inliers of a frame beyond which more do not add confidence: in a clip, and against the keyframes of a stream."""


def inlier_confidence(inliers: npt.ArrayLike, observations: npt.ArrayLike, enough: float) -> FloatArray:
    """Confidence, 0 to 1, by the share of the observations that agree, less where there are few.

    Args:
        inliers, observations: (...) how many agree, and how many there are.
        enough: inliers from which on the share alone counts.
    """
    agreeing, seen = np.asarray(inliers, float), np.asarray(observations, float)
    return np.asarray(agreeing / np.maximum(seen, 1.0) * np.minimum(1.0, agreeing / enough))
