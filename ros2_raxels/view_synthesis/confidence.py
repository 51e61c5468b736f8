"""How far to trust a view: the probability that it is close to what the camera would see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ros2_raxels.geometry.poses import FloatArray

GOOD_DB = 20.0
"""Peak signal-to-noise ratio, against what the camera sees there, of a view that is close to it."""

ALONE, CHECKED = "alone", "checked"
"""Sets of weights: for views alone, and for those of which poses were estimated back from the finished pictures."""

Weights = Mapping[str, float]

_LEAST_ERROR, _LEAST_SPREAD, _LEAST_TURN_RAD, _LEAST_MOVE = 0.01, 0.002, 0.003, 0.01
_ROUGH: Weights = {"one": -5.6, "expected_error": -2.5}
"""For a model that was never calibrated: even odds where an error of .1 of full range, which is 20 dB, is expected."""


@dataclass(frozen=True, eq=False)
class Signs:
    """What speaks of T views, (T,) each.

    Attributes:
        expected_error: root of the mean square that the model expects, of full range.
        made_up: share that no known frame has shown, as the model says.
        agreed: share of pixels for which known frames agree on a depth.
        spread: root of the mean square difference between two samples, of full range.
        turned_rad: between the rotation that was asked for and the one that the picture shows; None where nobody
            looked, NaN where it could not be told.
        moved: the same of positions, over the reach of all positions.
    """

    expected_error: FloatArray
    made_up: FloatArray
    agreed: FloatArray
    spread: FloatArray
    turned_rad: FloatArray | None = None
    moved: FloatArray | None = None

    def checked(self, turned_rad: FloatArray, moved: FloatArray) -> Signs:
        """With the poses that the pictures show."""
        return replace(self, turned_rad=turned_rad, moved=moved)

    def alone(self) -> Signs:
        """As if nobody had looked for the poses."""
        return replace(self, turned_rad=None, moved=None)

    def features(self) -> dict[str, FloatArray]:
        """What the log of the odds is linear in."""
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
    """(T,) that views have `GOOD_DB` or more.

    Args:
        calibration: weights of `Signs.features` by `ALONE` and `CHECKED`, as a model card holds them; where it has
            none for what was looked at, those of `ALONE`, and where it has none at all, rough ones.
        signs: of the views.
    """
    features = signs.features()
    kind = ALONE if signs.turned_rad is None else CHECKED
    weights = calibration.get(kind) or calibration.get(ALONE) or _ROUGH
    odds = np.sum([weight * features[name] for name, weight in weights.items()], axis=0)
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -30.0, 30.0))))
