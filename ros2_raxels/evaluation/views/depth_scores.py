"""Depth of known frames beside OpenCV's stereo: ``python -m ros2_raxels.evaluation.views.depth_scores``.

A stereo pair walks through rendered rooms. Depth is that of its left image.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.factory import make_predictor
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.scenes.renderer import depth_map, render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import World, furnished_room
from ros2_raxels.view_synthesis.predictor import ViewPredictor

CAMERA = PinholeCamera(320, 240, 256.0, 256.0, 159.5, 119.5)
BASELINE_M = 0.12

FARTHEST_M = 50.0
"""Depths count as no larger: "too far to tell" is infinite."""

_RATE_HZ = 10.0
_MOMENTS = (12, 30, 55, 80)
_BEFORE = (9, 6, 3)
"""Moments of which images are known beside the one whose depth is wanted."""

_RIGHT = make_pose(np.eye(3), (BASELINE_M, 0.0, 0.0))
_DISPARITIES, _BLOCK_PX = 96, 5


@dataclass(frozen=True)
class DepthScore:
    """How well depths agree with the truth.

    Attributes:
        abs_rel: mean error over the true depth.
        within_quarter: share of the pixels whose depth is less than a factor of 1.25 off.
        share: of the pixels, that have a depth.
        within_sigma, within_two: share of the pixels that are off by less than one or two stated standard errors; NaN
            where none are stated.
    """

    abs_rel: float
    within_quarter: float
    share: float
    within_sigma: float
    within_two: float


def score_depth(
    depth: npt.ArrayLike, truth: FloatArray, sigma: npt.ArrayLike | None = None, known: npt.ArrayLike = True
) -> DepthScore:
    """Compare depths (H, W) with the truth.

    Args:
        depth: of each pixel.
        truth: not finite where there is none.
        sigma: stated standard error of each.
        known: where there is a depth.
    """
    counted = np.isfinite(truth)
    chosen = counted & np.broadcast_to(known, truth.shape)
    found, true = np.minimum(np.asarray(depth, float)[chosen], FARTHEST_M), truth[chosen]
    off = np.abs(found - true)
    stated = np.full(found.shape, np.nan) if sigma is None else np.asarray(sigma, float)[chosen]
    inside = [np.nan if sigma is None else float((off < k * stated).mean()) for k in (1, 2)]
    return DepthScore(
        float((off / true).mean()),
        float((np.maximum(found / true, true / found) < 1.25).mean()),
        float(chosen.sum() / counted.sum()),
        *inside,
    )


def stereo_depth(left: ImageArray, right: ImageArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """(H, W) depth of a rectified pair by OpenCV's semi-global matching, m, and where it found any."""
    smooth = 3 * _BLOCK_PX**2
    matcher = cv2.StereoSGBM.create(
        0, _DISPARITIES, _BLOCK_PX, 8 * smooth, 32 * smooth, 1, 63, 10, 100, 2, cv2.STEREO_SGBM_MODE_SGBM
    )
    disparity = matcher.compute(left, right).astype(float) / 16.0
    found = disparity > 0.0
    return CAMERA.fx * BASELINE_M / np.maximum(disparity, 1.0 / 16.0), found


def scores_of_room(predictor: ViewPredictor, room: World, path: FloatArray) -> Iterator[tuple[str, DepthScore]]:
    """Name of the method and score, for some moments of a walk (N, 4, 4) of the left camera."""
    for moment in _MOMENTS:
        truth = depth_map(room, CAMERA, path[moment])
        known = [moment - before for before in (*_BEFORE, 0)]
        lefts, rights = path[known], path[known] @ _RIGHT
        left, right = ([render(room, CAMERA, pose)[0] for pose in poses] for poses in (lefts, rights))
        for name, images, poses in (
            ("one camera, four places", left, lefts),
            ("two cameras, four places", [*right, *left], np.concatenate([rights, lefts])),
            ("two cameras, one moment", [right[-1], left[-1]], np.array([rights[-1], lefts[-1]])),
        ):
            found = predictor.frame_depth(images, CAMERA, poses)
            yield name, score_depth(found.depth, truth, found.sigma)
        depth, has_depth = stereo_depth(left[-1], right[-1])
        yield "StereoSGBM, where it finds any", score_depth(depth, truth, known=has_depth)
        filled = np.where(has_depth, depth, np.median(depth[has_depth]))
        yield "StereoSGBM, its median elsewhere", score_depth(filled, truth)


def table(scores: Mapping[str, Sequence[DepthScore]]) -> str:
    """Means by method, as rows of Markdown."""
    heads = ["", "pixels", "AbsRel", "within 1.25", "within 1 sigma", "within 2 sigma"]
    rows = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    for name, some in scores.items():
        rel, quarter, share, one, two = np.mean([astuple(score) for score in some], axis=0)
        stated = [f"{100 * value:.0f} %" if np.isfinite(value) else "–" for value in (one, two)]
        rows.append(f"| {name} | {100 * share:.0f} % | {rel:.3f} | {quarter:.3f} | {' | '.join(stated)} |")
    return "\n".join(rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, nargs="+", default=[5, 6, 7, 8, 9, 10], help="seeds of the rooms")
    scores: dict[str, list[DepthScore]] = {}
    predictor = make_predictor("")
    for seed in parser.parse_args().rooms:
        path = handheld_loop(seconds=10.0, rate_hz=_RATE_HZ, seed=seed)
        for name, score in scores_of_room(predictor, furnished_room(seed), path):
            scores.setdefault(name, []).append(score)
    print(table(scores))


if __name__ == "__main__":
    main()
