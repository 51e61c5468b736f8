"""The first cameras of a trajectory: frames are collected until the image has moved far enough to solve them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ros2_raxels.estimation.estimator import ClipEstimate, Estimator
from ros2_raxels.geometry.covariance import with_unit
from ros2_raxels.geometry.poses import FloatArray, interpolate_pose, make_pose
from ros2_raxels.geometry.turns import Turn
from ros2_raxels.tracking.background import AtOnce, InBackground
from ros2_raxels.tracking.frame import SolvedFrame, StreamFrame
from ros2_raxels.tracking.pose_covariance import of_first_cameras
from ros2_raxels.tracking.shared_matches import SharedMatches
from ros2_raxels.tracking.types import TrackerSettings
from ros2_raxels.tracking.what_is_wrong import nearly_constant, what_is_wrong
from ros2_raxels.utils.right_of_way import RightOfWay
from ros2_raxels.utils.timing import timed

_LITTLE_OVERLAP, _ENOUGH_OVERLAP = 0.15, 0.3
"""Share of the first frame that is still seen: below the one, two frames are enough; below the other, no more come."""

_PATIENCE = 4.0
"""After `TrackerSettings.start_frames` frames, so many times less motion is enough."""


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
        shared: what the solved ones have in common.
        since: some of the frames that came while these were being solved, without the newest.
    """

    frames: Sequence[StreamFrame]
    clip: ClipEstimate
    waited: Sequence[StreamFrame]
    shared: SharedMatches
    since: Sequence[StreamFrame] = ()

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
        self, first_to_world: FloatArray, covariance: FloatArray, unit: float, unit_variance: float = 0.0
    ) -> tuple[list[SolvedFrame], float]:
        """The frames in the world, and how many world units a clip unit has.

        Args:
            first_to_world: 4x4, where the first camera stands.
            covariance: 6x6 of that.
            unit: what the median depth of the scene becomes.
            unit_variance: of its logarithm, compared with the trajectories before.
        """
        clip_to_unit = unit * self._inverse_depth
        spread = float(self.clip.spread_rotation_rad.max()), float(self.clip.spread_direction_rad.max())
        uncertain = with_unit(covariance + of_first_cameras(*spread, unit), unit_variance)
        solved = []
        for frame, pose, camera in zip(self.frames, self.clip.camera_to_first, self.clip.cameras, strict=True):
            in_world = first_to_world @ make_pose(pose[:3, :3], pose[:3, 3] * clip_to_unit)
            solved.append(SolvedFrame(replace(frame, camera=camera), in_world, uncertain))
        return solved, clip_to_unit

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

_FIRST, _MOVED, _SOLVING = "first frame", "image moved", "first cameras are being solved"

NO_TROUBLE = (_FIRST, _MOVED, _SOLVING)
"""How the reason begins while nothing speaks against first cameras: they wait for motion, or are being solved."""

_STEPS = 4
"""From first cameras to the present, where frames went on meanwhile and may show little of the same."""

_PATIENCE_S = 10.0
"""The first cameras take a fifth of a second, on a busy machine a whole one; after this they are given up."""


@dataclass(frozen=True, eq=False)
class FirstSolve:
    """First cameras as they were solved, sure or not, their frames, and what these have in common."""

    frames: Sequence[StreamFrame]
    clip: ClipEstimate
    shared: SharedMatches


class FirstSolver:
    """Solves first cameras one after the other, beside the frames that go on or while they wait.

    Args:
        estimator: nobody else's while frames go on.
        in_background: by a thread of its own; else when it is begun.
        way: the frames', which that thread gives way to.
    """

    def __init__(self, estimator: Estimator, in_background: bool, way: RightOfWay | None = None) -> None:
        self._estimator = estimator
        self._work: AtOnce[FirstSolve] | InBackground[FirstSolve] = (
            InBackground("raxels-start", _PATIENCE_S, way=way) if in_background else AtOnce()
        )

    @property
    def is_busy(self) -> bool:
        """Whether nothing can be begun now, and nothing is known of what was begun."""
        return self._work.is_busy

    def begin(self, frames: Sequence[StreamFrame], focal_known: bool) -> None:
        """Solve the cameras of some frames; not while busy.

        Raises:
            StuckError: too many solves are stuck.
        """
        self._work.begin(lambda: self._solved(frames, focal_known))

    def _solved(self, frames: Sequence[StreamFrame], focal_known: bool) -> FirstSolve:
        shared = SharedMatches(self._estimator.matcher)
        shared.connect(frames)
        features = [f.features for f in frames]
        cameras = [f.camera for f in frames] if focal_known else None
        clip = self._estimator.estimate_seen(features, cameras, matches=shared.by_position(frames))
        for frame in frames:
            # By these the map remembers places; found once, kept with the frame.
            self._estimator.matcher.keypoints(frame.features)
        return FirstSolve(frames, clip, shared)

    def outcome(self) -> FirstSolve | None:
        """What the last solve has brought, once; None while it goes on, and where none was begun.

        Raises:
            StuckError: it has gone on for too long, and is given up.
            Exception: whatever went wrong in it.
        """
        return self._work.outcome()

    def drop(self) -> None:
        """What is being solved is not wanted any more."""
        self._work.drop()

    def wait(self) -> None:
        """Until nothing is being solved."""
        self._work.wait()


