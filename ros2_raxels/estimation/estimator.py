"""Clip to cameras: evidence -> proposals -> (denoiser) -> guidance -> raxels -> decoded poses.

Raxels are the currency between the stages. A hypothesis is a raxel image per frame; the denoiser, where there is one,
takes hypotheses and returns better ones with an inlier probability for every correspondence; guidance decodes them,
pulls them onto the evidence and encodes them again; the answer is what the final raxels decode to.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ros2_raxels.estimation.bundle_adjustment import Refined, RefineSettings, parallax_px, refine
from ros2_raxels.estimation.clip_covariance import pose_covariance
from ros2_raxels.estimation.focal import find_focal, guessed_camera
from ros2_raxels.estimation.hypotheses import Denoiser, RaxelHypotheses, possible
from ros2_raxels.estimation.two_view import propose
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, direction_angle_rad, rotation_angle_rad
from ros2_raxels.geometry.raxel_grid import clip_bearings, decode_clip, encode_clip
from ros2_raxels.geometry.raxels import focal_from_raxels
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import Evidence, EvidenceSettings
from ros2_raxels.utils.timing import timed

_INLIER_PX = 2.0
_ENOUGH_INLIERS = 30.0
_ENOUGH_PARALLAX_PX = 3.0
_FEW = 8
_RIVAL_COST = 1.1
_SETTLED, _POLISHED = 4, 2
"""Hypotheses that are kept after the wide steps, and after the narrow ones."""


@dataclass(frozen=True)
class ClipEstimate:
    """Cameras of a clip of N frames. The world is the first camera's optical frame; the unit is the clip's own.

    Attributes:
        cameras: intrinsics used, as given or as estimated.
        camera_to_first: (N, 4, 4), decoded from `raxels`.
        raxels: (N, rows, columns, 3).
        confidence: (N,) 0 (a guess) to 1.
        covariance: (N, 6, 6) of (x, y, z, rotation about x, y, z), axes of the first camera, clip units and rad; see
            `uncertainty.pose_covariance`.
        spread_rotation_rad, spread_direction_rad: (N,) largest difference to a rival hypothesis that explains the
            evidence almost as well.
        parallax_px: (N,) median over inliers, towards the frame to which it is largest; working image.
        residual_px: (N,) median over inliers, in px of the working image, NaN without any.
        inliers, observations: (N,) of the evidence in each frame.
        inverse_depth: (P,) of each track in its anchor frame.
        evidence: what the answer rests on.
        stage_s: wall time by stage.
    """

    cameras: tuple[PinholeCamera, ...]
    camera_to_first: FloatArray
    raxels: FloatArray
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
    stage_s: dict[str, float]


@dataclass(frozen=True)
class EstimatorSettings:
    """Settings of the stages."""

    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    refine: RefineSettings = field(default_factory=RefineSettings)


class Estimator:
    """Cameras of short clips. Safe to keep for the life of a process; not for use from two threads at once."""

    def __init__(self, settings: EstimatorSettings | None = None, denoiser: Denoiser | None = None) -> None:
        self.settings = settings or EstimatorSettings()
        self.matcher = Matcher(self.settings.evidence)
        self._denoiser = denoiser

    def estimate(
        self, images: Sequence[npt.NDArray[np.uint8]], cameras: Sequence[PinholeCamera] | None = None
    ) -> ClipEstimate:
        """Cameras of a clip.

        Args:
            images: two or more, (h, w) or (h, w, 3) RGB, uint8.
            cameras: intrinsics of each image; None estimates one focal length for all (square pixels, principal point
                in the centre, no distortion).

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
        cameras: Sequence[PinholeCamera] | None,
        stage_s: dict[str, float] | None = None,
    ) -> ClipEstimate:
        """`estimate` for frames that were looked at before; cameras are those of the working images."""
        stage_s = {} if stage_s is None else stage_s
        given = list(cameras) if cameras is not None else [guessed_camera(f) for f in features]
        with timed(stage_s, "evidence"):
            evidence = self.matcher.collect(features, given)
        if cameras is None:
            with timed(stage_s, "focal"):
                given = find_focal(features, evidence, self.settings.refine)
            evidence = evidence.with_cameras(given)
        bearings = clip_bearings(given)
        with timed(stage_s, "propose"):
            hypotheses = self._hypotheses(evidence, bearings)
        with timed(stage_s, "guide"):
            hypotheses, refined = guide(evidence, bearings, hypotheses, self.settings.refine)
        with timed(stage_s, "decode"):
            return _answer(given, evidence, bearings, hypotheses, refined, stage_s, focal_known=cameras is not None)

    def _hypotheses(self, evidence: Evidence, bearings: FloatArray) -> RaxelHypotheses:
        poses = propose(evidence)
        if not len(poses):
            poses = np.tile(np.eye(4), (1, evidence.frames, 1, 1))
        hypotheses = RaxelHypotheses(encode_clip(bearings, poses))
        if self._denoiser is not None:
            hypotheses = self._denoiser.denoise(evidence, bearings, hypotheses)
        return hypotheses


