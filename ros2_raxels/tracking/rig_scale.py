"""The unit of a world in which a rig moves, from what its cameras say of each other's motion in turns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

_GUESS = 1.0
"""Information of the guess: a factor of e."""

_DRIFT = 0.002
"""Of the unit from one keyframe to the next, relative."""

_ROUGH = 0.25
_INFLATION = 1.3
"""What is left of wrong matches and of the errors that all cameras share."""

_LEAST_INFORMATION = 1e-3


@dataclass(frozen=True)
class RigScale:
    """What is known of the unit.

    Attributes:
        units: world units of a metre.
        information: of its logarithm.
        is_given: whether the world is in metres for another reason, and nothing is to be learned here.
    """

    units: float = 1.0
    information: float = _GUESS
    is_given: bool = False

    @property
    def sigma(self) -> float:
        """Relative standard deviation."""
        return _INFLATION / float(np.sqrt(self.information))

    @property
    def tells(self) -> bool:
        """Whether it is better than a guess."""
        return self.sigma < _ROUGH and not self.is_given

    @property
    def prior(self) -> float:
        """Information with which it enters the next refinement."""
        return 1.0 / (1.0 / self.information + _DRIFT**2)

    def after(self, units: float, information: float, windows: int) -> RigScale:
        """After a refinement of keyframes that `prior` entered.

        Args:
            units: what was found.
            information: of the images alone.
            windows: so many refinements see the same images.
        """
        if self.is_given:
            return self
        if information < _LEAST_INFORMATION:
            return replace(self, information=self.prior)
        # What the images say alone; of that this refinement's share is new.
        alone = float(np.log(units / self.units)) * (self.prior + information) / information
        new = information / windows
        step = alone * new / (self.prior + new)
        return RigScale(self.units * float(np.exp(step)), self.prior + new)

    def grown(self, factor: float) -> RigScale:
        """Lengths around the cameras have become so many times as large; where metres are given they stay metres."""
        return self if self.is_given else replace(self, units=self.units * factor)
