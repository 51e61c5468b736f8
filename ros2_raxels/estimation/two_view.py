"""Starting cameras for a clip: one hypothesis from the two-view geometry of each pair of frames."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.estimation.bundle_adjustment import BundleProblem, RefineSettings, refine, triangulate
from ros2_raxels.estimation.inliers import FEWEST_MATCHES
from ros2_raxels.estimation.ray_two_view import ray_two_view
from ros2_raxels.geometry.poses import FloatArray, inverse_pose, make_pose, rotation_from_vector, rotation_vector
from ros2_raxels.matching.tracks import Evidence

_RESECT = RefineSettings(widths_px=(20.0, 10.0, 10.0, 5.0, 5.0, 3.0, 3.0, 2.0), iterations=8)


Pair = tuple[int, int]


def pairs_by_use(frames: int) -> list[Pair]:
    """All pairs (i, j), i < j, of so many frames, those first that most often suffice.

    Pairs half a clip apart have parallax and still overlap.
    """
    return sorted(itertools.combinations(range(frames), 2), key=lambda pair: abs(pair[1] - pair[0] - frames / 2))


def propose(problem: BundleProblem, pairs: Sequence[Pair] | None = None, max_error_px: float = 1.0) -> FloatArray:
    """Hypotheses ``camera_to_first`` (H, N, 4, 4), one for each pair of frames with enough matches.

    For each pair: essential matrix (OpenCV USAC), depths from that pair, then the other frames by robust resection
    against those depths, starting from constant velocity.

    Args:
        problem: P tracks over N frames.
        pairs: (i, j), i < j; None takes all.
        max_error_px: epipolar error of an inlier.
    """
    evidence = problem.evidence
    starts, solved = [], []
    for i, j in itertools.combinations(range(evidence.frames), 2) if pairs is None else pairs:
        pose = pair_pose(evidence, i, j, max_error_px)
        if pose is not None:
            starts.append(_constant_velocity(evidence.frames, i, j, pose))
            solved.append((i, j))
    if not starts:
        return np.zeros((0, evidence.frames, 4, 4))
    return _resect(problem, np.array(starts), np.array(solved))


def pair_pose(evidence: Evidence, first: int, second: int, max_error_px: float) -> FloatArray | None:
    """Pose of one frame of evidence in another, baseline 1, from the tracks that start in either.

    Args:
        evidence: of both.
        first, second: the frames.
        max_error_px: epipolar error of an inlier.

    Returns:
        4x4, or None where there are too few matches or no essential matrix fits them.
    """
    lens, (start, end) = evidence.lens, evidence.pair(first, second)
    max_error = max_error_px / float(evidence.focal_px[first])
    if lens is None or lens.is_flat.all():
        return two_view(start, end, max_error)
    both = evidence.in_pair(first, second)
    if both.sum() < FEWEST_MATCHES:
        return None
    rays = [evidence.rays(both, frame) for frame in (first, second)]
    a, b = (r / np.linalg.norm(r, axis=1, keepdims=True) for r in rays)
    # Five points suffice in the middle of the image, where a plane holds them; eight over the whole field.
    central = np.isfinite(start).all(axis=1) & np.isfinite(end).all(axis=1)
    essential, _ = _essential(start[central], end[central], max_error)
    tolerance_rad = max_error_px / np.minimum(lens.scale_px[both, first], lens.scale_px[both, second])
    return ray_two_view(a, b, tolerance_rad, None if essential is None else essential[None])


def two_view(first: FloatArray, second: FloatArray, max_error: float) -> FloatArray | None:
    """Pose of the second camera in the first, baseline 1, from matches on the planes z = 1.

    Args:
        first, second: (M, 2) points of the matches.
        max_error: epipolar error of an inlier, on the plane.

    Returns:
        4x4, or None where there are too few matches or no essential matrix fits them.
    """
    essential, mask = _essential(first, second, max_error)
    if essential is None:
        return None
    _, rotation, translation, _ = cv2.recoverPose(essential, first, second, np.eye(3), mask=mask)
    pose = make_pose(rotation.T, -rotation.T @ np.ravel(translation))
    return pose if np.isfinite(pose).all() else None


def _essential(
    first: FloatArray, second: FloatArray, max_error: float
) -> tuple[FloatArray | None, npt.NDArray[np.uint8] | None]:
    """Essential matrix of `two_view`, and which matches agree."""
    if len(first) < FEWEST_MATCHES:
        return None, None
    essential, mask = cv2.findEssentialMat(first, second, np.eye(3), cv2.USAC_DEFAULT, 0.999, max_error)
    if essential is None or essential.shape != (3, 3) or not np.isfinite(essential).all():
        return None, None
    return np.asarray(essential, float), np.asarray(mask, np.uint8)


def _constant_velocity(frames: int, i: int, j: int, j_to_i: FloatArray) -> FloatArray:
    """(N, 4, 4) in frame i: the motion from i to j, evenly spread and continued to the others."""
    share = (np.arange(frames) - i) / (j - i)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = rotation_from_vector(share[:, None] * rotation_vector(j_to_i[:3, :3]))
    poses[:, :3, 3] = share[:, None] * j_to_i[:3, 3]
    poses[j] = j_to_i
    return poses


def _resect(problem: BundleProblem, poses: FloatArray, pairs: FloatArray) -> FloatArray:
    """The poses (H, N, 4, 4) with all frames but a pair each (H, 2) solved anew against the depths of that pair."""
    anchor = problem.evidence.anchor
    known = np.zeros(poses.shape[:2], bool)
    known[np.arange(len(pairs))[:, None], pairs] = True
    anchored = known[:, anchor]
    depths = triangulate(problem, poses, (anchored[..., None] & known[:, None]).astype(float))
    if problem.evidence.frames > 2:
        usable = anchored & (depths > 0)
        weights = (usable[..., None] & ~known[:, None]).astype(float)
        refined = refine(problem, poses, _RESECT, weights=weights, inverse_depth=depths, fixed=known, keep_depths=True)
        poses = refined.camera_to_first
    return np.asarray(inverse_pose(poses[:, :1]) @ poses)