class Initializer:
    """Collects frames, and has the first cameras solved.

    Args:
        settings: of the tracker.
        solver: solves them; what it has begun for another is dropped.
        shared: tells how far the image has moved, and what the frames have in common.
        frames: to begin with.
    """

    def __init__(
        self,
        settings: TrackerSettings,
        solver: FirstSolver,
        shared: SharedMatches,
        frames: Sequence[StreamFrame] = (),
    ) -> None:
        self._settings, self._solver, self._shared = settings, solver, shared
        self._pending = list(frames)
        self._begun: Sequence[StreamFrame] = ()
        solver.drop()

    @property
    def pending(self) -> Sequence[StreamFrame]:
        """What was collected, and what is being solved."""
        return [*self._pending, *(f for f in self._begun if f not in self._pending)]

    def see(self, frame: StreamFrame, focal_known: bool, stage_s: dict[str, float]) -> FirstCameras | Waiting:
        """Take the next frame, and have the first cameras solved if it shows enough motion.

        First cameras that are solved beside the frames end with one that came some frames ago.

        Args:
            frame: the next one.
            focal_known: whether the cameras of the frames are to be believed; the focal length is estimated otherwise.
            stage_s: wall times, s, are added here.

        Raises:
            StuckError: the first cameras were given up; frames are collected on.
            Exception: whatever went wrong in their solve, likewise.
        """
        if blank := nearly_constant(frame.features):
            # Not collected: no motion can be seen from it to others, and it would only put off the start.
            return Waiting(blank)
        if not self._pending:
            self._pending.append(frame)
            return Waiting(f"{_FIRST}; waiting for motion", turn=AT_REST)
        waited = len(self._pending)
        self._pending.append(frame)
        solved = self._solver.outcome()
        if solved is not None:
            return self._judge(solved)
        with timed(stage_s, "evidence"):
            motion, overlap = self._shared.image_motion(self._pending[0], frame)
        enough = self._settings.start_motion / (_PATIENCE if waited >= self._settings.start_frames else 1.0)
        if overlap < _LITTLE_OVERLAP and waited == 1:
            enough = 0.0
        turn = self._turned(self._pending[0], frame)
        if self._solver.is_busy:
            self._pending = _spread_out(self._pending, self._settings.start_frames)
            return Waiting(_SOLVING, turn=turn)
        if motion < enough and overlap > _ENOUGH_OVERLAP:
            self._pending = _spread_out(self._pending, self._settings.start_frames)
            reason = f"{_MOVED} {100 * motion:.1f} % of its width; {100 * enough:.1f} % needed to start"
            return Waiting(reason, turn=turn)
        if turn is None or turn.left_rad * frame.camera.fx >= _LEAST_PARALLAX_PX:
            return self._solve(turn, focal_known, stage_s)
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

    def _solve(self, turn: Turn | None, focal_known: bool, stage_s: dict[str, float]) -> FirstCameras | Waiting:
        self._begun = list(self._pending)
        with timed(stage_s, "solve"):
            self._solver.begin(_spread_out(self._pending, self._settings.window + 1), focal_known)
            solved = self._solver.outcome()
        return Waiting(_SOLVING, turn=turn) if solved is None else self._judge(solved)

    def _judge(self, solved: FirstSolve) -> FirstCameras | Waiting:
        waited, self._begun = self._begun[:-1], ()
        confidence = float(solved.clip.confidence[-1])
        if confidence >= self._settings.confidence_min:
            since = [frame for frame in self._pending[:-1] if frame.number > solved.frames[-1].number]
            return FirstCameras(solved.frames, solved.clip, waited, solved.shared, _spread_out(since, _STEPS))
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
