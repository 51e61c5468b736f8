"""Pose of one frame against keyframes whose poses are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ros2_raxels.estimation.bundle_adjustment import BundleProblem, Refined, RefineSettings, refine, triangulate
from ros2_raxels.estimation.clip_covariance import INFLATION
from ros2_raxels.estimation.hypotheses import Denoiser, PoseHypotheses, possible
from ros2_raxels.estimation.inliers import ENOUGH_IN_STREAM, FEWEST_MATCHES, INLIER_PX, inlier_confidence
from ros2_raxels.estimation.two_view import pair_pose
from ros2_raxels.geometry.covariance import at_most_unknown, compounded, in_world_axes, with_unit
from ros2_raxels.geometry.poses import (
    FloatArray,
    make_pose,
    orthogonal,
    relative_pose,
    rotation_angle_rad,
)
from ros2_raxels.geometry.raxel_grid import clip_bearings
from ros2_raxels.matching.tracks import Evidence
from ros2_raxels.tracking.frame import Keyframe
from ros2_raxels.tracking.frame_pose import Beside, solve_pose
from ros2_raxels.tracking.types import SolveQuality

_ENOUGH_KNOWN = 12
_LEAST_SHARE = 1e-6
_RESECT = RefineSettings(widths_px=(20.0, 12.0, 8.0, 5.0, 3.0, 2.0), iterations=6)
_POLISH = RefineSettings(widths_px=(3.0, 2.0), iterations=4)


@dataclass(frozen=True)
class FrameSolve:
    """One frame against keyframes.

    Attributes:
        camera_to_world: 4x4, in the world of the keyframes.
        covariance: 6x6 of (translation, rotation about the world's axes), the keyframes taken as exact.
        quality: how well the evidence agrees with the pose.
        inverse_depth: (P,) of the tracks of the evidence, in their anchor frames.
        agrees: (P,) which of them agree.
        beside: the last two of the tracks that other cameras of a rig see, one pair for each camera.
    """

    camera_to_world: FloatArray
    covariance: FloatArray
    quality: SolveQuality
    inverse_depth: FloatArray
    agrees: npt.NDArray[np.bool_]
    beside: tuple[tuple[FloatArray, npt.NDArray[np.bool_]], ...] = ()


class FrameSolver:
    """Solves for the last frame of evidence; the keyframes before it hold the place and the scale.

    Args:
        denoiser: the learned prior, for frames that the given starts explain badly; None leaves two-view geometry
            alone with them.
        sure: above this confidence no other start is tried.
    """

    def __init__(self, denoiser: Denoiser | None, sure: float) -> None:
        self._denoiser = denoiser
        self._sure = sure

    def solve(
        self, starts: Sequence[FloatArray], anchors: Sequence[Keyframe], evidence: Evidence, step: float
    ) -> FrameSolve | None:
        """The best of the given starts and, where they explain the frame badly, of others as well.

        Args:
            starts: poses (4, 4) of the frame, likeliest first.
            anchors: the keyframes of the evidence, in order.
            evidence: of the keyframes and, last, the frame.
            step: distance from the newest keyframe to believe where only the direction is known.

        Returns:
            None where there is next to no evidence.
        """
        if len(evidence.anchor) < FEWEST_MATCHES:
            return None
        solved = self.solve_from(starts, anchors, evidence)
        if solved.quality.confidence >= self._sure:
            return solved
        rivals, weights = self._two_view_start(anchors, evidence, step), None
        if self._denoiser is not None:
            denoised, weights = self._denoised_starts(self._denoiser, anchors, evidence, solved.camera_to_world)
            rivals += denoised
        if not rivals:
            return solved
        return self.solve_from([solved.camera_to_world, *starts, *rivals], anchors, evidence, weights)

    def solve_from(
        self,
        starts: Sequence[FloatArray],
        anchors: Sequence[Keyframe],
        evidence: Evidence,
        weights: FloatArray | None = None,
        beside: Sequence[Beside] = (),
    ) -> FrameSolve:
        """The best of the given starts alone.

        Args:
            starts: poses (4, 4) of the frame; one where `beside` is given.
            anchors: the keyframes of the evidence, in order.
            evidence: of the keyframes and, last, the frame.
            weights: (P, N) of the observations.
            beside: what other cameras of a rig see.
        """
        if len(starts) == 1 and weights is None and (beside or _starts_in_keyframes(evidence, len(anchors))):
            return _solve_one(starts[0], anchors, evidence, beside)
        new, problem = len(anchors), BundleProblem.of(evidence)
        poses: FloatArray = np.array([[*(a.camera_to_world for a in anchors), start] for start in starts])
        fixed = np.arange(new + 1) < new
        # Depths come from the keyframes first, so that a wrong start cannot bend them.
        among = np.ones(evidence.seen.shape)
        among[:, new] = 0.0
        has_depth = evidence.seen[:, :new].sum(axis=1) > 1
        if evidence.known is not None:
            has_depth |= evidence.known.there
        known = has_depth.astype(float)[:, None] * (1.0 - among)
        if weights is not None:
            known = known * weights
        if known.sum() > _ENOUGH_KNOWN:
            depths = triangulate(problem, poses, among)
            poses = refine(
                problem, poses, _RESECT, weights=known, inverse_depth=depths, fixed=fixed, keep_depths=True
            ).camera_to_first
        return _summary(refine(problem, poses, _POLISH, weights=weights, fixed=fixed), new)

    @staticmethod
    def _two_view_start(anchors: Sequence[Keyframe], evidence: Evidence, step: float) -> list[FloatArray]:
        """Two-view pose to the newest keyframe; none where there is none."""
        relative = pair_pose(evidence, len(anchors) - 1, len(anchors), 1.0)
        if relative is None:
            return []
        return [anchors[-1].camera_to_world @ make_pose(relative[:3, :3], relative[:3, 3] * step)]

    @staticmethod
    def _denoised_starts(
        denoiser: Denoiser, anchors: Sequence[Keyframe], evidence: Evidence, expected: FloatArray
    ) -> tuple[list[FloatArray], FloatArray | None]:
        """Poses that the prior finds likely, in the unit of the keyframes, and weights of the observations."""
        world = np.array([*(a.camera_to_world for a in anchors), expected])
        clip = relative_pose(world[0], world)
        reach, known = (float(np.linalg.norm(p[:, :3, 3], axis=1).max()) for p in (clip, clip[:-1]))
        if known <= _LEAST_SHARE * reach or reach <= 0.0:
            return [], None
        clip[:, :3, 3] /= reach
        bearings = clip_bearings([*(a.camera for a in anchors), anchors[-1].camera])
        out = denoiser.denoise(evidence, bearings, PoseHypotheses(clip[None]))
        poses = out.camera_to_first.copy()
        found = np.linalg.norm(poses[:, :-1, :3, 3], axis=-1).max(axis=1)
        # Where the prior lets the keyframes coincide it says nothing about their unit.
        scale = np.where(found > 0.1 * known / reach, known / np.maximum(found, _LEAST_SHARE), reach)
        poses[:, :, :3, 3] *= scale[:, None, None]
        return list(world[0] @ poses[:, -1]), None if out.inlier is None else possible(out.inlier)


def _starts_in_keyframes(evidence: Evidence, new: int) -> bool:
    """Whether every track starts in a keyframe and is seen in the frame."""
    return bool(len(evidence.anchor) and (evidence.anchor < new).all() and evidence.seen[:, new].all())


def _solve_one(
    start: FloatArray, anchors: Sequence[Keyframe], evidence: Evidence, beside: Sequence[Beside]
) -> FrameSolve:
    found = solve_pose(start, [a.camera_to_world for a in anchors], evidence, beside)
    covariance = _covariance(found.information / RefineSettings().noise_px ** 2, found.camera_to_world)
    agree = found.residual_px < INLIER_PX
    quality = _quality(found.residual_px, agree)
    first, others, begin = len(evidence.anchor), [], len(evidence.anchor)
    for other in beside:
        end = begin + len(other.evidence.anchor)
        others.append((found.inverse_depth[begin:end], agree[begin:end]))
        begin = end
    depth, agrees = found.inverse_depth[:first], agree[:first]
    return FrameSolve(found.camera_to_world, covariance, quality, depth, agrees, tuple(others))


def _summary(refined: Refined, new: int) -> FrameSolve:
    residual = refined.residual_px[0, :, new]
    agree = residual < INLIER_PX
    rivals = refined.contenders[:, new]
    motion = relative_pose(rivals[0], rivals)
    quality = replace(
        _quality(residual, agree),
        spread_rotation_rad=float(rotation_angle_rad(motion[:, :3, :3]).max()),
        spread_translation=float(np.linalg.norm(motion[:, :3, 3], axis=1).max()),
    )
    pose = orthogonal(refined.camera_to_first[0, new])
    information = refined.information_of(0)[6 * new : 6 * new + 6, 6 * new : 6 * new + 6]
    return FrameSolve(pose, _covariance(information, pose), quality, refined.inverse_depth[0], agree)


def _quality(residual_px: FloatArray, agree: npt.NDArray[np.bool_]) -> SolveQuality:
    """Of a solve with one hypothesis; residuals (P,), NaN where a track is not seen in the frame."""
    inliers, observed = int(agree.sum()), int(np.isfinite(residual_px).sum())
    return SolveQuality(
        float(inlier_confidence(inliers, observed, ENOUGH_IN_STREAM)),
        float(np.median(residual_px[agree])) if inliers else float("nan"),
        observed,
        inliers,
    )


def _covariance(information: FloatArray, camera_to_world: FloatArray) -> FloatArray:
    """Information of (rotation in the camera, translation) to covariance of (translation, rotation), world axes."""
    spread = INFLATION**2 * np.linalg.pinv(information + 1e-9 * np.eye(6), hermitian=True)
    return at_most_unknown(in_world_axes(spread, camera_to_world))


def accumulated(anchors: Sequence[Keyframe], camera_to_world: FloatArray, covariance: FloatArray) -> FloatArray:
    """7x7 covariance since the trajectory began of a frame that was solved against keyframes.

    Args:
        anchors: the keyframes, the newest last; its uncertainty is compounded.
        camera_to_world: 4x4, of the frame.
        covariance: 6x6 of its solve, the keyframes taken as exact.
    """
    last = anchors[-1]
    # What the frame adds to what is known of the unit: the error of a baseline over its length.
    baseline = max(float(np.linalg.norm(camera_to_world[:3, 3] - a.camera_to_world[:3, 3])) for a in anchors)
    unit = min(float(np.trace(covariance[:3, :3])) / max(baseline, 1e-9) ** 2, 1.0)
    if last.depth is not None:
        # A sensor tells the same unit to every keyframe.
        unit = 0.0
    return compounded(last.covariance, last.camera_to_world, camera_to_world) + with_unit(covariance, unit)
