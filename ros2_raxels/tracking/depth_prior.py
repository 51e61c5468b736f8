"""What is known of the depths of a frame before anything is solved: from a depth image, or from a second camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.tracks import Evidence, KnownDepths
from ros2_raxels.tracking.metric_scale import ScaleSource

_SAME_PX = 0.01


class DepthPrior(Protocol):
    """Depths of one frame, in metres. Any thread may ask for them."""

    @property
    def source(self) -> ScaleSource:
        """What measures them: `ScaleSource.DEPTH` or `ScaleSource.STEREO`."""
        ...

    @property
    def scale_sigma(self) -> float:
        """Relative standard deviation of an error that all depths share."""
        ...

    def at(self, pixels: FloatArray, camera: Camera) -> tuple[FloatArray, FloatArray]:
        """Inverse depths (K,) and their standard deviations (K,), 1/m; both NaN where nothing is known.

        Args:
            pixels: (K, 2) px of the working image.
            camera: of the working image. A depth is counted as its rays do (`Camera.is_flat`).
        """
        ...


@dataclass(frozen=True, eq=False)
class PointDepths:
    """A depth prior of chosen points alone.

    Attributes:
        pixels: (G, 2) px of the working image.
        inverse_depth, sigma: (G,) 1/m, see `DepthPrior.at`.
        source, scale_sigma: see `DepthPrior`.
    """

    pixels: FloatArray
    inverse_depth: FloatArray
    sigma: FloatArray
    source: ScaleSource
    scale_sigma: float

    @classmethod
    def of(cls, prior: DepthPrior, pixels: FloatArray, camera: Camera) -> PointDepths:
        """What a prior says of points (G, 2) of a working image, to be kept in place of it."""
        return cls(pixels, *prior.at(pixels, camera), prior.source, prior.scale_sigma)

    def at(self, pixels: FloatArray, camera: Camera) -> tuple[FloatArray, FloatArray]:
        """See `DepthPrior.at`: of these points, and of no others."""
        places, asked = _places(self.pixels), _places(pixels)
        order = np.argsort(places)
        index = order[np.minimum(np.searchsorted(places, asked, sorter=order), len(order) - 1)]
        same = places[index] == asked
        return np.where(same, self.inverse_depth[index], np.nan), np.where(same, self.sigma[index], np.nan)


def _places(pixels: FloatArray) -> npt.NDArray[np.complexfloating]:
    """(K,) one number for each point, the same for points that are the same."""
    column, row = np.round(np.asarray(pixels, float) / _SAME_PX).T
    return np.asarray(column + 1j * row)


def with_known_depths(evidence: Evidence, frames: Sequence[tuple[DepthPrior | None, Camera]]) -> Evidence:
    """Evidence with what is known of the depths of its tracks in their anchors.

    Args:
        evidence: P tracks over N frames, world units metres.
        frames: N, of each what is known of its depths, and the camera of its working image.
    """
    if all(prior is None for prior, _ in frames):
        return evidence
    depth, sigma = np.full((2, len(evidence.anchor)), np.nan)
    for position, (prior, camera) in enumerate(frames):
        mine = np.flatnonzero(evidence.anchor == position)
        if prior is not None and len(mine):
            depth[mine], sigma[mine] = prior.at(evidence.pixels[mine, position], camera)
    return replace(evidence, known=KnownDepths(depth, sigma))
