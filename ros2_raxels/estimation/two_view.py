"""Starting cameras for a clip: one hypothesis from the two-view geometry of each pair of frames."""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from ros2_raxels.estimation.bundle_adjustment import RefineSettings, refine, triangulate
from ros2_raxels.geometry.poses import FloatArray, inverse_pose, make_pose, rotation_from_vector, rotation_vector
from ros2_raxels.matching.tracks import Evidence

_MIN_MATCHES = 8
_RESECT = RefineSettings(widths_px=(20.0, 10.0, 10.0, 5.0, 5.0, 3.0, 3.0, 2.0), iterations=8)


def propose(evidence: Evidence, max_error_px: float = 1.0) -> FloatArray:
    """Hypotheses (H, N, 4, 4) of ``camera_to_first``, none where no pair of frames has enough matches.

    For each pair: essential matrix (OpenCV USAC), depths from that pair, then the other frames by robust resection
    against those depths, starting from constant velocity.
    """
    starts, pairs = [], []
    for i, j in itertools.combinations(range(evidence.frames), 2):
        pose = two_view(*evidence.pair(i, j), max_error_px / float(evidence.focal_px[i]))
        if pose is not None:
            starts.append(_constant_velocity(evidence.frames, i, j, pose))
            pairs.append((i, j))
    if not starts:
        return np.zeros((0, evidence.frames, 4, 4))
    return _resect(evidence, np.array(starts), np.array(pairs))


def two_view(first: FloatArray, second: FloatArray, max_error: float) -> FloatArray | None:
    """Pose of the second camera in the first (unit baseline) from matches (M, 2) on the image planes, or None."""
    if len(first) < _MIN_MATCHES:
        return None
    essential, mask = cv2.findEssentialMat(first, second, np.eye(3), cv2.USAC_DEFAULT, 0.999, max_error)
    if essential is None or essential.shape != (3, 3) or not np.isfinite(essential).all():
        return None
    _, rotation, translation, _ = cv2.recoverPose(essential, first, second, np.eye(3), mask=mask)
    pose = make_pose(rotation.T, -rotation.T @ np.ravel(translation))
    return pose if np.isfinite(pose).all() else None


def _constant_velocity(frames: int, i: int, j: int, j_to_i: FloatArray) -> FloatArray:
    """(N, 4, 4) in frame i: the motion from i to j, evenly spread and continued to the others."""
    share = (np.arange(frames) - i) / (j - i)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = rotation_from_vector(share[:, None] * rotation_vector(j_to_i[:3, :3]))
    poses[:, :3, 3] = share[:, None] * j_to_i[:3, 3]
    poses[j] = j_to_i
    return poses


def _resect(evidence: Evidence, poses: FloatArray, pairs: FloatArray) -> FloatArray:
    known = np.zeros(poses.shape[:2], bool)
    known[np.arange(len(pairs))[:, None], pairs] = True
    anchored = known[:, evidence.anchor]
    depths = triangulate(evidence, poses, (anchored[..., None] & known[:, None]).astype(float))
    if evidence.frames > 2:
        usable = anchored & (depths > 0)
        weights = (usable[..., None] & ~known[:, None]).astype(float)
        refined = refine(evidence, poses, _RESECT, weights=weights, inverse_depth=depths, fixed=known, keep_depths=True)
        poses = refined.camera_to_first
    return np.asarray(inverse_pose(poses[:, :1]) @ poses)