def guide(
    evidence: Evidence, bearings: FloatArray, hypotheses: RaxelHypotheses, settings: RefineSettings
) -> tuple[RaxelHypotheses, Refined]:
    """Pull raxel hypotheses onto cameras that satisfy the evidence; best first."""
    poses = decode_clip(bearings, hypotheses.raxels)
    if hypotheses.inlier is None:
        refined = refine(evidence, poses, settings)
    else:
        refined = _guide_judged(evidence, poses, hypotheses.inlier, settings)
    return replace(hypotheses, raxels=encode_clip(bearings, refined.camera_to_first)), refined


def _guide_judged(evidence: Evidence, poses: FloatArray, inlier: FloatArray, settings: RefineSettings) -> Refined:
    """Few of many: all hypotheses take a few wide steps, the best go on, and what leads in the end is polished.

    The inlier probabilities choose between hypotheses; in the polish they only rule out what is surely wrong, because
    near the answer the residuals know better.
    """
    widths, steps = settings.widths_px, settings.iterations
    wide = replace(settings, widths_px=widths[:-1] or widths, iterations=steps // 3)
    found = refine(evidence, poses, wide, weights=inlier).best(_SETTLED)
    narrow = replace(settings, widths_px=widths[-2:], iterations=steps - steps // 3)
    found = refine(evidence, found.camera_to_first, narrow, weights=inlier, inverse_depth=found.inverse_depth)
    leading = found.best(_POLISHED)
    polish = replace(settings, widths_px=widths[-1:], iterations=steps // 2)
    return refine(
        evidence, leading.camera_to_first, polish, weights=possible(inlier), inverse_depth=leading.inverse_depth
    )


def _answer(
    cameras: Sequence[PinholeCamera],
    evidence: Evidence,
    bearings: FloatArray,
    hypotheses: RaxelHypotheses,
    refined: Refined,
    stage_s: dict[str, float],
    *,
    focal_known: bool,
) -> ClipEstimate:
    raxels = hypotheses.raxels[0]
    poses = decode_clip(bearings, raxels[None])[0]
    observed = np.isfinite(refined.residual_px[0])
    # A match between frames k and its anchor speaks for both.
    observed_or_anchor = observed.copy()
    observed_or_anchor[np.arange(len(observed)), evidence.anchor] = observed.any(axis=1)
    agree = observed & (refined.residual_px[0] < _INLIER_PX)
    agree[np.arange(len(agree)), evidence.anchor] = agree.any(axis=1)
    inliers, observations = agree.sum(axis=0), observed_or_anchor.sum(axis=0)
    rotation_rad, direction_rad = _spread(refined)
    share = inliers / np.maximum(observations, 1)
    parallax = _parallax(evidence, poses, refined.residual_px[0] < _INLIER_PX)
    confidence = share * np.minimum(1.0, inliers / _ENOUGH_INLIERS) * np.minimum(1.0, parallax / _ENOUGH_PARALLAX_PX)
    confidence = confidence * np.exp(-rotation_rad / 0.1 - direction_rad / 0.5)
    if not focal_known:
        cameras = [_with_focal(camera, raxels[0], bearings[0]) for camera in cameras]
    return ClipEstimate(
        tuple(cameras),
        poses,
        raxels,
        confidence,
        pose_covariance(refined, float(confidence.min())),
        rotation_rad,
        direction_rad,
        parallax,
        _median_residual(refined.residual_px[0], agree),
        inliers,
        observations,
        refined.inverse_depth[0],
        evidence,
        stage_s,
    )


def _spread(refined: Refined) -> tuple[FloatArray, FloatArray]:
    best, frames = refined.camera_to_first[0], refined.camera_to_first.shape[1]
    rotation, direction = np.zeros(frames), np.zeros(frames)
    for rival in refined.camera_to_first[1:][refined.cost[1:] < _RIVAL_COST * refined.cost[0] + 1e-9]:
        turn = rotation_angle_rad(np.swapaxes(rival[:, :3, :3], -1, -2) @ best[:, :3, :3])
        rotation = np.maximum(rotation, turn)
        angles = [direction_angle_rad(a, b) for a, b in zip(rival[1:, :3, 3], best[1:, :3, 3], strict=True)]
        direction[1:] = np.maximum(direction[1:], angles)
    return rotation, direction


def _parallax(evidence: Evidence, poses: FloatArray, agree: npt.NDArray[np.bool_]) -> FloatArray:
    values = np.where(agree, parallax_px(evidence, poses), np.nan)
    frames = evidence.frames
    between = np.zeros((frames, frames))
    for anchor, frame in itertools.permutations(range(frames), 2):
        seen = values[evidence.anchor == anchor, frame]
        seen = seen[np.isfinite(seen)]
        between[anchor, frame] = np.median(seen) if len(seen) >= _FEW else 0.0
    return np.asarray(np.maximum(between, between.T).max(axis=0))


def _median_residual(residual_px: FloatArray, agree: npt.NDArray[np.bool_]) -> FloatArray:
    values = np.where(agree, residual_px, np.nan)
    return np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else np.nan for c in values.T])


def _with_focal(camera: PinholeCamera, raxels: FloatArray, bearings: FloatArray) -> PinholeCamera:
    offsets = bearings[..., :2] / bearings[..., 2:] * (camera.fx, camera.fy)
    fx, fy = focal_from_raxels(raxels, offsets)
    return replace(camera, fx=fx, fy=fy)


def _working(features: Sequence[Features], cameras: Sequence[PinholeCamera] | None) -> list[PinholeCamera] | None:
    return None if cameras is None else [f.working_camera(c) for f, c in zip(features, cameras, strict=True)]


def _as_given(
    images: Sequence[npt.NDArray[np.uint8]],
    given: Sequence[PinholeCamera] | None,
    working: Sequence[PinholeCamera],
) -> tuple[PinholeCamera, ...]:
    if given is not None:
        return tuple(given)
    return tuple(c.resized(i.shape[1], i.shape[0]) for c, i in zip(working, images, strict=True))


def _check(images: Sequence[npt.NDArray[np.uint8]], cameras: Sequence[PinholeCamera] | None) -> None:
    if len(images) < 2:
        raise ValueError(f"a clip of {len(images)} image(s) has no motion; give two or more")
    if cameras is None:
        return
    if len(cameras) != len(images):
        raise ValueError(f"{len(images)} images but {len(cameras)} cameras; give one for each")
    for index, (image, camera) in enumerate(zip(images, cameras, strict=True)):
        camera.check_fits(image, f"image {index}")
