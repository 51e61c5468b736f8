"""Covariance of the cameras of a clip: what the evidence leaves open, and how far competing hypotheses differ."""

from __future__ import annotations

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import Refined
from ros2_raxels.geometry.covariance import in_world_axes
from ros2_raxels.geometry.poses import FloatArray, rotation_vector

INFLATION, DOUBT, MOST_INFLATION = 2.0, 2.0, 20.0
"""Factor on the standard deviations of independent errors of `RefineSettings.noise_px`, because neighbouring tracks err
alike; times 1 / confidence to the power of `DOUBT`, because an answer that explains little of the evidence may be all
wrong; at most `MOST_INFLATION`."""

TEMPERATURE = 4.0
"""Extra cost, in observations, that makes a hypothesis count e times less than the best."""

FLOOR_ROTATION_RAD, FLOOR_TRANSLATION = 5e-4, 2e-3
"""Standard deviations of what the evidence does not show: errors of the intrinsics, rolling shutter, exposure time.
Translation in clip units."""

_NOTHING_KNOWN = 1.0
"""Information, 1 / variance, of a camera without tracks: a radian, or the distance of the furthest camera."""

_STILL = 1e-9


def pose_covariance(refined: Refined, confidence: float) -> FloatArray:
    """Covariance of every camera of the best hypothesis.

    It is the sum of the inverse information of the solve, the spread of the hypotheses, weighted by how well they
    explain the evidence, and a floor. Scale is not an unknown: the furthest camera of a clip is at distance 1.

    Args:
        refined: hypotheses, best first.
        confidence: of the clip, 0 to 1.

    Returns:
        (N, 6, 6) of (x, y, z, rotation about x, y, z), axes of the first camera, clip units and rad.
    """
    poses = refined.camera_to_first[0]
    inflation = min(INFLATION / max(confidence, 1e-3) ** DOUBT, MOST_INFLATION)
    covariance: FloatArray = inflation**2 * _left_open(refined.information_of(0), poses) + _apart(refined)
    floor = np.diag([FLOOR_TRANSLATION**2] * 3 + [FLOOR_ROTATION_RAD**2] * 3)
    covariance[1:] += floor
    return covariance


def _left_open(information: FloatArray, poses: FloatArray) -> FloatArray:
    """Inverse information (rotation in the camera, translation) of all cameras together, as (N, 6, 6) of the first."""
    everything = np.zeros_like(information)
    everything[6:, 6:] = np.linalg.inv(information[6:, 6:] + _NOTHING_KNOWN * np.eye(len(information) - 6))
    unit = _in_units_of_reach(poses)
    everything = unit @ (everything + everything.T) @ unit.T / 2.0
    result = np.zeros((len(poses), 6, 6))
    for k, pose in enumerate(poses):
        block = slice(6 * k, 6 * k + 6)
        result[k] = in_world_axes(everything[block, block], pose)
    return result


def _in_units_of_reach(poses: FloatArray) -> FloatArray:
    """Linear map (6N, 6N) of pose updates to what is left of them once the furthest camera is back at distance 1."""
    unit = np.eye(6 * len(poses))
    reach = np.linalg.norm(poses[:, :3, 3], axis=1)
    furthest = int(reach.argmax())
    if reach[furthest] < _STILL:
        return unit
    along, own = np.zeros((2, len(poses), 6))
    along[:, 3:] = poses[:, :3, 3]
    own[furthest, 3:] = poses[furthest, :3, 3] / reach[furthest] ** 2
    return unit - np.outer(along.ravel(), own.ravel())


def _apart(refined: Refined) -> FloatArray:
    best = refined.camera_to_first[0]
    # The first need not be the cheapest: it was chosen.
    weight = np.exp(-np.maximum(refined.cost - refined.cost[0], 0.0) / TEMPERATURE)
    weight /= weight.sum()
    difference = np.zeros((len(weight), len(best), 6))
    for h, other in enumerate(refined.camera_to_first[1:], start=1):
        difference[h, :, :3] = other[:, :3, 3] - best[:, :3, 3]
        difference[h, :, 3:] = [rotation_vector(a[:3, :3] @ b[:3, :3].T) for a, b in zip(other, best, strict=True)]
    return np.asarray(np.einsum("h,hni,hnj->nij", weight, difference, difference))
