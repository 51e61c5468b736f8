"""Hypotheses of a clip's cameras, and the learned prior as the stages that use it see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.tracks import Evidence

_SURELY_WRONG = 0.03


@dataclass(frozen=True)
class PoseHypotheses:
    """Candidate cameras of a clip, and how far its evidence is believed.

    Attributes:
        camera_to_first: (H, N, 4, 4), clip units.
        inlier: (P, N) probability that an observation of the evidence is right; None where nothing has judged it.
    """

    camera_to_first: FloatArray
    inlier: FloatArray | None = None


class Denoiser(Protocol):
    """The learned prior: evidence and hypotheses of the cameras in, better hypotheses out."""

    def denoise(self, evidence: Evidence, bearings: FloatArray, hypotheses: PoseHypotheses) -> PoseHypotheses:
        """Propose cameras, and judge the evidence.

        Args:
            evidence: P tracks over N frames.
            bearings: (N, rows, columns, 3) unit rays of each camera in its own frame, see `clip_bearings`.
            hypotheses: one or more to begin with.
        """
        ...

    def describe(self) -> str:
        """Model and backend, in one line."""
        ...


def possible(inlier: FloatArray) -> FloatArray:
    """Weights of observations from their inlier probabilities: 0 for what is surely wrong, else 1."""
    return (inlier > _SURELY_WRONG).astype(float)
