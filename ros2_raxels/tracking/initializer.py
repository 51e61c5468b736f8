"""The first cameras of a trajectory: frames are collected until the image has moved far enough to solve them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ros2_raxels.estimation.estimator import ClipEstimate, Estimator
from ros2_raxels.geometry.covariance import with_unit
from ros2_raxels.geometry.poses import FloatArray, interpolate_pose, make_pose
from ros2_raxels.geometry.turns import Turn
from ros2_raxels.tracking.frame import SolvedFrame, StreamFrame
from ros2_raxels.tracking.shared_matches import SharedMatches
from ros2_raxels.tracking.types import TrackerSettings
from ros2_raxels.tracking.what_is_wrong import nearly_constant, what_is_wrong
from ros2_raxels.utils.timing import timed

_LITTLE_OVERLAP, _ENOUGH_OVERLAP = 0.15, 0.3
"""Share of the first frame that is still seen: below the one, two frames are enough; below the other, no more come."""

_PATIENCE = 4.0
"""After `TrackerSettings.start_frames` frames, so many times less motion is enough."""

_LEAST_SIGMA_RAD, _LEAST_SIGMA = 0.005, 0.01
"""Of the first cameras; translation as a share of the scene's depth."""


@dataclass(frozen=True)
class Waiting:
    """No cameras yet.

    Attributes:
        reason: why, in words.
        given_up: frames that will not be among the first cameras any more.
        turn: from the first frame that is collected to the newest; None where the images do not tell.
        advance: from the first frame that was collected to the one that takes its place; None as before, or where
            `given_up` is empty.
    """

    reason: str
    given_up: Sequence[StreamFrame] = ()
    turn: Turn | None = None
    advance: Turn | None = None


@dataclass(frozen=True, eq=False)
class FirstCameras:
    """Cameras that could be solved.

    Attributes:
        frames: those that were solved, the newest last.
        clip: their solve; clip units.
        waited: all frames that were collected before the newest, solved or not.
    """

    frames: Sequence[StreamFrame]
    clip: ClipEstimate
    waited: Sequence[StreamFrame]

    @property
    def path(self) -> list[tuple[int, FloatArray]]:
        """Stamps, ns, and places (3,) of the solved cameras in the first one; clip units."""
        poses = zip(self.frames, self.clip.camera_to_first, strict=True)
        return [(frame.stamp_ns, pose[:3, 3]) for frame, pose in poses]

    @property
    def scene_depth(self) -> float:
        """Median depth of what the first camera sees; clip units."""
        return 1.0 / self._inverse_depth

    @property
    def _inverse_depth(self) -> float:
        """The median of it."""
        depth = self.clip.inverse_depth[(self.clip.evidence.anchor == 0) & (self.clip.inverse_depth > 0)]
        return float(np.median(depth)) if len(depth) else 1.0

    def placed(
        self, first_to_world: FloatArray, covariance: FloatArray, unit: float
    ) -> tuple[list[SolvedFrame], float]:
        """The frames in the world, and how many world units a clip unit has.

        Args:
            first_to_world: 4x4, where the first camera stands.
            covariance: 6x6 of that.
            unit: what the median depth of the scene becomes.
        """
        clip_to_unit = unit * self._inverse_depth
        uncertain = with_unit(covariance + self._covariance(unit), 0.0)
        solved = []
        for frame, pose, camera in zip(self.frames, self.clip.camera_to_first, self.clip.cameras, strict=True):
            in_world = first_to_world @ make_pose(pose[:3, :3], pose[:3, 3] * clip_to_unit)
            seen = StreamFrame(frame.number, frame.stamp_ns, frame.features, camera)
            solved.append(SolvedFrame(seen, in_world, uncertain))
        return solved, clip_to_unit

    def _covariance(self, unit: float) -> FloatArray:
        """6x6 of the solve: the spread of its hypotheses, and at least a percent of the scene's depth."""
        rotation = max(float(self.clip.spread_rotation_rad.max()), _LEAST_SIGMA_RAD)
        translation = max(_LEAST_SIGMA, 0.1 * float(self.clip.spread_direction_rad.max())) * unit
        return np.diag([translation**2] * 3 + [rotation**2] * 3)

    def between(self, solved: Sequence[SolvedFrame]) -> tuple[tuple[int, FloatArray], ...]:
        """(stamp_ns, camera_to_world) of the frames that waited, by time between the solved ones.

        These lie a few frames apart, where motion is smooth.
        """
        poses = []
        for frame in self.waited:
            after = next((s for s in solved if s.frame.number >= frame.number), solved[-1])
            before = next((s for s in reversed(solved) if s.frame.number <= frame.number), solved[0])
            gap_ns = max(after.frame.stamp_ns - before.frame.stamp_ns, 1)
            share = min(max((frame.stamp_ns - before.frame.stamp_ns) / gap_ns, 0.0), 1.0)
            poses.append((frame.stamp_ns, interpolate_pose(before.camera_to_world, after.camera_to_world, share)))
        return tuple(poses)


