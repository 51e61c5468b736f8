"""Clip to cameras: evidence, hypotheses of two-view geometry, the learned prior, bundle adjustment, confidence.

Between the stages a hypothesis is the pose of every camera in the first. The learned prior, where there is one, takes
hypotheses and returns better ones, with a probability for every observation of the evidence; bundle adjustment refines
all of them at once, and the answer is the one that explains the evidence best.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ros2_raxels.engine import EngineError, Say
from ros2_raxels.estimation.bundle_adjustment import BundleProblem, Refined, RefineSettings, parallax_px
from ros2_raxels.estimation.clip_covariance import pose_covariance
from ros2_raxels.estimation.focal import find_focal, guessed_camera
from ros2_raxels.estimation.guidance import Guided, choose_world, explained, guide, guide_widely, settle
from ros2_raxels.estimation.hypotheses import Denoiser, PoseHypotheses
from ros2_raxels.estimation.inliers import ENOUGH_IN_CLIP, FEWEST_MATCHES, INLIER_PX, inlier_confidence
from ros2_raxels.estimation.two_view import pairs_by_use, propose
from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray, direction_angle_rad, rotation_angle_rad
from ros2_raxels.geometry.raxel_grid import clip_bearings
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.learned import LearnedMatcher
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import Evidence, EvidenceSettings, PairMatches
from ros2_raxels.utils.timing import timed

_ENOUGH_PARALLAX_PX = 3.0
_DOUBTFUL_TURN_RAD, _DOUBTFUL_DIRECTION_RAD = 0.1, 0.5
"""Differences between contending hypotheses that divide confidence by e each."""

_MUCH_EXPLAINED = 0.75
"""Share of the picture that one motion explains, from which on no other is looked for unless that is asked for."""

_LOG = logging.getLogger(__name__)

Matches = Mapping[tuple[int, int], PairMatches]

ALWAYS_LEARNED = 2.0
"""Of `EstimatorSettings.weak`: above all confidences."""

_CLEARLY_LESS = 0.1
"""Confidence: if learned keypoints give so much less, they are not taken. Like `EstimatorSettings.weak` chosen on the
training sets, where the learned answer to weak evidence is the better one more often than it says so."""

_MUCH_MOVES = 0.25
"""Share of the observations: where a second motion has so many, it is why there is little confidence, and learned
keypoints might well take it for the world. Between what wrong matches of the training sets have and things that move
over 30 % of rendered clips."""

LEARNED_STAGE = "learned"
"""Of `ClipEstimate.stage_s`: keypoints and matches of the learned matcher; there alone where that was asked."""

_FIRST_PAIRS = 2
"""Pairs of frames that hypotheses are proposed from at first."""


@dataclass(frozen=True)
class ClipEstimate:
    """Cameras of a clip of N frames. The world is the first camera's optical frame; the unit is the clip's own.

    Attributes:
        cameras: intrinsics used, as given or as estimated.
        camera_to_first: (N, 4, 4).
        confidence: (N,) 0 (a guess) to 1.
        covariance: (N, 6, 6) of (x, y, z, rotation about x, y, z), axes of the first camera, clip units and rad; see
            `clip_covariance.pose_covariance`.
        spread_rotation_rad, spread_direction_rad: (N,) largest difference to another hypothesis that explains the
            evidence almost as well.
        parallax_px: (N,) median over inliers shared with the frame where that is largest; px of the working image.
        residual_px: (N,) median over inliers, px of the working image, NaN without any.
        inliers, observations: (N,) numbers of them in each frame.
        inverse_depth: (P,) of each track in its anchor frame.
        evidence: P tracks over N frames, through `cameras`.
        second_motion: (P, N) observations of something that moves on its own, and not with the world.
        stage_s: wall time by stage.
        is_learned: whether the keypoints of the evidence are the learned ones.
    """

    cameras: tuple[Camera, ...]
    camera_to_first: FloatArray
    confidence: FloatArray
    covariance: FloatArray
    spread_rotation_rad: FloatArray
    spread_direction_rad: FloatArray
    parallax_px: FloatArray
    residual_px: FloatArray
    inliers: npt.NDArray[np.integer]
    observations: npt.NDArray[np.integer]
    inverse_depth: FloatArray
    evidence: Evidence
    second_motion: npt.NDArray[np.bool_]
    stage_s: dict[str, float]
    is_learned: bool = False


@dataclass(frozen=True)
class EstimatorSettings:
    """Settings of the stages.

    Attributes:
        evidence: of the matcher.
        refine: the wide steps, before those that suit the noise of the clip; without iterations hypotheses stay as
            they are.
        sure: share of the picture that hypotheses from two pairs of frames must explain, with parallax, so that
            neither the other pairs nor the learned prior are asked; above 1 both always are.
        moving: whether something else may move: the loss narrows to the noise of the clip, and second motions are
            looked for; otherwise only where one motion leaves much of the picture unexplained.
        weak: least confidence of all cameras of a clip, below which it is solved again with learned keypoints, where
            there is a matcher for them; `ALWAYS_LEARNED` takes these whatever either is worth.
    """

    evidence: EvidenceSettings = field(default_factory=lambda: EvidenceSettings(keypoint_reach=0.5))
    refine: RefineSettings = field(default_factory=RefineSettings)
    sure: float = 0.75
    moving: bool = True
    weak: float = 0.6


class Estimator:
    """Cameras of short clips. May be kept for the life of a process; not for use by two threads at once.

    Args:
        settings: of the stages.
        denoiser: the learned prior; None leaves two-view geometry alone.
        matcher: with the same settings of evidence; None for one of its own.
        learned: matcher for clips in which the evidence is weak; None leaves them as they are.
        warn: told once if that one fails, and is not used any more.
    """

    def __init__(
        self,
        settings: EstimatorSettings | None = None,
        denoiser: Denoiser | None = None,
        matcher: Matcher | None = None,
        learned: LearnedMatcher | None = None,
        warn: Say = _LOG.warning,
    ) -> None:
        self.settings = settings or EstimatorSettings()
        self.matcher = matcher or Matcher(self.settings.evidence)
        self._denoiser, self._learned, self._warn = denoiser, learned, warn

    def estimate(
        self, images: Sequence[npt.NDArray[np.uint8]], cameras: Sequence[Camera] | None = None
    ) -> ClipEstimate:
        """Cameras of a clip.

        Args:
            images: two or more, (h, w) or (h, w, 3) RGB, uint8.
            cameras: intrinsics of each image; None estimates one focal length for all of them (square pixels, centred
                principal point, no distortion).

        Raises:
            ValueError: fewer than two images, a wrong shape or dtype, or a camera that does not fit its image.
        """
        stage_s: dict[str, float] = {}
        _check(images, cameras)
        with timed(stage_s, "describe"):
            features = self.matcher.look_all(images)
        clip = self.estimate_seen(features, _working(features, cameras), stage_s)
        return replace(clip, cameras=_as_given(images, cameras, clip.cameras))

    def estimate_seen(
        self,
        features: Sequence[Features],
        cameras: Sequence[Camera] | None,
        stage_s: dict[str, float] | None = None,
        matches: Matches | None = None,
    ) -> ClipEstimate:
        """`estimate` for frames that the matcher has looked at before.

        Args:
            features: two or more.
            cameras: of the working images; None estimates one focal length.
            stage_s: wall times, added to by stage.
            matches: of all pairs (i, j), i < j, where they are known; they are looked for otherwise.
        """
        stage_s = {} if stage_s is None else stage_s
        with timed(stage_s, "evidence"):
            matches = self.matcher.match_every_pair(features) if matches is None else matches
        found = self._solved(self.matcher, features, cameras, matches, stage_s)
        if self._learned is None or not self._is_weak(found):
            return found
        return self._with_learned(self._learned, features, cameras, matches, found)

    def _is_weak(self, found: ClipEstimate) -> bool:
        """Whether there is little that supports an estimate, and not only much that moves."""
        observed = int(found.evidence.seen.sum()) - len(found.evidence.anchor)
        moves = found.second_motion.sum() > _MUCH_MOVES * observed
        return self.settings.weak >= ALWAYS_LEARNED or bool(found.confidence.min() < self.settings.weak and not moves)

    def _with_learned(
        self,
        learned: LearnedMatcher,
        features: Sequence[Features],
        cameras: Sequence[Camera] | None,
        matches: Matches,
        found: ClipEstimate,
    ) -> ClipEstimate:
        """Another estimate with learned keypoints, unless it is clearly less sure of itself."""
        stage_s = found.stage_s
        try:
            with timed(stage_s, LEARNED_STAGE):
                better = learned.in_place_of(features, matches)
        except EngineError as error:
            self._learned = None
            self._warn(f"matcher: classic from now on, because the learned one failed: {error}")
            return found
        other = replace(self._solved(learned, features, cameras, better, stage_s), is_learned=True)
        worse = other.confidence.min() < found.confidence.min() - _CLEARLY_LESS
        return found if worse and self.settings.weak < ALWAYS_LEARNED else other

    def _solved(
        self,
        matcher: Matcher,
        features: Sequence[Features],
        cameras: Sequence[Camera] | None,
        matches: Matches,
        stage_s: dict[str, float],
    ) -> ClipEstimate:
        given = list(cameras) if cameras is not None else [guessed_camera(f) for f in features]
        with timed(stage_s, "evidence"):
            evidence = matcher.collect(features, given, matches)
        problem = BundleProblem.of(evidence)
        if cameras is None:
            with timed(stage_s, "focal"):
                given = find_focal(features, problem, self.settings.refine)
            problem = problem.through(given)
        guided = self._guided(problem, given, stage_s)
        with timed(stage_s, "assess"):
            return _answer(given, problem, guided, stage_s)

    def _guided(self, problem: BundleProblem, cameras: Sequence[Camera], stage_s: dict[str, float]) -> Guided:
        """The answer from few pairs of frames, if it explains nearly all of the evidence; from all pairs if not."""
        settings, pairs = self.settings, pairs_by_use(problem.evidence.frames)
        if settings.sure > 1.0 or not settings.moving or not settings.refine.iterations:
            with timed(stage_s, "propose"):
                poses = propose(problem)
            return self._thoroughly(problem, cameras, poses, stage_s)
        with timed(stage_s, "propose"):
            poses = propose(problem, pairs[:_FIRST_PAIRS])
        if len(poses):
            with timed(stage_s, "guide"):
                settled = settle(problem, poses, settings.refine)
                share = explained(problem, settled.refined, settled.width_px)
                if share >= settings.sure and _shows_depth(problem, settled.refined):
                    return choose_world(problem, settled)
            poses = settled.refined.camera_to_first
        with timed(stage_s, "propose"):
            poses = np.concatenate([poses, propose(problem, pairs[_FIRST_PAIRS:])])
        return self._thoroughly(problem, cameras, poses, stage_s)

    def _thoroughly(
        self, problem: BundleProblem, cameras: Sequence[Camera], poses: FloatArray, stage_s: dict[str, float]
    ) -> Guided:
        """The answer from hypotheses (H, N, 4, 4), H possibly 0, and what the learned prior makes of the evidence."""
        with timed(stage_s, "propose"):
            hypotheses = PoseHypotheses(poses if len(poses) else np.eye(4)[None, None].repeat(len(cameras), axis=1))
            if self._denoiser is not None:
                hypotheses = self._denoiser.denoise(problem.evidence, clip_bearings(cameras), hypotheses)
        with timed(stage_s, "guide"):
            if self.settings.moving:
                return guide(problem, hypotheses, self.settings.refine)
            static = guide_widely(problem, hypotheses, self.settings.refine)
            if explained(problem, static.refined, max(static.width_px, INLIER_PX)) >= _MUCH_EXPLAINED:
                return static
            return guide(problem, hypotheses, self.settings.refine)


def _shows_depth(problem: BundleProblem, refined: Refined) -> bool:
    """Whether every camera has enough parallax to another one."""
    parallax = _parallax(problem, refined.camera_to_first[0], refined.residual_px[0] < INLIER_PX)
    return bool(parallax.min() >= _ENOUGH_PARALLAX_PX)


def _answer(
    cameras: Sequence[Camera], problem: BundleProblem, guided: Guided, stage_s: dict[str, float]
) -> ClipEstimate:
    """The best hypothesis, and how far it is to be trusted."""
    refined = guided.refined
    evidence, poses, residual_px = problem.evidence, refined.camera_to_first[0], refined.residual_px[0]
    close = residual_px < INLIER_PX
    agree = _with_anchors(close, evidence)
    inliers = agree.sum(axis=0)
    observations = _with_anchors(np.isfinite(residual_px), evidence).sum(axis=0)
    rotation_rad, direction_rad = _spread(refined.contenders)
    parallax = _parallax(problem, poses, close)
    confidence = inlier_confidence(inliers, observations, ENOUGH_IN_CLIP)
    confidence = confidence * np.minimum(1.0, parallax / _ENOUGH_PARALLAX_PX)
    confidence = confidence * np.exp(-rotation_rad / _DOUBTFUL_TURN_RAD - direction_rad / _DOUBTFUL_DIRECTION_RAD)
    return ClipEstimate(
        cameras=tuple(cameras),
        camera_to_first=poses,
        confidence=confidence,
        covariance=pose_covariance(refined, float(confidence.min())),
        spread_rotation_rad=rotation_rad,
        spread_direction_rad=direction_rad,
        parallax_px=parallax,
        residual_px=_median_residual(residual_px, agree),
        inliers=inliers,
        observations=observations,
        inverse_depth=refined.inverse_depth[0],
        evidence=evidence,
        second_motion=guided.second_motion,
        stage_s=stage_s,
    )


def _with_anchors(observed: npt.NDArray[np.bool_], evidence: Evidence) -> npt.NDArray[np.bool_]:
    """(P, N), with a track counted in its anchor as well where it is in any other frame: a match speaks for both."""
    counted = observed.copy()
    counted[np.arange(len(observed)), evidence.anchor] = observed.any(axis=1)
    return counted


def _spread(contenders: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(N,) largest rotation and direction, rad, between the first of some hypotheses (C, N, 4, 4) and the others."""
    best, frames = contenders[0], contenders.shape[1]
    rotation, direction = np.zeros(frames), np.zeros(frames)
    for other in contenders[1:]:
        turn = rotation_angle_rad(np.swapaxes(other[:, :3, :3], -1, -2) @ best[:, :3, :3])
        rotation = np.maximum(rotation, turn)
        angles = [direction_angle_rad(a, b) for a, b in zip(other[1:, :3, 3], best[1:, :3, 3], strict=True)]
        direction[1:] = np.maximum(direction[1:], angles)
    return rotation, direction


