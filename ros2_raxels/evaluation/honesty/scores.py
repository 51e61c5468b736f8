"""Scores of a stream of poses as a robot gets it: is what each pose says of itself true?

Positions are aligned to the truth with SE(3) where most poses are metric, otherwise with Sim(3), over all poses of the
stream; rotations by their own mean, since the positions of a turn on the spot do not fix the frame of the world. Each
pose then stands at a Mahalanobis distance from the truth, by its own covariance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from ros2_raxels.geometry.poses import FloatArray, nearest_rotation, rotation_angle_rad, rotation_vector
from ros2_raxels.geometry.trajectory import align_similarity, path_length
from ros2_raxels.tracking.frame_state import FrameState
from ros2_raxels.tracking.types import STATED_RAD, TrackState

SAME_FRAME_S = 0.02
"""A state is of the frame that is this close in time."""

INSIDE = {"68": 3.506, "95": 7.815}
"""Squared Mahalanobis distance in 3 dimensions within which this share of the poses should lie, %."""

SURE = 0.5
"""Confidence from which on a pose is acted upon."""

_BLUNDER_SQUARED = 25.0
_BLUNDER_SHARE, _BLUNDER_RAD = 0.01, np.radians(2.0)
"""Errors that matter: a share of the path, and an angle."""

_FEWEST = 10
_MOVED_M, _MOVED_RAD = 1e-3, 0.01
_TINY = 1e-12

GOOD_SHARE = 0.01
"""Share of the path within which a place is good where the stream does not say within what its confidence holds."""

STATED = tuple(k / 20 for k in range(1, 20))
"""Probabilities of the regions that reliability is looked at for."""


@dataclass(frozen=True, eq=False)
class Samples:
    """One entry for each pose that was scored; of several streams where they were put together.

    Attributes:
        position2, rotation2: (N,) squared Mahalanobis distance of the truth, 3 degrees of freedom each.
        position_share: (N,) error as a share of the path.
        rotation_rad: (N,) error.
        confidence: (N,) as stated.
        position_stated: (N,) error over the one that the confidence speaks of.
    """

    position2: FloatArray = field(default_factory=lambda: np.zeros(0))
    rotation2: FloatArray = field(default_factory=lambda: np.zeros(0))
    position_share: FloatArray = field(default_factory=lambda: np.zeros(0))
    rotation_rad: FloatArray = field(default_factory=lambda: np.zeros(0))
    confidence: FloatArray = field(default_factory=lambda: np.zeros(0))
    position_stated: FloatArray = field(default_factory=lambda: np.zeros(0))

    @staticmethod
    def together(samples: Sequence[Samples]) -> Samples:
        """Those of several streams."""
        if not samples:
            return Samples()
        return Samples(*(np.concatenate([vars(s)[name] for s in samples]) for name in Samples.__dataclass_fields__))

    @property
    def blunders(self) -> npt.NDArray[np.bool_]:
        """(N,) confident, more than five standard deviations off, and by an amount that matters."""
        position = (self.position2 > _BLUNDER_SQUARED) & (self.position_share > _BLUNDER_SHARE)
        rotation = (self.rotation2 > _BLUNDER_SQUARED) & (self.rotation_rad > _BLUNDER_RAD)
        return np.asarray((position | rotation) & (self.confidence >= SURE))

    def inside(self) -> dict[str, float]:
        """Share of the poses whose truth lies in their own regions, by name; empty without poses."""
        kinds = {"position": self.position2, "rotation": self.rotation2}
        if not len(self.position2):
            return {}
        return {f"{k}_inside_{p}": float((d < bound).mean()) for k, d in kinds.items() for p, bound in INSIDE.items()}

    def regions(self) -> dict[str, list[float]]:
        """By kind: share of the poses whose truth lies in the region of each probability of `STATED`."""
        bounds = chi2.ppf(STATED, 3)
        kinds = {"position": self.position2, "rotation": self.rotation2}
        return {k: [float((d < b).mean()) if len(d) else float("nan") for b in bounds] for k, d in kinds.items()}

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """(N,) within the error that the confidence speaks of."""
        return np.asarray((self.position_stated < 1.0) & (self.rotation_rad < STATED_RAD))

    def brier(self) -> float:
        """Mean squared difference between the confidence and whether the pose was good; NaN without poses."""
        return float(((self.confidence - self.good) ** 2).mean()) if len(self.good) else float("nan")

    def by_confidence(self, groups: int = 10) -> list[tuple[float, float, int]]:
        """(mean confidence, share that was good, poses) of each tenth of confidence in which there are poses."""
        group = np.minimum((self.confidence * groups).astype(int), groups - 1)
        return [
            (float(self.confidence[group == k].mean()), float(self.good[group == k].mean()), int((group == k).sum()))
            for k in range(groups)
            if (group == k).any()
        ]


@dataclass(frozen=True, eq=False)
class StreamScore:
    """One stream.

    Attributes:
        values: by name, as ``report.json`` holds them; without errors where fewer than ten frames have a pose.
        samples: of its poses.
    """

    values: Mapping[str, Any]
    samples: Samples = field(default_factory=Samples)


def score_stream(states: Sequence[FrameState], stamps_ns: Sequence[int], truth: FloatArray) -> StreamScore:
    """Score the poses of a stream.

    Args:
        states: as answered live, in order.
        stamps_ns: (N,) of all frames with a known pose, ascending.
        truth: (N, 4, 4) of what the states are of.
    """
    # As a file in seconds holds them, so that a frame is found by whoever reads one.
    stamps = np.round(np.array(stamps_ns, np.int64) * 1e-9, 4)
    framed = [(_frame(state, stamps), state) for state in states]
    found = [(number, state) for number, state in framed if number is not None]
    index = np.array([number for number, _ in found], int)
    path = path_length(truth)
    values: dict[str, Any] = {
        "frames": len(stamps),
        "answered": len(states),
        "tracked": len(set(index.tolist())) / len(stamps),
        "path": path,
    }
    if len(found) < _FEWEST:
        return StreamScore(values)
    own = np.array([state.pose for _, state in found])
    covariance = np.array([np.eye(6) if state.covariance is None else state.covariance for _, state in found])
    metric = float(np.mean([state.metric for _, state in found])) > 0.5
    scale, samples = _compared(own, covariance, truth[index], metric, path, [state for _, state in found])
    values |= {
        "metric": metric,
        "rmse_percent": 100 * _rms(samples.position_share),
        "max_percent": 100 * float(samples.position_share.max()),
        "rotation_deg": float(np.degrees(_rms(samples.rotation_rad))),
        "scale_error_percent": 100 * abs(1 / scale - 1) if metric else None,
        **samples.inside(),
        "blunders": float(samples.blunders.mean()),
        **_times(stamps, index, truth),
    }
    return StreamScore(values, samples)


def _frame(state: FrameState, stamps: FloatArray) -> int | None:
    """Index of the frame that a pose is of; None where there is no pose of its own."""
    if state.state != TrackState.TRACKING.name or state.pose is None:
        return None
    away = np.abs(stamps - state.stamp_ns * 1e-9)
    return int(away.argmin()) if away.min() < SAME_FRAME_S else None


def _compared(
    own: FloatArray, covariance: FloatArray, truth: FloatArray, metric: bool, path: float, states: Sequence[FrameState]
) -> tuple[float, Samples]:
    """The scale of the best Sim(3), and the errors by the covariance of each pose."""
    similarity = align_similarity(own[:, :3, 3], truth[:, :3, 3])
    scale, turn, shift = align_similarity(own[:, :3, 3], truth[:, :3, 3], with_scale=False) if metric else similarity
    off = scale * own[:, :3, 3] @ turn.T + shift - truth[:, :3, 3]
    inverse = truth[:, :3, :3].transpose(0, 2, 1)
    offset = nearest_rotation((truth[:, :3, :3] @ own[:, :3, :3].transpose(0, 2, 1)).sum(axis=0))
    turned = np.array([rotation_vector(rotation) for rotation in inverse @ offset @ own[:, :3, :3]])
    in_world = (truth[:, :3, :3] @ turned[..., None])[..., 0]
    away = np.linalg.norm(off, axis=1)
    stated = np.array([GOOD_SHARE * path if s.stated is None else scale * s.stated for s in states])
    samples = Samples(
        _squared(off, scale**2 * turn @ covariance[:, :3, :3] @ turn.T),
        _squared(in_world, offset @ covariance[:, 3:, 3:] @ offset.T),
        away / path if path > 0 else np.zeros(len(off)),
        np.linalg.norm(turned, axis=1),
        np.array([state.confidence for state in states], float),
        away / np.maximum(stated, _TINY),
    )
    return similarity[0], samples


def _squared(errors: FloatArray, covariance: FloatArray) -> FloatArray:
    """(N,) squared Mahalanobis distances of errors (N, 3)."""
    inverse = np.linalg.inv(covariance + _TINY * np.eye(3))
    return np.asarray(np.einsum("ni,nij,nj->n", errors, inverse, errors))


def _times(stamps: FloatArray, index: npt.NDArray[np.int_], truth: FloatArray) -> dict[str, float]:
    """When the first pose came, and the longest time without one while the camera moved, s."""
    away = np.linalg.norm(truth[:, :3, 3] - truth[0, :3, 3], axis=1)
    turned = rotation_angle_rad(truth[0, :3, :3].T @ truth[:, :3, :3])
    moved = np.flatnonzero((away > _MOVED_M) | (turned > _MOVED_RAD))
    begin = stamps[moved[0]] if len(moved) else stamps[0]
    at = stamps[index]
    gaps = np.diff(np.concatenate([[begin], np.unique(at[at >= begin]), [stamps[-1]]]))
    return {
        "first_pose_s": float(at[0] - stamps[0]),
        "first_pose_after_motion_s": float(max(at[0] - begin, 0.0)),
        "longest_gap_moving_s": float(gaps.max()),
    }


def _rms(values: FloatArray) -> float:
    return float(np.sqrt((values**2).mean()))
