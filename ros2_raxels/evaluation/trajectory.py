"""How far a trajectory is from the truth: ATE and RPE as `evo` computes them, and the TUM file both read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry import (
    FloatArray,
    inverse_pose,
    nearest_rotation,
    quaternion_from_rotation,
    relative_pose,
    rotation_angle_rad,
)


@dataclass(frozen=True)
class AbsoluteError:
    """Errors of a whole trajectory after alignment.

    Attributes:
        scale: factor that was put on the estimate; 1 without scale alignment.
        aligned: (N, 4, 4) estimated camera_to_world in the frame and unit of the truth.
        translation: (N,) distances, in the truth's unit.
        rotation_deg: (N,) geodesic angles.
        path_length: length of the true path over these poses, in the truth's unit.
    """

    scale: float
    aligned: FloatArray
    translation: FloatArray
    rotation_deg: FloatArray
    path_length: float

    @property
    def translation_rmse(self) -> float:
        """ATE: root of the mean squared distance, in the truth's unit."""
        return _rms(self.translation)

    @property
    def translation_percent(self) -> float:
        """ATE as a share of the true path, %; infinite for a camera that never moved."""
        return 100.0 * self.translation_rmse / self.path_length if self.path_length > 0 else float("inf")

    @property
    def rotation_rmse_deg(self) -> float:
        """Root of the mean squared rotation error, degrees."""
        return _rms(self.rotation_deg)


@dataclass(frozen=True)
class RelativeError:
    """Errors of the motion over a fixed number of frames.

    Attributes:
        translation: (N - step,) lengths of the translation error, in the truth's unit.
        rotation_deg: (N - step,) geodesic angles.
    """

    translation: FloatArray
    rotation_deg: FloatArray

    @property
    def translation_rmse(self) -> float:
        """Root of the mean squared translation error, in the truth's unit."""
        return _rms(self.translation)

    @property
    def rotation_rmse_deg(self) -> float:
        """Root of the mean squared rotation error, degrees."""
        return _rms(self.rotation_deg)


def align_similarity(
    estimated: npt.ArrayLike, truth: npt.ArrayLike, with_scale: bool = True
) -> tuple[float, FloatArray, FloatArray]:
    """Scale s, rotation R (3, 3) and translation t (3,) that bring estimated points onto true ones (Umeyama 1991).

    Minimises ``sum |s R estimated + t - truth|^2`` over (N, 3) points. Where the points do not fix the answer (all on a
    line, or one point) it is one of the best ones; an estimate without any extent gets scale 0.

    Raises:
        ValueError: the shapes differ, there is no point, or one is not finite.
    """
    p, q = np.asarray(estimated, float), np.asarray(truth, float)
    if p.shape != q.shape or p.ndim != 2 or p.shape[1] != 3 or not len(p):
        raise ValueError(f"estimated {p.shape} and true {q.shape} points must both be (N, 3) with N > 0")
    if not (np.isfinite(p).all() and np.isfinite(q).all()):
        raise ValueError("estimated and true points must be finite; leave out the frames without a pose")
    centre_p, centre_q = p.mean(axis=0), q.mean(axis=0)
    covariance = (q - centre_q).T @ (p - centre_p) / len(p)
    u, spread, vt = np.linalg.svd(covariance)
    mirror = np.array([1.0, 1.0, 1.0 if np.linalg.det(u) * np.linalg.det(vt) >= 0 else -1.0])
    rotation: FloatArray = (u * mirror) @ vt
    scale = 1.0
    if with_scale:
        variance = float(((p - centre_p) ** 2).sum() / len(p))
        scale = float(spread @ mirror) / variance if variance > 0 else 0.0
    return scale, rotation, centre_q - scale * rotation @ centre_p


def absolute_error(estimated: npt.ArrayLike, truth: npt.ArrayLike, with_scale: bool = True) -> AbsoluteError:
    """Absolute trajectory error of camera_to_world poses (N, 4, 4) against true ones of the same frames.

    Aligned by the positions alone, with Sim(3) or (``with_scale`` false) SE(3), so that the rotation error also counts
    how well the two agree.

    Raises:
        ValueError: as `align_similarity`.
    """
    poses, true = np.array(estimated, float), np.asarray(truth, float)
    scale, rotation, translation = align_similarity(poses[:, :3, 3], true[:, :3, 3], with_scale)
    poses[:, :3, :3] = rotation @ poses[:, :3, :3]
    poses[:, :3, 3] = scale * poses[:, :3, 3] @ rotation.T + translation
    return AbsoluteError(
        scale=scale,
        aligned=poses,
        translation=np.linalg.norm(poses[:, :3, 3] - true[:, :3, 3], axis=1),
        rotation_deg=_angles_deg(poses, true),
        path_length=path_length(true),
    )


def rotation_error_deg(estimated: npt.ArrayLike, truth: npt.ArrayLike) -> FloatArray:
    """(N,) angles between estimated and true rotations of poses (N, 4, 4), after the one rotation that fits best.

    Unlike `AbsoluteError.rotation_deg` it does not depend on the positions, which leave the roll about a straight path
    undetermined.
    """
    rotations, true = np.array(estimated, float), np.asarray(truth, float)
    offset = nearest_rotation(np.einsum("nij,nkj->ik", true[:, :3, :3], rotations[:, :3, :3]))
    rotations[:, :3, :3] = offset @ rotations[:, :3, :3]
    return _angles_deg(rotations, true)


def relative_error(estimated: npt.ArrayLike, truth: npt.ArrayLike, step: int = 1, scale: float = 1.0) -> RelativeError:
    """Relative pose error over ``step`` frames, of consecutive camera_to_world poses (N, 4, 4).

    Args:
        estimated, truth: poses of the same frames, without gaps.
        step: frames between the two poses of a pair; all overlapping pairs count.
        scale: factor on the estimated translations, from `align_similarity`.

    Raises:
        ValueError: fewer poses than ``step + 1``, or step below one.
    """
    poses, true = np.array(estimated, float), np.asarray(truth, float)
    if step < 1 or len(poses) != len(true) or len(poses) <= step:
        raise ValueError(f"{len(poses)} estimated and {len(true)} true poses have no pair {step} frames apart")
    poses[:, :3, 3] *= scale
    moved, true_moved = relative_pose(poses[:-step], poses[step:]), relative_pose(true[:-step], true[step:])
    error = inverse_pose(true_moved) @ moved
    return RelativeError(np.linalg.norm(error[:, :3, 3], axis=1), _angles_deg(moved, true_moved))


def path_length(poses: npt.ArrayLike) -> float:
    """Length of the path through the positions of poses (N, 4, 4), in their unit."""
    return float(np.linalg.norm(np.diff(np.asarray(poses, float)[:, :3, 3], axis=0), axis=1).sum())


def write_tum(path: Path, stamps_ns: Sequence[int], poses: npt.ArrayLike) -> None:
    """Write camera_to_world poses (N, 4, 4) as TUM lines ``t x y z qx qy qz qw``, t in seconds to the nanosecond."""
    lines = []
    for stamp_ns, pose in zip(stamps_ns, np.asarray(poses, float), strict=True):
        values = " ".join(f"{v:.9f}" for v in (*pose[:3, 3], *quaternion_from_rotation(pose[:3, :3])))
        lines.append(f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d} {values}\n")
    path.write_text("".join(lines), encoding="utf-8")


def _angles_deg(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.degrees(rotation_angle_rad(np.swapaxes(a[:, :3, :3], -1, -2) @ b[:, :3, :3]))


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))
