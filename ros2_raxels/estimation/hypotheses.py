"""What passes between the estimator and the learned prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.tracks import Evidence

_SURELY_WRONG = 0.03


@dataclass(frozen=True)
class RaxelHypotheses:
    """What passes between the stages.

    Attributes:
        raxels: (H, N, rows, columns, 3) in the frame of the clip's first camera, clip units.
        inlier: (P, N) probability that an observation of the evidence is right; None means not judged.
    """

    raxels: FloatArray
    inlier: FloatArray | None = None


class Denoiser(Protocol):
    """The learned prior: raxel hypotheses and evidence in, better hypotheses out."""

    def denoise(self, evidence: Evidence, bearings: FloatArray, hypotheses: RaxelHypotheses) -> RaxelHypotheses:
        """`bearings` (N, rows, columns, 3) are the unit rays of each camera in its own frame."""
        ...

    def describe(self) -> str:
        """In a line: model, backend."""
        ...


def possible(inlier: FloatArray) -> FloatArray:
    """Weights of observations from their inlier probabilities: 0 for what is surely wrong, else 1."""
    return (inlier > _SURELY_WRONG).astype(float)
