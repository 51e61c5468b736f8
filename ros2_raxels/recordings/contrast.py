"""16-bit pixels to 8 bits: contrast limits that follow a recording slowly, so that its brightness does not flicker."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_FULL = 2.0**16
_PERCENTILES = (0.5, 99.5)
_MARGIN = 0.05
"""Of the range between the percentiles, left free on either side."""

_LEAST_RANGE = 32.0
"""Levels that are spread over the 8 bits at least: fewer would show noise."""

_ALREADY_FULL = 0.5
"""Share of the 16 bits from which on a picture is taken as it is."""

_FOLLOW = 0.05
"""Share of the way to a picture's own limits that the limits go with each picture."""

_JUMP = 4.0
"""Factor between a picture's range and the limits' from which on the limits follow at once."""

_SAMPLED_PIXELS = 20_000


class Stretch:
    """Contrast limits of one stream of 16-bit pictures.

    The first picture sets the limits: the 0.5th and 99.5th percentile and a margin, or all 16 bits where a picture
    already spans half of them. Later pictures move them by a twentieth of the way, so that a sensor of any depth (10,
    12, 14 bits, or thermal with an offset) is seen in full and the brightness of a point stays from frame to frame.
    """

    def __init__(self) -> None:
        self._limits: tuple[float, float] | None = None

    def __call__(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """The picture with 8 bits.

        Args:
            pixels: (H, W) or (H, W, C) uint16; all channels get the same limits.

        Returns:
            uint8 of the same shape.
        """
        low, high = self._follow(*_limits_of(pixels))
        if (low, high) == (0.0, _FULL):
            return np.asarray(pixels >> 8, np.uint8)
        above = cv2.subtract(pixels, np.full_like(pixels, round(low)))
        return np.asarray(cv2.convertScaleAbs(above, alpha=256.0 / (high - low)), np.uint8).reshape(pixels.shape)

    def copy(self) -> Stretch:
        """One that goes on from here, for a picture that is not to move these limits."""
        other = Stretch()
        other._limits = self._limits
        return other

    def _follow(self, low: float, high: float) -> tuple[float, float]:
        held = self._limits
        if held is None or not 1 / _JUMP < (high - low) / (held[1] - held[0]) < _JUMP:
            self._limits = (low, high)
        else:
            self._limits = (held[0] + _FOLLOW * (low - held[0]), held[1] + _FOLLOW * (high - held[1]))
        return self._limits


def _limits_of(pixels: npt.NDArray[Any]) -> tuple[float, float]:
    step = max(1, int((pixels.shape[0] * pixels.shape[1] / _SAMPLED_PIXELS) ** 0.5))
    low, high = (float(value) for value in np.percentile(pixels[::step, ::step], _PERCENTILES))
    if high - low >= _ALREADY_FULL * _FULL:
        return 0.0, _FULL
    half = max((0.5 + _MARGIN) * (high - low), 0.5 * _LEAST_RANGE)
    middle = 0.5 * (low + high)
    return max(0.0, middle - half), min(_FULL, middle + half)
