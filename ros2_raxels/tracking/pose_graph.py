"""Relaxation of a graph of keyframes: where edges disagree, each gives way by its share, scale drift included.

In stages, each a linear least-squares problem with the same graph Laplacian: logarithms of scale, then rotations
(a few Gauss-Newton steps on rotation vectors), then positions. Exact for graphs that agree; elsewhere as good as the
drift is small. After Carlone et al., "Initialization techniques for 3D SLAM" (ICRA 2015), with scale put first as in
Strasdat et al., "Scale drift-aware large scale monocular SLAM" (RSS 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.poses import FloatArray

IntArray = npt.NDArray[np.integer]
_ROTATION_STEPS = 6


@dataclass(frozen=True)
class Edge:
    """What was measured between two keyframes.

    Attributes:
        first, second: their indices.
        pose: 4x4, the second in the first, in the unit of the first.
        log_scale: natural logarithm of the factor that turns distances around the second into the unit of the first; 0
            where both share one.
        variance: how far it may give way, relative to the others; positive.
    """

    first: int
    second: int
    pose: FloatArray
    log_scale: float
    variance: float


def relax(poses: FloatArray, edges: Sequence[Edge], held: int) -> tuple[FloatArray, FloatArray]:
    """Poses that agree best with the edges, and how much the unit of each has grown.

    Args:
        poses: (N, 4, 4) camera_to_world, a start for the rotations.
        edges: connect all of them.
        held: index of the keyframe that keeps its pose and unit.

    Returns:
        (N, 4, 4), and (N,) natural logarithms of new over old unit: what was at distance d of keyframe k is at
        ``d * exp(log_scale[k])``.
    """
    first, second = (np.array([getattr(e, side) for e in edges]) for side in ("first", "second"))
    weight = 1.0 / np.array([e.variance for e in edges])
    laplacian = _Laplacian(len(poses), first, second, weight, held)
    log_scale = laplacian.solve(np.array([[e.log_scale] for e in edges]))[:, 0]
    rotation = _rotations(poses[:, :3, :3].copy(), edges, laplacian, first, second)
    unit = np.exp((log_scale[first] + log_scale[second] - [e.log_scale for e in edges]) / 2.0)
    step = unit[:, None] * (rotation[first] @ np.array([e.pose[:3, 3] for e in edges])[:, :, None])[:, :, 0]
    relaxed = np.tile(np.eye(4), (len(poses), 1, 1))
    relaxed[:, :3, :3] = rotation
    relaxed[:, :3, 3] = poses[held, :3, 3] + laplacian.solve(step)
    return relaxed, log_scale


def _rotations(
    rotation: FloatArray,
    edges: Sequence[Edge],
    laplacian: _Laplacian,
    first: IntArray,
    second: IntArray,
) -> FloatArray:
    measured = np.array([e.pose[:3, :3] for e in edges])
    for _ in range(_ROTATION_STEPS):
        off = rotation[first] @ measured @ np.swapaxes(rotation[second], 1, 2)
        turn = laplacian.solve(Rotation.from_matrix(off).as_rotvec())
        rotation = Rotation.from_rotvec(turn).as_matrix() @ rotation
    return rotation


class _Laplacian:
    """Values x of the nodes for which x[second] - x[first] is as measured, in the least-squares sense; 0 at `held`."""

    def __init__(self, nodes: int, first: IntArray, second: IntArray, weight: FloatArray, held: int) -> None:
        matrix = np.zeros((nodes, nodes))
        np.add.at(matrix, (first, first), weight)
        np.add.at(matrix, (second, second), weight)
        np.add.at(matrix, (first, second), -weight)
        np.add.at(matrix, (second, first), -weight)
        self._free = np.flatnonzero(np.arange(nodes) != held)
        self._inverse = np.linalg.inv(matrix[np.ix_(self._free, self._free)])
        self._nodes, self._first, self._second, self._weight = nodes, first, second, weight

    def solve(self, measured: FloatArray) -> FloatArray:
        """(N, D) from the differences (E, D) along the edges."""
        pull = self._weight[:, None] * measured
        right = np.zeros((self._nodes, measured.shape[1]))
        np.add.at(right, self._second, pull)
        np.add.at(right, self._first, -pull)
        values = np.zeros_like(right)
        values[self._free] = self._inverse @ right[self._free]
        return values
