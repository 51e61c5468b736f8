"""The focal length of a clip without intrinsics: a profile search for the one that explains the evidence best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import BundleProblem, RefineSettings, refine
from ros2_raxels.estimation.two_view import propose
from ros2_raxels.geometry.camera import USUAL_FOCAL, PinholeCamera, ordinary_camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.features import Features

_USUAL = 4
_GUESSES = USUAL_FOCAL * 1.25 ** np.arange(-_USUAL, 9)
"""Focal length over the longer image side: 114 to 12 degrees of view, the usual lens among them."""

_BEGINNINGS = (_USUAL - 2, _USUAL, _USUAL + 2)
"""Guesses for which hypotheses are proposed; those proposed for a very different lens may be wrong altogether."""

_HYPOTHESES = 3
_NEIGHBOUR = RefineSettings(widths_px=(3.0, 2.0), iterations=6)
"""Starts close by, from the poses of the neighbouring guess."""

_POLISH = RefineSettings(widths_px=(1.0,), iterations=20, tolerance=1e-6)
"""Small residuals tell focal lengths apart, once nothing is left of the start."""

_HOPELESS = 1.5
"""Times the lowest cost; the search goes no further in a direction where costs are higher."""

_FINE = 1.06 ** np.arange(-4, 5)
_NOISE_PX, _LENSES = 0.35, 0.5
"""Standard deviation of matches, and of the logarithm of focal lengths among lenses; chosen on rendered clips and the
training sets."""


def find_focal(features: Sequence[Features], problem: BundleProblem, settings: RefineSettings) -> list[PinholeCamera]:
    """One focal length for the clip: the likeliest by refined cost, over coarse guesses, then finely around the best.

    Hypotheses are proposed for three lenses; outwards from the best of these, every guess starts from the refined poses
    of its neighbour. If the longest or the shortest lens is the best, the motion does not reveal the focal length, and
    the usual one is taken.

    Args:
        features: of the N frames.
        problem: evidence of the clip; its cameras do not matter.
        settings: for refining the proposed hypotheses.

    Returns:
        A camera for each frame.
    """
    profile = _Profile(features, problem)
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
    """Lowest costs by focal length over the longer image side."""

    def __init__(self, features: Sequence[Features], problem: BundleProblem) -> None:
        self._features, self._problem = features, problem

    def cameras(self, focal_over_side: float) -> list[PinholeCamera]:
        """Of all frames, with one focal length."""
        return [guessed_camera(f, focal_over_side) for f in self._features]

    def proposed(self, focal_over_side: float, settings: RefineSettings) -> tuple[float, FloatArray] | None:
        """The lowest cost of the hypotheses proposed for a lens, and the best poses (H, N, 4, 4); None without any."""
        seen = self._problem.through(self.cameras(focal_over_side))
        poses = propose(seen)
        if not len(poses):
            return None
        refined = refine(seen, poses, settings)
        return float(refined.cost[0]), refined.camera_to_first[:_HYPOTHESES]

    def along(self, focals: FloatArray, middle: int, poses: FloatArray) -> tuple[FloatArray, dict[int, FloatArray]]:
        """Costs of focal lengths, from one of them outwards.

        Args:
            focals: (F,) ascending.
            middle: index of the first.
            poses: (H, N, 4, 4) to start there from.

        Returns:
            Costs (F,), inf where hopeless, and by index among the focal lengths refined poses, best first.
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
        """The lowest cost, and poses for the neighbours to start from, best first."""
        seen = self._problem.through(self.cameras(focal))
        near = refine(seen, poses, _NEIGHBOUR).camera_to_first
        polished = refine(seen, near[:1], _POLISH)
        return float(polished.cost[0]), np.concatenate([polished.camera_to_first, near[1:]])


def _through_lens(camera_to_first: FloatArray, ratio: float) -> FloatArray:
    """Poses that look alike through a lens `ratio` times as long, in which motion along the axis shows less."""
    poses = camera_to_first.copy()
    poses[..., 2, 3] *= ratio
    return poses


def _likeliest(focals: FloatArray, costs: FloatArray) -> float:
    """Minimum of a parabola, over the logarithm, through the likeliest focal length and its neighbours.

    Costs are residuals² / px² near zero, so an unusual lens is charged what residuals as unlikely would cost.
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
