"""The figures of one clip: correspondences, what the model thinks of them, hypotheses before and after guidance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt

from ros2_raxels.estimation.bundle_adjustment import BundleProblem
from ros2_raxels.estimation.estimator import EstimatorSettings
from ros2_raxels.estimation.guidance import guide
from ros2_raxels.estimation.hypotheses import PoseHypotheses
from ros2_raxels.estimation.learned_prior import LearnedDenoiser, load_denoiser
from ros2_raxels.estimation.two_view import propose
from ros2_raxels.figures.page import Page
from ros2_raxels.figures.walk import TrackedWalk
from ros2_raxels.geometry.poses import FloatArray, direction_angle_rad, relative_pose
from ros2_raxels.geometry.raxel_grid import clip_bearings
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import Evidence
from ros2_raxels.visualization.drawing import DOTTED, FONT, MUTED, TEXT, TRUTH

_STEP, _FRAMES = 25, 4
_RIGHT, _WRONG = "#5ef2b8", "#ff5f6d"
_LIKELY = 0.5
_DIM = 0.55
_TILE_W, _TILE_H, _GAP, _MARGIN = 360, 270, 8, 20


@dataclass(frozen=True, eq=False)
class SolvedClip:
    """A clip, stage by stage.

    Attributes:
        grey: working images.
        evidence: of them.
        inlier: (P, N) probability that the model gives each observation.
        proposed, sampled, guided: (H, N, 4, 4) camera_to_first by stage.
        truth: (N, 4, 4) camera_to_first, the furthest at distance 1.
    """

    grey: list[npt.NDArray[np.uint8]]
    evidence: Evidence
    inlier: FloatArray
    proposed: FloatArray
    sampled: FloatArray
    guided: FloatArray
    truth: FloatArray


def solved_clip(walk: TrackedWalk) -> SolvedClip:
    """Four frames of the walk, taken through the stages of `estimation.estimator.Estimator`."""
    numbers = _STEP * np.arange(_FRAMES)
    settings, denoiser = EstimatorSettings(), load_denoiser("")
    assert isinstance(denoiser, LearnedDenoiser)
    matcher = Matcher(settings.evidence)
    features = matcher.look_all([walk.images[k] for k in numbers])
    cameras = [f.working_camera(walk.camera) for f in features]
    evidence = matcher.collect(features, cameras)
    problem = BundleProblem.of(evidence)
    proposed = propose(problem)
    hypotheses = denoiser.denoise(evidence, clip_bearings(cameras), PoseHypotheses(proposed))
    assert hypotheses.inlier is not None
    return SolvedClip(
        [f.grey for f in features],
        evidence,
        hypotheses.inlier,
        proposed,
        hypotheses.camera_to_first[len(proposed) :],
        guide(problem, hypotheses, settings.refine).refined.camera_to_first,
        _unit_reach(relative_pose(walk.truth[numbers[0]], walk.truth[numbers])),
    )


def _unit_reach(poses: FloatArray) -> FloatArray:
    scaled = poses.copy()
    scaled[..., :3, 3] /= np.linalg.norm(poses[..., :3, 3], axis=-1).max(axis=-1)[..., None, None]
    return scaled


# -------------------------------------------------------------------------------------------------------- evidence


def draw_evidence_figure(clip: SolvedClip) -> Page:
    """Correspondences of the first frame, and which of them the model believes; 1136 x 332 px."""
    page = Page(3 * _TILE_W + 2 * _GAP + 2 * _MARGIN, _TILE_H + 62)
    found = clip.evidence.seen & (clip.evidence.anchor == 0)[:, None]
    found[:, 0] = False
    likely = clip.inlier >= _LIKELY
    panels = (("Found", found, TEXT), ("Not believed", found & ~likely, _WRONG), ("Believed", found & likely, _RIGHT))
    with matplotlib.rc_context(FONT):
        for column, (name, chosen, colour) in enumerate(panels):
            left = _MARGIN + column * (_TILE_W + _GAP)
            page.heading(left, 22, name, f"{chosen.sum()} observations")
            _draw_tracks(page.axes(left, 42, _TILE_W, _TILE_H), clip, chosen, colour)
    return page


def _draw_tracks(axes: Any, clip: SolvedClip, chosen: npt.NDArray[np.bool_], colour: str) -> None:
    """Lines from points in the first frame to their positions in the others; ``chosen`` (P, N)."""
    image = cv2.resize(clip.grey[0], (_TILE_W, _TILE_H), interpolation=cv2.INTER_AREA)
    axes.imshow(np.repeat((_DIM * image).astype(np.uint8)[..., None], 3, axis=2), extent=_extent(clip), aspect="auto")
    track, frame = np.nonzero(chosen)
    start, end = clip.evidence.pixels[track, 0], clip.evidence.pixels[track, frame]
    axes.plot(*np.stack([start, end]).transpose(2, 0, 1), color=colour, lw=0.8, alpha=0.7)
    axes.scatter(*start.T, s=9, color=colour, linewidths=0, zorder=3)
    axes.set(xlim=_extent(clip)[:2], ylim=_extent(clip)[2:])


def _extent(clip: SolvedClip) -> tuple[float, float, float, float]:
    height, width = clip.grey[0].shape
    return (-0.5, width - 0.5, height - 0.5, -0.5)


# -------------------------------------------------------------------------------------------------------- guidance


def draw_guidance_figure(clip: SolvedClip) -> Page:
    """Camera hypotheses from above, stage by stage; 1136 x 332 px."""
    page = Page(3 * _TILE_W + 2 * _GAP + 2 * _MARGIN, _TILE_H + 62)
    stages = (("Two-view geometry", clip.proposed), ("Model, one step", clip.sampled), ("Guided", clip.guided))
    with matplotlib.rc_context(FONT):
        for column, (name, poses) in enumerate(stages):
            left = _MARGIN + column * (_TILE_W + _GAP)
            page.heading(left, 22, name, f"{_direction_deg(poses, clip.truth):.1f} deg off")
            _draw_hypotheses(page.axes(left, 42, _TILE_W, _TILE_H), _unit_reach(poses), clip.truth)
    return page


def _direction_deg(poses: FloatArray, truth: FloatArray) -> float:
    """Median direction error over hypotheses and frames."""
    angles = [direction_angle_rad(p[:3, 3], t[:3, 3]) for h in poses for p, t in zip(h[1:], truth[1:], strict=True)]
    return float(np.degrees(np.median(angles)))


def _draw_hypotheses(axes: Any, poses: FloatArray, truth: FloatArray) -> None:
    for k, colour in zip(range(len(poses)), matplotlib.colormaps["cool"](np.linspace(0, 1, len(poses))), strict=True):
        axes.plot(poses[k, :, 0, 3], poses[k, :, 2, 3], "o-", color=colour, lw=1.5, ms=4, alpha=0.85)
    axes.plot(truth[:, 0, 3], truth[:, 2, 3], "o", ls=DOTTED, color=TRUTH, lw=1.6, ms=6, mfc="none", zorder=5)
    axes.plot(0, 0, "o", color=TEXT, ms=8, zorder=6)
    axes.text(0.03, 0.05, f"{len(poses)} hypotheses, truth dotted", transform=axes.transAxes, color=MUTED)
    reach = 0.75
    middle = truth[:, (0, 2), 3].mean(axis=0)
    axes.set(
        xlim=(middle[0] - reach * _TILE_W / _TILE_H, middle[0] + reach * _TILE_W / _TILE_H),
        ylim=(middle[1] - reach, middle[1] + reach),
    )