_LEAST_PARALLAX_PX = 0.5
"""Of the working image: what flow misses by where a camera only turns is less."""

AT_REST = Turn(np.eye(3), 0.0, 0.0)

_FIRST, _MOVED = "first frame", "image moved"

BEFORE_TRYING = (_FIRST, _MOVED)
"""How the reason begins while the first cameras are not tried, because the image has not moved enough."""


class Initializer:
    """Collects frames, and solves the first cameras.

    Args:
        settings: of the tracker.
        estimator: solves them.
        shared: tells how far the image has moved, and what the frames have in common.
        frames: to begin with.
    """

    def __init__(
        self,
        settings: TrackerSettings,
        estimator: Estimator,
        shared: SharedMatches,
        frames: Sequence[StreamFrame] = (),
    ) -> None:
        self._settings, self._estimator, self._shared = settings, estimator, shared
        self._pending = list(frames)

    @property
    def pending(self) -> Sequence[StreamFrame]:
        """What was collected."""
        return self._pending

    def see(self, frame: StreamFrame, focal_known: bool, stage_s: dict[str, float]) -> FirstCameras | Waiting:
        """Take the next frame, and solve the first cameras if it shows enough motion.

        Args:
            frame: the next one.
            focal_known: whether the cameras of the frames are to be believed; the focal length is estimated otherwise.
            stage_s: wall times, s, are added here.
        """
        if blank := nearly_constant(frame.features):
            # Not collected: no motion can be seen from it to others, and it would only put off the start.
            return Waiting(blank)
        if not self._pending:
            self._pending.append(frame)
            return Waiting(f"{_FIRST}; waiting for motion", turn=AT_REST)
        with timed(stage_s, "evidence"):
            motion, overlap = self._shared.image_motion(self._pending[0], frame)
        waited = len(self._pending)
        self._pending.append(frame)
        enough = self._settings.start_motion / (_PATIENCE if waited >= self._settings.start_frames else 1.0)
        if overlap < _LITTLE_OVERLAP and waited == 1:
            enough = 0.0
        turn = self._turned(self._pending[0], frame)
        if motion < enough and overlap > _ENOUGH_OVERLAP:
            self._pending = _spread_out(self._pending, self._settings.start_frames)
            reason = f"{_MOVED} {100 * motion:.1f} % of its width; {100 * enough:.1f} % needed to start"
            return Waiting(reason, turn=turn)
        if turn is None or turn.left_rad * frame.camera.fx >= _LEAST_PARALLAX_PX:
            return self._solve(focal_known, stage_s)
        # A solve takes as long as several frames, and would only say the same.
        left_px = turn.left_rad * frame.camera.fx
        reason = f"all but {left_px:.1f} px of what the image has moved is a turn; move sideways, not only turn"
        if overlap <= _ENOUGH_OVERLAP:
            return self._give_up_half(reason)
        self._pending = _spread_out(self._pending, self._settings.start_frames)
        return Waiting(reason, turn=turn)

    def _turned(self, first: StreamFrame, frame: StreamFrame) -> Turn | None:
        """How the camera has turned, as far as both images are alike enough to tell."""
        return None if what_is_wrong(frame.features, first.features) else self._shared.turn(first, frame)

    def _solve(self, focal_known: bool, stage_s: dict[str, float]) -> FirstCameras | Waiting:
        chosen = _spread_out(self._pending, self._settings.window + 1)
        with timed(stage_s, "solve"):
            clip = self._estimator.estimate_seen(
                [f.features for f in chosen], [f.camera for f in chosen] if focal_known else None
            )
        confidence = float(clip.confidence[-1])
        if confidence >= self._settings.confidence_min:
            return FirstCameras(chosen, clip, self._pending[:-1])
        return self._give_up_half(
            f"first cameras are too uncertain (confidence {confidence:.2f}); move sideways, not only turn"
        )

    def _give_up_half(self, reason: str) -> Waiting:
        """The oldest frames may no longer overlap with the newest: start again from the middle."""
        half = len(self._pending) // 2
        given_up, self._pending = self._pending[:half], self._pending[half:]
        first, newest = self._pending[0], self._pending[-1]
        return Waiting(reason, given_up, self._turned(first, newest), self._turned(given_up[0], first))


def _spread_out(frames: Sequence[StreamFrame], count: int) -> list[StreamFrame]:
    """At most `count` of them, evenly spread in time, the first and last among them."""
    if len(frames) <= count:
        return list(frames)
    return [frames[k] for k in np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))]
