"""Two-view geometry of rays, for lenses whose field no plane holds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray, make_pose

_SAMPLE, _SAMPLES = 8, 200
_REFITTED, _REFITS = 5, 4
"""How many of the best samples are fitted again to all that agrees, and how often."""

_SEED = 0


def ray_two_view(
    first: FloatArray, second: FloatArray, tolerance_rad: FloatArray, guesses: FloatArray | None = None
) -> FloatArray | None:
    """Pose of the second camera in the first, baseline 1, from rays of matches in any direction.

    Args:
        first, second: (M, 3) unit rays; 8 or more.
        tolerance_rad: (M,) angle to the epipolar plane of an inlier.
        guesses: (G, 3, 3) essential matrices that are tried as well.

    Returns:
        4x4, or None where no essential matrix fits.
    """
    if len(first) < _SAMPLE:
        return None
    rows = np.einsum("mi,mj->mij", second, first).reshape(-1, 9)
    rng = np.random.default_rng(_SEED)
    chosen = np.argsort(rng.random((_SAMPLES, len(first))), axis=1)[:, :_SAMPLE]
    candidates = _fitted(rows[chosen])
    if guesses is not None:
        candidates = np.concatenate([candidates, guesses])
    cost = _costs(candidates, first, second, tolerance_rad)
    best = candidates[np.argsort(cost, kind="stable")[:_REFITTED]]
    for _ in range(_REFITS):
        weight = 1.0 / (1.0 + (_errors(best, first, second) / tolerance_rad) ** 2)
        refitted = _fitted(rows * weight[..., None])
        both = np.concatenate([best, refitted])
        best = both[np.argsort(_costs(both, first, second, tolerance_rad), kind="stable")[:_REFITTED]]
    agrees = _errors(best[:1], first, second)[0] < tolerance_rad
    if agrees.sum() < _SAMPLE:
        return None
    return _in_front(best[0], first[agrees], second[agrees])


def _fitted(rows: FloatArray) -> FloatArray:
    """Essential matrices (K, 3, 3) that satisfy rows (K, M, 9) of equations as well as may be."""
    normal = np.swapaxes(rows, -1, -2) @ rows
    _, vectors = np.linalg.eigh(normal)
    u, _, vt = np.linalg.svd(vectors[..., 0].reshape(-1, 3, 3))
    return np.asarray(u @ np.diag([1.0, 1.0, 0.0]) @ vt)


def _errors(essential: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """Angles (K, M), rad, by which matches would have to move to lie on their epipolar planes."""
    there, back = first @ np.swapaxes(essential, -1, -2), second @ essential
    gap = (there * second).sum(axis=-1)
    return np.asarray(np.abs(gap) / np.sqrt((there**2).sum(axis=-1) + (back**2).sum(axis=-1) + 1e-12))


def _costs(essential: FloatArray, first: FloatArray, second: FloatArray, tolerance_rad: FloatArray) -> FloatArray:
    return np.asarray(np.minimum((_errors(essential, first, second) / tolerance_rad) ** 2, 1.0).sum(axis=-1))


def _in_front(essential: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray | None:
    """Of the four poses of an essential matrix the one in which the most matches meet in front of both cameras."""
    u, _, vt = np.linalg.svd(essential)
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    found, most = None, 0
    for rotation in (u @ turn @ vt, u @ turn.T @ vt):
        rotation = rotation * np.sign(np.linalg.det(rotation))
        for shift in (u[:, 2], -u[:, 2]):
            count = int(_meet(first @ rotation.T, second, shift).sum())
            if count > most:
                found, most = make_pose(rotation.T, -rotation.T @ shift), count
    return found


def _meet(turned: FloatArray, second: FloatArray, shift: FloatArray) -> npt.NDArray[np.bool_]:
    """(M,) whether ``a turned + shift = b second`` has both lengths positive."""
    cosine = (turned * second).sum(axis=1)
    along, across = turned @ shift, second @ shift
    return np.asarray((cosine * across > along) & (across > cosine * along))
