"""Errors of a trajectory against the truth: ATE and RPE as `evo` computes them, and TUM files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import (
    FloatArray,
    inverse_pose,
    nearest_rotation,
    quaternion_from_rotation,
    relative_pose,
    rotation_angle_rad,
)

_FEWEST = 3
"""Minimum number of poses that can be aligned."""


@dataclass(frozen=True)
class AbsoluteError:
    """Errors of a whole trajectory after alignment.

    Attributes:
        scale: factor applied to the estimate; 1 without scale alignment.
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

    Only the positions are aligned, with Sim(3) or (``with_scale`` false) SE(3), so an error of that alignment counts as
    rotation error.

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


def relative_error(
    estimated: npt.ArrayLike,
    truth: npt.ArrayLike,
    step: int = 1,
    scale: float = 1.0,
    indices: Sequence[int] | None = None,
) -> RelativeError:
    """Relative pose error over ``step`` frames, of camera_to_world poses (N, 4, 4).

    Args:
        estimated, truth: poses of the same frames.
        step: frames between the two poses of a pair; all overlapping pairs count.
        scale: factor on the estimated translations, from `align_similarity`.
        indices: numbers of the frames, ascending; None means without gaps.

    Raises:
        ValueError: step below one, or no two poses are that far apart.
    """
    poses, true = np.array(estimated, float), np.asarray(truth, float)
    numbers = np.arange(len(poses)) if indices is None else np.asarray(indices, int)
    _, first, second = np.intersect1d(numbers + step, numbers, assume_unique=True, return_indices=True)
    if step < 1 or len(poses) != len(true) or not len(first):
        raise ValueError(f"{len(poses)} estimated and {len(true)} true poses have no pair {step} frames apart")
    poses[:, :3, 3] *= scale
    moved, true_moved = (relative_pose(p[first], p[second]) for p in (poses, true))
    error = inverse_pose(true_moved) @ moved
    return RelativeError(np.linalg.norm(error[:, :3, 3], axis=1), _angles_deg(moved, true_moved))


def unit_by_part(estimated: npt.ArrayLike, truth: npt.ArrayLike, parts: int = 5) -> FloatArray:
    """Scale drift: the unit of an estimate along its path, as (parts,) lengths, of which the first is 1.

    The true path is cut into parts of equal length, and each is aligned by itself (`align_similarity`). 2 means that a
    metre is twice as long in the estimate as it was in the first part.

    Args:
        estimated, truth: camera_to_world poses (N, 4, 4) of the same frames.
        parts: number of them.

    Returns:
        NaN for a part with fewer than three poses or without motion; all NaN if the first is such a part.
    """
    positions, true = (np.asarray(poses, float)[:, :3, 3] for poses in (estimated, truth))
    travelled = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(true, axis=0), axis=1))])
    part = np.minimum((travelled / max(float(travelled[-1]), 1e-12) * parts).astype(int), parts - 1)
    scales = np.full(parts, np.nan)
    for number in range(parts):
        chosen = part == number
        if chosen.sum() >= _FEWEST:
            scale = align_similarity(positions[chosen], true[chosen])[0]
            scales[number] = scale if scale > 0 else np.nan
    return np.asarray(scales[0] / scales)


@dataclass(frozen=True)
class TrajectoryScore:
    """All errors of a trajectory; lengths are in the truth's unit. None where there is nothing to compare.

    Attributes:
        poses: number of estimated poses.
        ate, ate_se3: root mean square of the distances after Sim(3) and SE(3) alignment.
        ate_percent, ate_se3_percent: the same as a share of the whole true path.
        rpe_frame, rpe_second: root mean square error of the motion over one frame and one second, with the scale of the
            Sim(3) alignment.
        rpe_frame_deg, rpe_second_deg: of its rotation.
        scale_drift: the unit in the last fifth of the path over that in the first, see `unit_by_part`; 1 is no drift.
        scale_range: largest over smallest unit among the fifths.
    """

    poses: int
    ate: float
    ate_percent: float
    ate_se3: float
    ate_se3_percent: float
    rpe_frame: float | None
    rpe_frame_deg: float | None
    rpe_second: float | None
    rpe_second_deg: float | None
    scale_drift: float | None
    scale_range: float | None


def score_trajectory(
    estimated: npt.ArrayLike, truth: npt.ArrayLike, rate_hz: float, indices: Sequence[int] | None = None
) -> TrajectoryScore | None:
    """Compare a trajectory with the truth.

    Args:
        estimated: camera_to_world (K, 4, 4) of the frames that have a pose.
        truth: camera_to_world (N, 4, 4) of all frames.
        rate_hz: frames a second.
        indices: numbers of the K frames, ascending; None for all.

    Returns:
        None for fewer than three poses.
    """
    poses, whole = np.asarray(estimated, float), np.asarray(truth, float)
    numbers = np.arange(len(whole)) if indices is None else np.asarray(indices, int)
    if len(numbers) < _FEWEST:
        return None
    true, length = whole[numbers], path_length(whole)
    sim3, se3 = (absolute_error(poses, true, with_scale) for with_scale in (True, False))
    ate, ate_se3 = sim3.translation_rmse, se3.translation_rmse
    share = 100.0 / length if length > 0 else float("inf")
    frame, second = (_rpe(poses, true, step, sim3.scale, numbers) for step in (1, max(1, round(rate_hz))))
    units = unit_by_part(poses, true)
    known = units[np.isfinite(units)]
    return TrajectoryScore(
        poses=len(poses),
        ate=ate,
        ate_percent=ate * share,
        ate_se3=ate_se3,
        ate_se3_percent=ate_se3 * share,
        rpe_frame=frame[0],
        rpe_frame_deg=frame[1],
        rpe_second=second[0],
        rpe_second_deg=second[1],
        scale_drift=float(units[-1]) if np.isfinite(units[-1]) else None,
        scale_range=float(known.max() / known.min()) if len(known) > 1 else None,
    )


def _rpe(
    poses: FloatArray, true: FloatArray, step: int, scale: float, numbers: npt.NDArray[np.integer]
) -> tuple[float, float] | tuple[None, None]:
    """Translation, and rotation in degrees; None where no two poses are that far apart."""
    try:
        error = relative_error(poses, true, step, scale, numbers.tolist())
    except ValueError:
        return None, None
    return error.translation_rmse, error.rotation_rmse_deg


def path_length(poses: npt.ArrayLike) -> float:
    """Length of the path through the positions of poses (N, 4, 4), in their unit."""
    return float(np.linalg.norm(np.diff(np.asarray(poses, float)[:, :3, 3], axis=0), axis=1).sum())


def write_tum(path: Path, stamps_ns: Sequence[int], poses: npt.ArrayLike, remarks: Sequence[str] = ()) -> None:
    """Write camera_to_world poses (N, 4, 4) as TUM lines ``t x y z qx qy qz qw``, t in seconds to the nanosecond.

    Remarks, N or none, stand in comment lines (#), which readers of the format pass over, above their rows; empty ones
    are left out.
    """
    lines = []
    for stamp_ns, pose, remark in zip(
        stamps_ns, np.asarray(poses, float), remarks or [""] * len(stamps_ns), strict=True
    ):
        if remark:
            lines.append(f"# {remark}\n")
        values = " ".join(f"{v:.9f}" for v in (*pose[:3, 3], *quaternion_from_rotation(pose[:3, :3])))
        lines.append(f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d} {values}\n")
    path.write_text("".join(lines), encoding="utf-8")


def _angles_deg(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.degrees(rotation_angle_rad(np.swapaxes(a[:, :3, :3], -1, -2) @ b[:, :3, :3]))


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))
