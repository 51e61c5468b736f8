"""Depths of a frame from other cameras of the rig that see the same at the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.stereo import stereo_depths
from ros2_raxels.tracking.frame import Side
from ros2_raxels.tracking.metric_scale import ScaleSource

SCALE_SIGMA = 0.003
"""Relative, of a baseline and focal lengths that are calibrated well."""


_LEAST_OVERLAP = 0.15


@dataclass(frozen=True, eq=False)
class Partner:
    """A camera that sees some of what the first one sees.

    Attributes:
        side: its image.
        to_partner: leader_to_camera (4x4, m).
    """

    side: Side
    to_partner: FloatArray


@lru_cache(maxsize=8)
def partners_of(rig: Rig) -> tuple[str, ...]:
    """Names of the cameras that see enough of what the first one sees, those that see most first."""
    shares = {name: rig.overlap(rig.leader, name) for name in rig.others}
    return tuple(sorted((name for name in shares if shares[name] > _LEAST_OVERLAP), key=lambda n: -shares[n]))


class StereoPrior:
    """A `DepthPrior` that matches points when they are asked for, each once.

    Args:
        features: of the frame.
        partners: the other cameras, likeliest first.
    """

    source = ScaleSource.STEREO
    scale_sigma = SCALE_SIGMA

    def __init__(self, features: Features, partners: Sequence[Partner]) -> None:
        self._features, self._partners = features, tuple(partners)
        self._known: tuple[FloatArray, FloatArray, FloatArray] = (np.zeros((0, 2)), np.zeros(0), np.zeros(0))

    def at(self, pixels: FloatArray, camera: Camera) -> tuple[FloatArray, FloatArray]:
        """See `DepthPrior.at`."""
        pixels = np.asarray(pixels, float).reshape(-1, 2)
        # Read once: another thread may add to it, and the worst is that a point is matched twice.
        places, depth, sigma = self._known
        row = {place: k for k, place in enumerate(map(tuple, places.tolist()))}
        new = [place for place in dict.fromkeys(map(tuple, pixels.tolist())) if place not in row]
        if new:
            fresh = np.array(new)
            found, spread = self._match(fresh, camera)
            row |= {place: len(places) + k for k, place in enumerate(new)}
            places, depth, sigma = (np.concatenate(pair) for pair in ((places, fresh), (depth, found), (sigma, spread)))
            self._known = places, depth, sigma
        index = np.array([row[place] for place in map(tuple, pixels.tolist())], int)
        return depth[index], sigma[index]

    def _match(self, pixels: FloatArray, camera: Camera) -> tuple[FloatArray, FloatArray]:
        depth, sigma = np.full((2, len(pixels)), np.nan)
        for partner in self._partners:
            left = np.flatnonzero(np.isnan(depth))
            side = partner.side
            found = stereo_depths(self._features, camera, side.features, side.camera, partner.to_partner, pixels[left])
            depth[left], sigma[left] = found.inverse_depth, found.sigma
        return depth, sigma
