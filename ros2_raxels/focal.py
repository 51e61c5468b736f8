"""The focal length of a clip whose intrinsics nobody gave, by how well the evidence can be explained with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ros2_raxels.evidence import Evidence, Features
from ros2_raxels.geometry import FloatArray, PinholeCamera
from ros2_raxels.guidance import RefineSettings, refine
from ros2_raxels.proposals import propose

_FOCAL_GUESSES = (0.55, 0.75, 0.95, 1.2, 1.5, 2.0, 2.7)
"""Focal length over the longer image side: 85 to 21 degrees of view."""
USUAL_FOCAL = 0.95
_FOCAL_HYPOTHESES = 3
_FOCAL_REFINE = RefineSettings(widths_px=(3.0, 2.0), iterations=6)
"""From a neighbour's poses the way is short."""
_FOCAL_STEPS = 1.08 ** np.arange(-3, 4)
_FOCAL_SHARPEN = RefineSettings(widths_px=(1.0,), iterations=8)
"""Around the best guess, where small residuals tell."""
_SHARPENED = 2


def find_focal(features: Sequence[Features], evidence: Evidence, settings: RefineSettings) -> list[PinholeCamera]:
    """One focal length for the clip: the best of a few guesses by refined cost, sharpened by a parabola.

    Hypotheses are proposed for an ordinary lens alone; every other guess starts from what its neighbour refined to.
    """
    guesses = np.array(_FOCAL_GUESSES)
    usual = _FOCAL_GUESSES.index(USUAL_FOCAL)
    seen = evidence.with_cameras([guessed_camera(f, guesses[usual]) for f in features])
    poses = propose(seen)
    if not len(poses):
        return [guessed_camera(f, guesses[usual]) for f in features]
    first = refine(seen, poses, settings)
    costs, found = np.full(len(guesses), first.cost[0]), [first.camera_to_first[:_FOCAL_HYPOTHESES]] * len(guesses)
    for outwards in (range(usual + 1, len(guesses)), range(usual - 1, -1, -1)):
        known = usual
        for k in outwards:
            seen = evidence.with_cameras([guessed_camera(f, guesses[k]) for f in features])
            refined = refine(seen, _through_lens(found[known], guesses[k] / guesses[known]), _FOCAL_REFINE)
            costs[k], found[k], known = refined.cost[0], refined.camera_to_first, k
    if costs.argmin() == len(guesses) - 1:
        # The longer the better: the motion says nothing of the focal length, and rather asks for no perspective.
        return [guessed_camera(f, guesses[usual]) for f in features]
    rough, best = _lowest(guesses, costs), int(costs.argmin())
    around = rough * _FOCAL_STEPS
    poses = found[best][:_SHARPENED]
    fine = np.zeros(len(around))
    for k, focal in enumerate(around):
        seen = evidence.with_cameras([guessed_camera(f, focal) for f in features])
        fine[k] = refine(seen, _through_lens(poses, focal / guesses[best]), _FOCAL_SHARPEN).cost[0]
    return [guessed_camera(f, _lowest(around, fine)) for f in features]


def _through_lens(camera_to_first: FloatArray, ratio: float) -> FloatArray:
    """Poses that look alike through a lens so many times as long: motion along the axis shows less."""
    poses = camera_to_first.copy()
    poses[..., 2, 3] *= ratio
    return poses


def _lowest(focals: FloatArray, costs: FloatArray) -> float:
    """Where a parabola over the logarithm through the lowest cost and its neighbours is lowest."""
    best = int(np.clip(costs.argmin(), 1, len(focals) - 2))
    log_focal = np.log(focals[best - 1 : best + 2])
    curve = np.polyfit(log_focal, costs[best - 1 : best + 2], 2)
    if curve[0] <= 1e-9:
        return float(focals[costs.argmin()])
    return float(np.exp(np.clip(-curve[1] / (2 * curve[0]), log_focal[0], log_focal[-1])))


def guessed_camera(features: Features, focal_over_side: float) -> PinholeCamera:
    """An ordinary camera of the working image."""
    height, width = features.grey.shape
    return ordinary_camera(width, height, focal_over_side)


def ordinary_camera(width: int, height: int, focal_over_side: float) -> PinholeCamera:
    """A camera whose focal length is so many times the longer side: square pixels, centred, without distortion."""
    focal = focal_over_side * max(width, height)
    return PinholeCamera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
