"""Accuracy of the poses of clips: errors over all pairs of frames, RRA, RTA and AUC, by set and over sets.

Angles are arc cosines of trace and dot product, as in the public scripts behind published numbers, so that results
agree to the last digit; neither resolves angles below about 0.01 deg.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_raxels.evaluation.clips.clip_sets import Clip, ClipAnswer
from ros2_raxels.geometry.poses import FloatArray, direction_angle_rad, rotation_vector
from ros2_raxels.utils.files import FileError

MIN_BASELINE = 0.05
"""Share of a clip's longest baseline below which the direction between two cameras is meaningless."""

WRONG_DEG = 180.0
"""Error of a pose that is missing or not finite."""


@dataclass(frozen=True, eq=False)
class PairErrors:
    """Errors of P pairs of frames.

    Attributes:
        rotation_deg: (P,) geodesic angle between relative rotations.
        direction_deg: (P,) angle between relative translations, 0 to 180.
        masked: (P,) the true baseline is below `MIN_BASELINE`, so that the direction does not count.
        missing: (P,) there is no pose, and the errors are `WRONG_DEG`.
    """

    rotation_deg: FloatArray
    direction_deg: FloatArray
    masked: npt.NDArray[np.bool_]
    missing: npt.NDArray[np.bool_]

    @staticmethod
    def joined(parts: Iterable[PairErrors]) -> PairErrors:
        """All pairs of several clips."""
        known = list(parts)
        return PairErrors(
            np.concatenate([p.rotation_deg for p in known]),
            np.concatenate([p.direction_deg for p in known]),
            np.concatenate([p.masked for p in known]),
            np.concatenate([p.missing for p in known]),
        )

    @property
    def combined_deg(self) -> FloatArray:
        """(P,) the larger of both errors; the rotation's alone where the direction is masked."""
        return np.where(self.masked, self.rotation_deg, np.maximum(self.rotation_deg, self.direction_deg))


_CHI2_3 = {"68": 3.506, "95": 7.815}
_CHI2_2 = {"68": 2.279, "95": 5.991}
"""Squared Mahalanobis distances that enclose so many percent of a normal distribution in three and two dimensions."""


@dataclass(frozen=True)
class PoseScore:
    """Scores of one set, or their means over sets.

    Attributes:
        pairs, masked: number of pairs, and of those whose direction does not count.
        rot_med_deg, dir_med_deg: median errors.
        rra5, rra15, rra30: share of pairs with a rotation error below so many degrees.
        rta15, rta30: share of unmasked pairs with a direction error below so many degrees.
        rta15_blind, rta30_blind: the same, with the opposite direction counted as right.
        auc5, auc10, auc30: area under the accuracy curve of the larger error up to so many degrees, 0 to 1.
    """

    pairs: int
    masked: int
    rot_med_deg: float
    dir_med_deg: float
    rra5: float
    rra15: float
    rra30: float
    rta15: float
    rta30: float
    rta15_blind: float
    rta30_blind: float
    auc5: float
    auc10: float
    auc30: float

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def pair_errors(clip: Clip, answer: ClipAnswer | None) -> PairErrors:
    """Errors of all N (N - 1) / 2 pairs of a clip; a missing answer is `WRONG_DEG` off.

    Raises:
        FileError: the clip has no true poses.
    """
    if clip.camera_to_first is None:
        raise FileError(f"clip {clip.id} has no 'camera_to_first'; without true poses it cannot be scored")
    pairs = list(itertools.combinations(range(len(clip.camera_to_first)), 2))
    true = [np.linalg.inv(clip.camera_to_first[i]) @ clip.camera_to_first[j] for i, j in pairs]
    found = [answer.relative(i, j) if answer is not None else None for i, j in pairs]
    baseline = np.array([np.linalg.norm(pose[:3, 3]) for pose in true])
    errors = np.array([_pose_error_deg(f, t) for f, t in zip(found, true, strict=True)])
    missing = np.array([pose is None for pose in found])
    return PairErrors(errors[:, 0], errors[:, 1], baseline < MIN_BASELINE * baseline.max(), missing)


def _pose_error_deg(found: FloatArray | None, true: FloatArray) -> tuple[float, float]:
    if found is None:
        return WRONG_DEG, WRONG_DEG
    cosine = (np.trace(found[:3, :3].T @ true[:3, :3]) - 1.0) / 2.0
    return _arccos_deg(cosine), _direction_error_deg(found[:3, 3], true[:3, 3])


def _direction_error_deg(a: FloatArray, b: FloatArray) -> float:
    """90 for a translation of zero, which has no direction."""
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 90.0 if norms < 1e-12 else _arccos_deg(a @ b / norms)


def _arccos_deg(cosine: float | FloatArray) -> float:
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def auc(errors_deg: npt.ArrayLike, limit_deg: int) -> float:
    """Mean over whole degrees 1 to ``limit_deg`` of the share of errors below them (0 without any error given)."""
    errors = np.minimum(np.asarray(errors_deg, float), WRONG_DEG)
    share = np.histogram(errors, bins=np.arange(limit_deg + 1))[0] / max(1, len(errors))
    return float(np.cumsum(share).mean())


