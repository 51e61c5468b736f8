"""The unit of a world in which a rig moves, from what its cameras say of each other's motion in turns.

The newest keyframes are refined together, a window of them each time that there is another one, so that what they say
is heard many times. It counts in whole as long as they are in the window, and in a share of each window after that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import UnitsPrior

_GUESS = 1.0
"""Information of the guess: a factor of e."""

_DRIFT = 0.004
"""Of the unit from one keyframe to the next, relative."""

_WINDOW_SIGMA = 0.02
"""What a window says is off by so much, however well it is seen: all its matches may miss alike."""

_LEAST_INFORMATION = 1.0
"""Less is none: what it says may be out by any factor."""

_ROUGH = 0.25
_INFLATION = 1.3
"""What is left of wrong matches and of the errors that all cameras share."""


@dataclass(frozen=True)
class RigScale:
    """What is known of the unit.

    Attributes:
        units: world units of a metre.
        information: of its logarithm.
        is_given: whether the world is in metres for another reason, and nothing is to be learned here.
        settled: what was known of it before the keyframes that are refined still; None where that is the same.
        recent: what each of the last windows has said alone, with its share of the information, the oldest first.
    """

    units: float = 1.0
    information: float = _GUESS
    is_given: bool = False
    settled: UnitsPrior | None = None
    recent: tuple[UnitsPrior, ...] = ()

    @property
    def sigma(self) -> float:
        """Relative standard deviation."""
        return _INFLATION / float(np.sqrt(self.information))

    @property
    def tells(self) -> bool:
        """Whether it is better than a guess."""
        return self.sigma < _ROUGH and not self.is_given

    @property
    def prior(self) -> UnitsPrior:
        """What enters the next refinement: nothing of what its images say themselves."""
        known = self.settled or UnitsPrior(self.units, self.information)
        return replace(known, information=1.0 / (1.0 / known.information + _DRIFT**2))

    def after(self, units: float, information: float, windows: int) -> RigScale:
        """After a refinement of keyframes that `prior` entered.

        Args:
            units: what was found.
            information: of the images alone.
            windows: so many refinements see the same images.
        """
        if self.is_given:
            return self
        prior, recent, alone = self.prior, self.recent, UnitsPrior(1.0, 0.0)
        if information > _LEAST_INFORMATION:
            off = float(np.log(units / prior.units)) * (prior.information + information) / information
            believed = 1.0 / (1.0 / information + _WINDOW_SIGMA**2)
            alone = UnitsPrior(prior.units * float(np.exp(off)), believed)
        if len(recent) >= windows:
            prior, recent = _both(prior, recent[0]), recent[1:]
        recent = (*recent, replace(alone, information=alone.information / windows))
        # In the beginning of a turn the window that is refined says most, behind it those that have seen it.
        shared = reduce(_both, recent)
        now = _both(prior, max(alone, shared, key=lambda told: told.information))
        return RigScale(now.units, now.information, settled=prior, recent=recent)

    def grown(self, factor: float) -> RigScale:
        """Lengths around the cameras have become so many times as large; where metres are given they stay metres."""
        if self.is_given:
            return self
        settled = self.settled and self.settled.grown(factor)
        recent = tuple(told.grown(factor) for told in self.recent)
        return replace(self, units=self.units * factor, settled=settled, recent=recent)


def _both(one: UnitsPrior, other: UnitsPrior) -> UnitsPrior:
    """What two say that know nothing of each other."""
    information = one.information + other.information
    if information == 0.0:
        return one
    share = other.information / information
    return UnitsPrior(one.units * float(np.exp(share * np.log(other.units / one.units))), information)
