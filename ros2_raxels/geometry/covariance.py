"""Covariance algebra of poses: other axes, other units, and how it compounds along a trajectory."""

from __future__ import annotations

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, skew

UNKNOWN_VARIANCE = 9999.0
"""Variance of what is unknown, on the diagonal: a fusing filter gives it no weight, whereas 0 would mean "certain"."""


def in_world_axes(covariance: FloatArray, camera_to_world: FloatArray) -> FloatArray:
    """6x6 of (translation, rotation about the world's axes), from that of pose updates of the solver.

    Args:
        covariance: 6x6 of (rotation in the camera, translation in the world).
        camera_to_world: 4x4.
    """
    turn = np.zeros((6, 6))
    turn[:3, 3:], turn[3:, :3] = np.eye(3), camera_to_world[:3, :3]
    return np.asarray(turn @ covariance @ turn.T)


def compounded(covariance: FloatArray, from_pose: FloatArray, to_pose: FloatArray) -> FloatArray:
    """Covariance of a pose that is known exactly relative to an uncertain one.

    Errors of rotation and of the unit of length displace it in proportion to the distance.

    Args:
        covariance: 7x7 of (translation, rotation about the world's axes, logarithm of the unit) of `from_pose`.
        from_pose, to_pose: 4x4, in the world.

    Returns:
        7x7 of the same of `to_pose`.
    """
    offset = to_pose[:3, 3] - from_pose[:3, 3]
    lever = np.eye(7)
    lever[:3, 3:6], lever[:3, 6] = -skew(offset), offset
    return np.asarray(lever @ covariance @ lever.T)


def with_unit(covariance: FloatArray, variance: float) -> FloatArray:
    """7x7 from 6x6 and the variance of the logarithm of the unit, uncorrelated."""
    joined = np.zeros((7, 7))
    joined[:6, :6], joined[6, 6] = covariance, variance
    return joined


def with_unit_variance(covariance: FloatArray, variance: float) -> FloatArray:
    """7x7 after the logarithm of the unit has become known to a variance; its correlations are kept."""
    known = covariance[6, 6]
    stretch = np.eye(7)
    stretch[6, 6] = np.sqrt(variance / known) if known > 0 else 1.0
    result = stretch @ covariance @ stretch
    result[6, 6] = variance
    return np.asarray(result)


def at_most_unknown(covariance: FloatArray) -> FloatArray:
    """The covariance with its variance bounded by `UNKNOWN_VARIANCE` in every direction."""
    variance, directions = np.linalg.eigh((covariance + covariance.T) / 2.0)
    return np.asarray((directions * np.clip(variance, 0.0, UNKNOWN_VARIANCE)) @ directions.T)


def in_other_unit(covariance: FloatArray, factor: float) -> FloatArray:
    """7x7 after lengths have become `factor` times as large."""
    grown = np.diag([factor] * 3 + [1.0] * 4)
    return np.asarray(grown @ covariance @ grown)