def pose_score(errors: PairErrors) -> PoseScore:
    """Score of these pairs."""
    rotation, direction = errors.rotation_deg, errors.direction_deg[~errors.masked]
    # A missing pose is wrong for the sign-blind measures too.
    folded = np.where(errors.missing, WRONG_DEG, np.minimum(errors.direction_deg, 180.0 - errors.direction_deg))
    blind = folded[~errors.masked]
    combined = errors.combined_deg
    return PoseScore(
        pairs=len(rotation),
        masked=int(errors.masked.sum()),
        rot_med_deg=float(np.median(rotation)),
        dir_med_deg=float(np.median(direction)),
        rra5=_share_below(rotation, 5),
        rra15=_share_below(rotation, 15),
        rra30=_share_below(rotation, 30),
        rta15=_share_below(direction, 15),
        rta30=_share_below(direction, 30),
        rta15_blind=_share_below(blind, 15),
        rta30_blind=_share_below(blind, 30),
        auc5=auc(combined, 5),
        auc10=auc(combined, 10),
        auc30=auc(combined, 30),
    )


def _share_below(errors_deg: FloatArray, limit_deg: float) -> float:
    return float((errors_deg < limit_deg).mean())


def score_sets(clips: Sequence[Clip], answers: Mapping[str, ClipAnswer]) -> dict[str, PoseScore]:
    """Scores of every set, in the order in which the clips name them.

    Raises:
        FileError: a clip has no true poses.
    """
    by_set: dict[str, list[PairErrors]] = {}
    for clip in clips:
        by_set.setdefault(clip.set_name, []).append(pair_errors(clip, answers.get(clip.id)))
    return {name: pose_score(PairErrors.joined(parts)) for name, parts in by_set.items()}


def mean_over_sets(scores: Mapping[str, PoseScore]) -> PoseScore:
    """Means over sets with equal weights; pairs and masked are sums."""
    means = {f.name: float(np.mean([getattr(s, f.name) for s in scores.values()])) for f in fields(PoseScore)}
    counts = {name: sum(getattr(s, name) for s in scores.values()) for name in ("pairs", "masked")}
    return PoseScore(**{**means, **counts})


def coverage(clips: Sequence[Clip], answers: Mapping[str, ClipAnswer]) -> dict[str, float] | None:
    """How often the truth lies where the stated covariance says it does, 0 to 1; None where none is stated.

    Of all cameras but the first of each clip: rotations (3 degrees of freedom) and, where a camera moved, directions of
    translation (2) inside the ellipsoids that should hold 68 and 95 % of them.
    """
    rotations: list[float] = []
    directions: list[float] = []
    for clip in clips:
        answer = answers.get(clip.id)
        if answer is None or answer.covariance is None or answer.camera_to_first is None:
            continue
        if clip.camera_to_first is None:
            continue
        reach = np.linalg.norm(clip.camera_to_first[:, :3, 3], axis=1).max()
        for true, found, covariance in zip(
            clip.camera_to_first[1:], answer.camera_to_first[1:], answer.covariance[1:], strict=True
        ):
            turn = rotation_vector(true[:3, :3] @ found[:3, :3].T)
            rotations.append(float(turn @ np.linalg.solve(covariance[3:, 3:], turn)))
            if np.linalg.norm(true[:3, 3]) >= MIN_BASELINE * reach:
                directions.append(_direction_distance(true[:3, 3], found[:3, 3], covariance[:3, :3]))
    if not rotations or not directions:
        return None
    inside = {f"rotation_{p}": float((np.array(rotations) < limit).mean()) for p, limit in _CHI2_3.items()}
    inside |= {f"direction_{p}": float((np.array(directions) < limit).mean()) for p, limit in _CHI2_2.items()}
    return inside


def _direction_distance(true: FloatArray, found: FloatArray, covariance: FloatArray) -> float:
    """Squared Mahalanobis distance between two directions, the error measured along the sphere."""
    length = max(float(np.linalg.norm(found)), 1e-9)
    across = np.linalg.svd(found[None] / length)[2][1:]
    error = across @ true
    error *= direction_angle_rad(true, found) / max(float(np.linalg.norm(error)), 1e-12)
    spread = across @ covariance @ across.T / length**2
    return float(error @ np.linalg.solve(spread, error))


def focal_error(clips: Sequence[Clip], answers: Mapping[str, ClipAnswer]) -> float | None:
    """Median over frames of ``|fx found - fx| / fx``; None where no clip has both."""
    errors: list[float] = []
    for clip in clips:
        answer = answers.get(clip.id)
        if answer is not None and answer.intrinsics is not None and clip.intrinsics is not None:
            true = clip.intrinsics[:, 0]
            errors.extend(np.abs(answer.intrinsics[:, 0] - true) / true)
    return float(np.median(errors)) if errors else None
