"""Turns on the spot: the rotation that explains best how the directions to what is seen have changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.poses import FloatArray

_ROUNDS = 5

_WIDTH_RAD = 0.004
"""Of the robust loss: about a pixel."""

_LEAST_SIGMA_RAD = 0.001

_HIDDEN = 0.2
"""Share of the motion of an image that a scene at one distance could hide from the test of a turn."""


@dataclass(frozen=True, eq=False)
class Turn:
    """A rotation fitted to directions.

    Attributes:
        rotation: 3x3, from the later camera to the earlier one.
        moved_rad: median angle between the directions before and after.
        left_rad: median angle that the rotation leaves.
    """

    rotation: FloatArray
    moved_rad: float
    left_rad: float

    @property
    def confidence(self) -> float:
        """1 for a camera at rest, 0 where a turn explains no more than half of what the image has moved.

        A pixel that is left counts for nothing.
        """
        left = max(self.left_rad - _WIDTH_RAD, 0.0)
        return max(0.0, 1.0 - 2.0 * left / max(self.moved_rad, _WIDTH_RAD))

    def covariance(self, scene_depth: float) -> FloatArray:
        """6x6 of (translation, rotation about the axes of the earlier camera) of a camera that is said to have turned.

        What the rotation leaves may be parallax: so far, seen from the depth of the scene, the camera may have moved.
        A part of what it explains may be parallax too, where all that is seen is at one distance.

        Args:
            scene_depth: median depth of what is seen, in the unit of the translation.
        """
        sigma_rad = _LEAST_SIGMA_RAD + 2.0 * self.left_rad + _HIDDEN * self.moved_rad
        return np.diag([(sigma_rad * scene_depth) ** 2] * 3 + [sigma_rad**2] * 3)


def fitted_turn(before: FloatArray, after: FloatArray) -> Turn:
    """The rotation that takes directions to those before, by iteratively reweighted least squares (Cauchy's loss).

    Args:
        before, after: (N, 3) unit vectors in the earlier and the later camera, N at least 3.
    """
    left_rad: FloatArray = np.zeros(len(before))
    for _ in range(_ROUNDS):
        rotation = _kabsch(before, after, 1.0 / (1.0 + (left_rad / _WIDTH_RAD) ** 2))
        left_rad = _angles_rad(before, after @ rotation.T)
    moved_rad = float(np.median(_angles_rad(before, after)))
    return Turn(rotation, moved_rad, float(np.median(left_rad)))


def _kabsch(before: FloatArray, after: FloatArray, weight: FloatArray) -> FloatArray:
    rotation, _ = Rotation.align_vectors(before, after, weights=weight)
    return np.asarray(rotation.as_matrix())


def _angles_rad(a: FloatArray, b: FloatArray) -> FloatArray:
    """Small ones as exact as large ones."""
    return np.asarray(2.0 * np.arcsin(np.minimum(np.linalg.norm(a - b, axis=1) / 2.0, 1.0)))