def _parallax(problem: BundleProblem, poses: FloatArray, close: npt.NDArray[np.bool_]) -> FloatArray:
    """(N,) median of the observations (P, N) that agree, to the frame where it is largest."""
    evidence = problem.evidence
    values = np.where(close, parallax_px(problem, poses), np.nan)
    between = np.zeros((evidence.frames, evidence.frames))
    for anchor, frame in itertools.permutations(range(evidence.frames), 2):
        seen = values[evidence.anchor == anchor, frame]
        seen = seen[np.isfinite(seen)]
        between[anchor, frame] = np.median(seen) if len(seen) >= FEWEST_MATCHES else 0.0
    return np.asarray(np.maximum(between, between.T).max(axis=0))


def _median_residual(residual_px: FloatArray, agree: npt.NDArray[np.bool_]) -> FloatArray:
    values = np.where(agree, residual_px, np.nan)
    return np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else np.nan for c in values.T])


def _working(features: Sequence[Features], cameras: Sequence[Camera] | None) -> list[Camera] | None:
    return None if cameras is None else [f.working_camera(c) for f, c in zip(features, cameras, strict=True)]


def _as_given(
    images: Sequence[npt.NDArray[np.uint8]],
    given: Sequence[Camera] | None,
    working: Sequence[Camera],
) -> tuple[Camera, ...]:
    if given is not None:
        return tuple(given)
    return tuple(c.resized(i.shape[1], i.shape[0]) for c, i in zip(working, images, strict=True))


def _check(images: Sequence[npt.NDArray[np.uint8]], cameras: Sequence[Camera] | None) -> None:
    if len(images) < 2:
        raise ValueError(f"a clip of {len(images)} image(s) has no motion; give two or more")
    if cameras is None:
        return
    if len(cameras) != len(images):
        raise ValueError(f"{len(images)} images but {len(cameras)} cameras; give one for each")
    for index, (image, camera) in enumerate(zip(images, cameras, strict=True)):
        camera.check_fits(image, f"image {index}")
