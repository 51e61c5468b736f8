"""The focal length of a clip whose intrinsics nobody gave, by how well the evidence can be explained with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import RefineSettings, refine
from ros2_raxels.estimation.two_view import propose
from ros2_raxels.geometry.camera import USUAL_FOCAL, PinholeCamera, ordinary_camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.tracks import Evidence

_USUAL = 4
_GUESSES = USUAL_FOCAL * 1.25 ** np.arange(-_USUAL, 9)
"""Focal length over the longer image side: 114 to 12 degrees of view, the usual lens among them."""

_BEGINNINGS = (_USUAL - 2, _USUAL, _USUAL + 2)
"""Of these guesses, for which hypotheses are proposed; through another lens they may be wrong altogether."""

_HYPOTHESES = 3
_NEIGHBOUR = RefineSettings(widths_px=(3.0, 2.0), iterations=6)
"""From a neighbour's poses the way is short."""

_POLISH = RefineSettings(widths_px=(1.0,), iterations=20, tolerance=1e-6)
"""Small residuals tell, once nothing is left of where the poses came from."""

_HOPELESS = 1.5
"""Times the lowest cost; further away from the usual lens nothing is looked for then."""

_FINE = 1.06 ** np.arange(-4, 5)
_NOISE_PX, _LENSES = 0.35, 0.5
"""Of matches, and the spread of the logarithm of focal lengths among lenses; chosen on rendered clips and the training
sets."""


def find_focal(features: Sequence[Features], evidence: Evidence, settings: RefineSettings) -> list[PinholeCamera]:
    """One focal length for the clip: the likeliest by refined cost, over guesses and then finely around the best.

    Hypotheses are proposed for three lenses; from the best of these on, every guess starts from what its neighbour
    refined to. Where the longest or the shortest lens is the best, the motion says nothing of the lens: the usual one
    is taken.

    Args:
        features: of the frames.
        evidence: of the clip, through whatever cameras.
        settings: of the refinement of what is proposed.

    Returns:
        A camera for each frame.
    """
    profile = _Profile(features, evidence)
    usual = profile.cameras(USUAL_FOCAL)
    begun = [(*best, k) for k in _BEGINNINGS if (best := profile.proposed(float(_GUESSES[k]), settings))]
    if not begun:
        return usual
    _, poses, first = min(begun, key=lambda best: best[0])
    costs, found = profile.along(_GUESSES, first, poses)
    if costs.argmin() in (0, len(_GUESSES) - 1):
        return usual
    rough = _likeliest(_GUESSES, costs)
    nearest = int(np.abs(np.log(_GUESSES / rough)).argmin())
    start = _through_lens(found[nearest][:1], rough / _GUESSES[nearest])
    fine, _ = profile.along(rough * _FINE, len(_FINE) // 2, start)
    return profile.cameras(_likeliest(rough * _FINE, fine))


class _Profile:
    """Lowest costs by focal length."""

    def __init__(self, features: Sequence[Features], evidence: Evidence) -> None:
        self._features, self._evidence = features, evidence

    def cameras(self, focal_over_side: float) -> list[PinholeCamera]:
        """Of all frames, with one focal length."""
        return [guessed_camera(f, focal_over_side) for f in self._features]

    def proposed(self, focal_over_side: float, settings: RefineSettings) -> tuple[float, FloatArray] | None:
        """The lowest cost of what is proposed for a lens, and the best poses (H, N, 4, 4); None without any."""
        seen = self._evidence.with_cameras(self.cameras(focal_over_side))
        poses = propose(seen)
        if not len(poses):
            return None
        refined = refine(seen, poses, settings)
        return float(refined.cost[0]), refined.camera_to_first[:_HYPOTHESES]

    def along(self, focals: FloatArray, middle: int, poses: FloatArray) -> tuple[FloatArray, dict[int, FloatArray]]:
        """Costs of focal lengths (F,), from the middle one and its poses (H, N, 4, 4) outwards, inf where hopeless.

        Beside them poses by position among the focal lengths, the best first.
        """
        costs, found = np.full(len(focals), np.inf), {}
        costs[middle], found[middle] = self._cost(float(focals[middle]), poses)
        for outwards in (range(middle + 1, len(focals)), range(middle - 1, -1, -1)):
            known = middle
            for k in outwards:
                if costs[known] > _HOPELESS * costs.min():
                    break
                start = _through_lens(found[known], float(focals[k] / focals[known]))
                (costs[k], found[k]), known = self._cost(float(focals[k]), start), k
        return costs, found

    def _cost(self, focal: float, poses: FloatArray) -> tuple[float, FloatArray]:
        """The lowest one, and poses for the neighbours to start from, the best first."""
        seen = self._evidence.with_cameras(self.cameras(focal))
        near = refine(seen, poses, _NEIGHBOUR).camera_to_first
        polished = refine(seen, near[:1], _POLISH)
        return float(polished.cost[0]), np.concatenate([polished.camera_to_first, near[1:]])


def _through_lens(camera_to_first: FloatArray, ratio: float) -> FloatArray:
    """Poses that look alike through a lens so many times as long: motion along the axis shows less."""
    poses = camera_to_first.copy()
    poses[..., 2, 3] *= ratio
    return poses


def _likeliest(focals: FloatArray, costs: FloatArray) -> float:
    """Where a parabola over the logarithm through the likeliest and its neighbours is lowest.

    Costs are residuals² / px² near zero, so that a lens that is unlikely by itself costs as much as residuals would.
    """
    log_focal = np.log(focals)
    unlikely = costs + (_NOISE_PX * (log_focal - np.log(USUAL_FOCAL)) / _LENSES) ** 2
    best = int(np.clip(unlikely.argmin(), 1, len(focals) - 2))
    near = slice(best - 1, best + 2)
    if not np.isfinite(unlikely[near]).all():
        return float(focals[unlikely.argmin()])
    curve = np.polyfit(log_focal[near], unlikely[near], 2)
    if curve[0] <= 1e-9:
        return float(focals[unlikely.argmin()])
    return float(np.exp(np.clip(-curve[1] / (2 * curve[0]), log_focal[near][0], log_focal[near][-1])))


def guessed_camera(features: Features, focal_over_side: float = USUAL_FOCAL) -> PinholeCamera:
    """An ordinary camera of the working image."""
    height, width = features.grey.shape
    return ordinary_camera(width, height, focal_over_side)
