"""Confidence of a view: the probability that it is close to what the camera would see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ros2_raxels.geometry.poses import FloatArray

GOOD_DB = 20.0
"""Peak signal-to-noise ratio, against the camera's own image, from which a view counts as close to it."""

ALONE, CHECKED = "alone", "checked"
"""Sets of weights: for views alone, and for views whose poses were estimated back from the finished images."""

Weights = Mapping[str, float]

_LEAST_ERROR, _LEAST_SPREAD, _LEAST_TURN_RAD, _LEAST_MOVE = 0.01, 0.002, 0.003, 0.01
_ROUGH: Weights = {"one": -5.6, "expected_error": -2.5}
"""For a model that was never calibrated: even odds at an expected error of 0.1 of full range, which is 20 dB."""


@dataclass(frozen=True, eq=False)
class Signs:
    """Signs of how good T views are, (T,) each.

    Attributes:
        expected_error: root mean square error that the model expects, 0 to 1 of full range.
        made_up: share of the view that no context frame has shown, according to the model.
        agreed: share of pixels for which context frames agree on a depth.
        spread: root mean square difference between two samples, 0 to 1 of full range.
        turned_rad: angle between the rotation asked for and the one that the view shows; None where it was not
            estimated, NaN where it could not be.
        moved: distance between the position asked for and the one that the view shows, over the distance of the
            furthest camera; None and NaN as above.
    """

    expected_error: FloatArray
    made_up: FloatArray
    agreed: FloatArray
    spread: FloatArray
    turned_rad: FloatArray | None = None
    moved: FloatArray | None = None

    def checked(self, turned_rad: FloatArray, moved: FloatArray) -> Signs:
        """The same signs with what was estimated back from the views, (T,) each."""
        return replace(self, turned_rad=turned_rad, moved=moved)

    def alone(self) -> Signs:
        """The same signs without what was estimated back."""
        return replace(self, turned_rad=None, moved=None)

    def features(self) -> dict[str, FloatArray]:
        """By name, (T,) each: the log-odds are linear in them."""
        found = {
            "one": np.ones_like(self.made_up),
            "expected_error": np.log(self.expected_error + _LEAST_ERROR),
            "made_up": self.made_up,
            "agreed": self.agreed,
            "spread": np.log(self.spread + _LEAST_SPREAD),
        }
        if self.turned_rad is None or self.moved is None:
            return found
        lost = np.isnan(self.turned_rad) | np.isnan(self.moved)
        turned, moved = np.log(self.turned_rad + _LEAST_TURN_RAD), np.log(self.moved + _LEAST_MOVE)
        return found | {
            "lost": lost.astype(float),
            "turned": np.where(lost, 0.0, turned),
            "moved": np.where(lost, 0.0, moved),
        }


def probability(calibration: Mapping[str, Weights], signs: Signs) -> FloatArray:
    """(T,) probability that views have `GOOD_DB` or more.

    Args:
        calibration: weights of `Signs.features` under `ALONE` and `CHECKED`, as a model card holds them. Without
            weights for checked views those of `ALONE` are used, and without any weights rough ones.
        signs: of the views.
    """
    features = signs.features()
    kind = ALONE if signs.turned_rad is None else CHECKED
    weights = calibration.get(kind) or calibration.get(ALONE) or _ROUGH
    odds = np.sum([weight * features[name] for name, weight in weights.items()], axis=0)
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -30.0, 30.0))))
