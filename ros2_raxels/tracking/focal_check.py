"""Whether the focal length that is used is the true one, by what bundle adjustment leaves.

A camera that turns and moves shows its focal length: through one that is too long it seems to turn too little, and
neither poses nor depths take up all of that. So the logarithm of the focal length is the one unknown of a linear least
squares problem, poses and depths eliminated (`told_of_cameras`). Pure forward motion tells nothing of it.

A stated focal length comes of a calibration, which is good to some tenths of a percent, unless it is of another camera
or image size. Both are possible until the images have spoken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import told_of_cameras
from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.tracks import Evidence

_STATED, _ESTIMATED = ((0.004, 0.98), (0.05, 0.02)), ((0.05, 1.0),)
"""Standard deviations of the logarithm of a focal length, and their shares: of good calibrations and of mistaken ones,
and of those that first cameras are solved with where none is stated."""

_AGREES_PX = 1.5
"""Median residual of tracks that are believed."""

_WIDTH_PX, _NOISE_PX = 1.0, 0.75
"""Of the loss, and standard deviation of an observation: matches err by a third of that, but neighbours err alike. With
it, what bundles tell of cameras that are known well is off by .8 of the standard deviations that they state."""

_TRACKS, _FEWEST_TRACKS, _FEWEST_KEYFRAMES = 600, 100, 4
_STEP = 1e-3
"""Of the logarithm, by which the derivative is taken."""

_LEAST_INFORMATION = 1.0 / 0.03**2
"""Of the logarithm, of a bundle: with less, it is far from where it is linear."""

_SHARED = 1
"""Keyframes that two bundles may share and yet count as telling twice."""

_KEPT = 40
"""Bundles that are remembered."""

_SURE, _LEAST = 4.0, 0.015
"""Standard deviations, and the logarithm: what is off by more is said and corrected. Errors of less are as large as
those of the lens model itself."""


@dataclass(frozen=True)
class FocalTold:
    """What one bundle of keyframes tells.

    Attributes:
        keyframes: their numbers.
        log_scale: logarithm of the true focal length over the one in use.
        information: of that.
    """

    keyframes: tuple[int, ...]
    log_scale: float
    information: float


@dataclass(frozen=True)
class FocalCheck:
    """What the keyframes so far tell of the focal length.

    Attributes:
        told: of bundles that share next to nothing, oldest first.
        log_correction: logarithm of the focal length in use over the stated one.
    """

    told: tuple[FocalTold, ...] = ()
    log_correction: float = 0.0

    @property
    def off(self) -> tuple[float, float]:
        """Logarithm of the true focal length over the one in use, and its standard deviation; infinite if not known."""
        information = sum(told.information for told in self.told)
        if not information:
            return 0.0, float("inf")
        return sum(told.information * told.log_scale for told in self.told) / information, information**-0.5

    @property
    def is_wrong(self) -> bool:
        """Whether the focal length in use is surely another one than the true one."""
        off, sigma = self.off
        return abs(off) > max(_LEAST, _SURE * sigma)

    def mean_square(self, is_stated: bool) -> float:
        """Expected square of the logarithm of the true focal length over the one in use.

        Args:
            is_stated: whether the focal length was stated; else it was estimated.
        """
        off, sigma = self.off
        variance, weights, squares = sigma**2, [], []
        # A focal length that was corrected is as far off as the one before, the other way.
        middle = -self.log_correction
        for prior, share in _STATED if is_stated else _ESTIMATED:
            if np.isinf(variance):
                weights.append(share)
                squares.append(prior**2 + middle**2)
                continue
            spread = prior**2 + variance
            weights.append(share * np.exp(-0.5 * (off - middle) ** 2 / spread) / np.sqrt(spread))
            mean = (prior**2 * off + variance * middle) / spread
            squares.append(mean**2 + prior**2 * variance / spread)
        return float(np.average(squares, weights=weights))

    def seen(self, told: FocalTold | None) -> FocalCheck:
        """After another bundle; of those that share keyframes the one that tells most is kept."""
        if told is None:
            return self
        kept = [t for t in self.told if len({*t.keyframes} & {*told.keyframes}) > _SHARED]
        if any(t.information >= told.information for t in kept):
            return self
        apart = [t for t in self.told if t not in kept]
        return replace(self, told=(*apart, told)[-_KEPT:])

    def corrected(self, log_scale: float) -> FocalCheck:
        """After the focal length in use has been made longer by a factor, given by its logarithm."""
        told = tuple(replace(t, log_scale=t.log_scale - log_scale) for t in self.told)
        return FocalCheck(told, self.log_correction + log_scale)

    def trouble(self, stated_px: float | None) -> str:
        """What is wrong with a stated focal length, px, in a line; empty where nothing is, or where none is stated."""
        off, sigma = self.off
        log_scale = self.log_correction + off
        if stated_px is None or not abs(log_scale) > max(_LEAST, _SURE * sigma):
            return ""
        true_px, use = stated_px * float(np.exp(log_scale)), "is" if self.log_correction else "is not"
        sigma_px, percent = true_px * sigma, 100.0 * float(np.expm1(log_scale))
        return (
            f"the focal length is stated as fx {stated_px:.0f} px, the images say {true_px:.0f} +- {sigma_px:.0f} px "
            f"({percent:+.1f} %), which {use} used; calibrate the camera, and see that its intrinsics are for this "
            "image size"
        )


def told_of_focal(
    numbers: Sequence[int],
    evidence: Evidence,
    camera_to_world: FloatArray,
    inverse_depth: FloatArray,
    residual_px: FloatArray,
    cameras: Sequence[Camera],
) -> FocalTold | None:
    """What a bundle tells of the focal length of its cameras; None where it tells next to nothing.

    Args:
        numbers: of N keyframes.
        evidence: P tracks over them.
        camera_to_world: (N, 4, 4) of them, as bundle adjustment has left them.
        inverse_depth: (P,) likewise.
        residual_px: (P, N) likewise, NaN where not seen.
        cameras: of them.
    """
    usable = np.flatnonzero(np.nanmedian(residual_px, axis=1) < _AGREES_PX)
    usable = usable[:: max(1, -(-len(usable) // _TRACKS))]
    if len(numbers) < _FEWEST_KEYFRAMES or len(usable) < _FEWEST_TRACKS:
        return None
    shorter, longer = ([camera.zoomed(float(np.exp(log))) for camera in cameras] for log in (-_STEP, _STEP))
    steps, information = told_of_cameras(
        evidence.of_tracks(usable), camera_to_world, inverse_depth[usable], shorter, longer, _WIDTH_PX
    )
    information /= (_STEP * _NOISE_PX) ** 2
    return FocalTold(tuple(numbers), steps * _STEP, information) if information > _LEAST_INFORMATION else None
