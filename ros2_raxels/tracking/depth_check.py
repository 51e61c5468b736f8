"""Whether measured depths are those of the images: compared with what the motion of the camera says of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import BundleProblem, RefineSettings, parallax_px, refine, triangulate
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.tracks import FLOW, Evidence

_SURE = 0.06
"""Relative standard deviation of a depth by triangulation that is good enough to judge a measured one."""

_ENOUGH = 40
"""Tracks that can be judged."""

_ODD = 4.0
"""Standard deviations between both depths that count as a contradiction; 5 % of the depth at least."""

_LEAST = 0.05
_TOO_MANY = 0.2
"""Share of contradictions; where depth is registered it is a few percent, also with noise and holes."""

_IN_A_ROW = 2
"""Keyframes."""

_AGREES_PX = 1.0
"""Residual of observations that agree with each other, whatever is measured."""

_AS_IT_IS = RefineSettings(widths_px=(_AGREES_PX,), iterations=0)


@dataclass(frozen=True)
class DepthCheck:
    """What the keyframes so far say of measured depths.

    Attributes:
        contradicted: how many of the newest keyframes in a row did.
        share: of the tracks that contradicted at the newest one.
    """

    contradicted: int = 0
    share: float = 0.0

    @property
    def trouble(self) -> str:
        """Why measured depths are not to be used, in a line; empty where they are."""
        if self.contradicted < _IN_A_ROW:
            return ""
        return (
            f"they contradict what the motion of the camera says of {100 * self.share:.0f} % of the points; register "
            "them to the image, and check the intrinsics and the stamps of both"
        )

    def seen(self, evidence: Evidence, camera_to_world: FloatArray) -> DepthCheck:
        """The check after one more keyframe.

        Args:
            evidence: P tracks over N keyframes, with `Evidence.known`.
            camera_to_world: (N, 4, 4) of them.
        """
        share = contradictions(evidence, camera_to_world)
        if share is None:
            return self
        return DepthCheck(self.contradicted + 1 if share > _TOO_MANY else 0, share)


def contradictions(evidence: Evidence, camera_to_world: FloatArray) -> float | None:
    """Share of the tracks whose measured and triangulated depths contradict each other; None where few can be judged.

    Both may differ by one factor for all, which is the scale of the poses.

    Args:
        evidence, camera_to_world: see `DepthCheck.seen`.
    """
    known = evidence.known
    if known is None:
        return None
    problem = BundleProblem.of(replace(evidence, known=None))
    free = triangulate(problem, camera_to_world[None])[0]
    alone = refine(problem, camera_to_world[None], _AS_IT_IS, inverse_depth=free[None])
    agrees = np.nanmax(alone.residual_px[0], axis=1, initial=0.0) < _AGREES_PX
    parallax = np.sqrt(np.nansum(parallax_px(problem, camera_to_world) ** 2, axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        # Of a point where the sensor says that it is: a wrong match has much parallax, and proves nothing.
        sigma = RefineSettings.noise_px / (parallax * known.inverse_depth / free)
        judged = known.there & (evidence.kind == FLOW) & agrees & (free > 0) & (sigma < _SURE)
        if judged.sum() < _ENOUGH:
            return None
        ratio = np.log(free[judged] / known.inverse_depth[judged])
        allowed = _ODD * np.hypot(sigma[judged], known.sigma[judged] / known.inverse_depth[judged])
    off = np.abs(ratio - np.median(ratio))
    return float((off > np.maximum(allowed, _LEAST)).mean())
