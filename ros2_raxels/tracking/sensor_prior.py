"""A pose that the image tells badly, drawn to where other sensors say that the camera is."""

from __future__ import annotations

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, make_pose, orthogonal, rotation_from_vector, rotation_vector

_CREDIBLE = 2.0
"""Mean square of a difference, in its own sigmas, that is believed; beyond it the image is what has erred by it all."""


def drawn_to(
    pose: FloatArray, covariance: FloatArray, expected: FloatArray, sigma: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The mean of a pose and an expectation that is independent of it, and its covariance.

    A small part of a scene tells a turn and a step sideways hardly apart: where the one is corrected the other follows.

    Args:
        pose: 4x4.
        covariance: 6x6 of it: (translation, rotation about the world's axes).
        expected: 4x4.
        sigma: (6,) standard deviations of that, in the same order; infinite where nothing is expected.
    """
    known = np.isfinite(sigma)
    if not known.any():
        return pose, covariance
    off = np.concatenate([expected[:3, 3] - pose[:3, 3], rotation_vector(expected[:3, :3] @ pose[:3, :3].T)])[known]
    noise = np.diag(sigma[known] ** 2)
    own = covariance[np.ix_(known, known)]
    surprise = float(off @ np.linalg.solve(own + noise, off)) / len(off)
    wider = covariance * (float(off @ np.linalg.solve(own, off)) / len(off) if surprise > _CREDIBLE else 1.0)
    gain = np.linalg.solve(wider[np.ix_(known, known)] + noise, wider[known]).T
    step = gain @ off
    moved = make_pose(rotation_from_vector(step[3:]) @ pose[:3, :3], pose[:3, 3] + step[:3])
    left = wider - gain @ wider[known]
    return orthogonal(moved), np.asarray((left + left.T) / 2.0)
