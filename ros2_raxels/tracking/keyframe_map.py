"""Keyframes of a trajectory: the window that frames are solved against, and the older ones that are found again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import RefineSettings, refine
from ros2_raxels.estimation.inliers import INLIER_PX
from ros2_raxels.geometry.covariance import in_other_unit
from ros2_raxels.geometry.poses import FloatArray, relative_pose, rotation_angle_rad
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.frame import KeyframePose, StreamFrame, Trajectory, beside, scaled_about
from ros2_raxels.tracking.place_index import PlaceIndex
from ros2_raxels.tracking.pose_graph import Edge, relax
from ros2_raxels.tracking.resection import orthogonal
from ros2_raxels.tracking.shared_matches import SharedEvidence

_WINDOW = RefineSettings(widths_px=(3.0, 2.0), iterations=6)
_BUNDLE_TRACKS = 1200
_LEAST_BASELINE = 0.05
"""Of the unit, between keyframes that a frame is solved against after a loss or for a loop."""

_RIGID = 0.02
"""Variance of the shortest edge; longer ones give way in proportion to their length and turn."""

_BREAK = 1e4
"""Variance of the joint where a new trajectory was begun: all of it gives way before anything else does."""


@dataclass(frozen=True)
class MapSettings:
    """How many keyframes, and how they are used.

    Attributes:
        window: keyframes that a new frame is solved against.
        bundle: newest keyframes that are refined together.
        stored: older keyframes kept for loops and for recovery after a loss; beyond that they are thinned out.
        history: whether `place` knows those that were thinned out, too; takes half a kilobyte for each.
    """

    window: int = 3
    bundle: int = 7
    stored: int = 300
    history: bool = False


class KeyframeMap:
    """Keyframes in one world; each trajectory in it has a unit of its own until a loop joins it to another.

    Attributes:
        window: newest in the last place; frames are solved against these.
        stored: older ones.
        shared: what they have in common.
        trajectories: by the number of the keyframe with which they began.
        present: the one of these that goes on.
        loops: pairs of numbers of keyframes that were found to show the same place.
    """

    def __init__(self, matcher: Matcher, settings: MapSettings) -> None:
        self.settings = settings
        self.window: list[StreamFrame] = []
        self.stored: list[StreamFrame] = []
        self.shared = SharedEvidence(matcher)
        self.present = 0
        self.trajectories = {self.present: Trajectory()}
        self._matcher = matcher
        self._places = PlaceIndex()
        self.loops: set[tuple[int, int]] = set()
        self._dropped: dict[int, tuple[KeyframePose, float]] = {}

    @property
    def unit(self) -> float:
        """Distance that counts as far in the present trajectory."""
        return self.trajectories[self.present].unit

    def unit_of(self, frame: StreamFrame) -> float:
        """Distance that counts as far around a keyframe."""
        return self.trajectories[frame.trajectory].unit

    @property
    def all(self) -> list[StreamFrame]:
        """Every keyframe, by number."""
        return sorted((*self.stored, *self.window), key=lambda f: f.number)

    def lately(self, frame: StreamFrame, count: int) -> list[StreamFrame]:
        """A keyframe, so many at most along which the trajectory came to it, and those it was solved against."""
        return [*self._before(frame, count - 1), *self.window, frame]

    def way(self, known: StreamFrame, frame: StreamFrame) -> list[StreamFrame]:
        """From an older keyframe to a newer one, as the trajectory came; in time where it did not come from there."""
        came = [*self._before(frame, len(self.stored) + len(self.window)), frame]
        if known in came:
            return came[came.index(known) :]
        return [f for f in self.all if known.number <= f.number <= frame.number]

    def forget_all_but(self, others: Iterable[StreamFrame]) -> None:
        """Drop evidence of frames that are neither keyframes nor among these."""
        self.shared.forget_all_but((*self.window, *self.stored, *others))

    # -- growth

    def begin(self, frames: Sequence[StreamFrame], unit: float) -> None:
        """The first keyframes of a trajectory; what was there before stays, to be found again."""
        self.end_trajectory()
        kept = {f.trajectory for f in self.stored}
        self.trajectories = {number: facts for number, facts in self.trajectories.items() if number in kept}
        self.present = frames[0].number
        self.trajectories[self.present] = Trajectory(unit)
        for before, frame in zip([None, *frames], frames, strict=False):
            frame.trajectory = self.present
            frame.parent = None if before is None else before.number
            self._remember(frame)
        self.window = list(frames)[-self.settings.window :]
        self.stored.extend(frames[: -self.settings.window])
        self._thin_out()

    def add(self, frame: StreamFrame) -> None:
        """Make a keyframe of a solved frame, measure its depths and refine the newest ones together."""
        others = [*self._before(self.window[0], self.settings.bundle - self.settings.window), *self.window]
        frame.parent, frame.trajectory = self.window[-1].number, self.present
        self.shared.both_ways(others, frame)
        self.shared.measure(others, frame)
        self._remember(frame)
        self.window.append(frame)
        if len(self.window) > self.settings.window:
            self.stored.append(self.window.pop(0))
            self._thin_out()
            self._lighten(self.stored[: -self.settings.bundle])
        self._refine([*others, frame])
        self.shared.connect(self.window)

    def insert(self, frame: StreamFrame, near: Sequence[StreamFrame]) -> None:
        """Make a keyframe of a solved frame that is not where the trajectory is now, beside those near it."""
        frame.trajectory = near[0].trajectory
        self.shared.both_ways(near, frame)
        self.shared.measure(near, frame)
        self._remember(frame)
        self._lighten([frame])
        self.stored.append(frame)
        self._thin_out()

    def _before(self, frame: StreamFrame, count: int) -> list[StreamFrame]:
        """So many keyframes at most along which the trajectory came to this one, oldest first."""
        by_number = self._by_number()
        found: list[StreamFrame] = []
        while len(found) < count and frame.parent in by_number:
            frame = by_number[frame.parent]
            found.insert(0, frame)
        return found

    def end_trajectory(self) -> None:
        """What follows is solved without these; they stay to be found again."""
        self.stored.extend(self.window)
        self.window = []

    def restore(
        self, frames: Sequence[StreamFrame], loops: Iterable[tuple[int, int]], trajectories: Mapping[int, Trajectory]
    ) -> None:
        """Take over keyframes that were known before, by number, into an empty map; that of the last one goes on."""
        self.trajectories, self.present, self.loops = dict(trajectories), frames[-1].trajectory, set(loops)
        for frame in frames:
            self._remember(frame)
        self.stored, self.window = list(frames[: -self.settings.window]), list(frames[-self.settings.window :])
        self._lighten(self.stored)

    def _remember(self, frame: StreamFrame) -> None:
        self._places.add(frame.number, self._matcher.keypoints(frame.features))

    @staticmethod
    def _lighten(frames: Iterable[StreamFrame]) -> None:
        """Keypoints take a megabyte a frame, and are found again in no time where they are needed again."""
        for frame in frames:
            frame.features.keypoints = None

    def _refine(self, frames: Sequence[StreamFrame]) -> None:
        """Keyframes together; the oldest two hold the place and the scale."""
        if len(frames) < 3:
            return
        evidence = self.shared.among(frames, _BUNDLE_TRACKS)
        fixed = np.arange(len(frames)) < 2
        poses = np.array([[f.camera_to_world for f in frames]])
        refined = refine(evidence, poses, _WINDOW, fixed=fixed)
        for frame, pose in zip(frames, refined.camera_to_first[0], strict=True):
            frame.camera_to_world = orthogonal(pose)
        agrees = np.nanmin(refined.residual_px[0], axis=1) < INLIER_PX
        self.shared.learn(frames, evidence, refined.inverse_depth[0], agrees)

    def _thin_out(self) -> None:
        """Where there are too many, those go first whose neighbours stand closest to each other."""
        while len(self.stored) > self.settings.stored:
            if len(self.stored) < 3:
                self._drop(self.stored[0])
                continue
            poses = np.array([f.camera_to_world for f in self.stored])
            units = np.array([self.unit_of(f) for f in self.stored[1:-1]])
            gap = _apart(relative_pose(poses[:-2], poses[2:]), units)
            self._drop(self.stored[1 + int(gap.argmin())])

    def _drop(self, frame: StreamFrame) -> None:
        self.stored.remove(frame)
        self._places.forget(frame.number)
        heir, by_number = self._heir(frame), self._by_number()
        if heir in by_number and self.settings.history:
            self._dropped[frame.number] = (beside(by_number[heir], frame.camera_to_world), frame.grown)
        for other in by_number.values():
            if other.parent == frame.number:
                other.parent = None if other.number == heir else heir
        loops = (tuple(heir if n == frame.number else n for n in pair) for pair in self.loops)
        self.loops = {(a, b) for a, b in loops if a != b and min(a, b) >= 0}

    def _heir(self, frame: StreamFrame) -> int:
        """Number of the keyframe that stands for one that is dropped; -1 without any."""
        if frame.parent is not None:
            return frame.parent
        return next((f.number for f in self.all if f.parent == frame.number), -1)

    def place(self, beside_keyframe: KeyframePose) -> FloatArray | None:
        """camera_to_world (4x4) of what was placed beside a keyframe, as that is known by now; None if it is not."""
        found = self._keyframe_now(beside_keyframe.keyframe)
        if found is None:
            return None
        pose, grown = found
        since = float(np.exp(grown - beside_keyframe.grown))
        return pose @ scaled_about(beside_keyframe.pose, since, np.zeros(3))

    def _keyframe_now(self, number: int) -> tuple[FloatArray, float] | None:
        """Pose of a keyframe, and how much lengths around it have grown; one that was dropped is with its heir."""
        by_number, chain = self._by_number(), []
        while number not in by_number:
            if number not in self._dropped:
                return None
            chain.append(number)
            number = self._dropped[number][0].keyframe
        kept = by_number[number]
        pose, grown = kept.camera_to_world, kept.grown
        for dropped in reversed(chain):
            beside_heir, own = self._dropped[dropped]
            since = grown - beside_heir.grown
            pose, grown = pose @ scaled_about(beside_heir.pose, float(np.exp(since)), np.zeros(3)), own + since
            # Directly beside what is kept, so that the next one who asks has no chain to follow.
            self._dropped[dropped] = (beside(kept, pose), grown)
        return pose, grown

    def _by_number(self) -> dict[int | None, StreamFrame]:
        return {f.number: f for f in (*self.stored, *self.window)}

    # -- places

    def like(self, frame: StreamFrame, besides: Iterable[StreamFrame] = ()) -> tuple[StreamFrame | None, int]:
        """The keyframe that shows most of what the frame shows, of all or all but some, and its votes; None without."""
        excluded = {f.number for f in besides}
        by_number = self._by_number()
        votes = self._places.votes(self._matcher.keypoints(frame.features))
        allowed = {n: count for n, count in votes.items() if n in by_number and n not in excluded}
        best = max(allowed, key=lambda n: allowed[n], default=-1)
        return (by_number[best], allowed[best]) if allowed.get(best) else (None, 0)

    def around(self, frame: StreamFrame, besides: Iterable[StreamFrame] = ()) -> list[StreamFrame]:
        """A keyframe and those nearest to it in space: after a recovery those in time may have been elsewhere.

        Where a place was seen many times the very nearest ones stand on one spot, and what is known of the distance
        between them is noise: they would set no scale. They are taken only if there are no others.
        """
        excluded, joined = set(map(id, besides)), self.joined(frame)
        candidates = [f for f in self.all if f.number in joined and id(f) not in excluded]
        poses = np.array([f.camera_to_world for f in candidates])
        apart = _apart(relative_pose(frame.camera_to_world, poses), self.unit_of(frame))
        nearest = np.argsort(apart, kind="stable").tolist()
        chosen: list[int] = []
        for k in nearest:
            baselines = np.linalg.norm(poses[chosen, :3, 3] - poses[k, :3, 3], axis=1)
            if (baselines > _LEAST_BASELINE * self.unit_of(frame)).all():
                chosen.append(k)
            if len(chosen) == self.settings.window:
                break
        chosen += [k for k in nearest if k not in chosen][: self.settings.window - len(chosen)]
        return sorted((candidates[k] for k in chosen), key=lambda f: f.number)

    def go_back_to(self, anchors: Sequence[StreamFrame]) -> None:
        """Frames are solved against these from now on, and their trajectory goes on."""
        self.present = anchors[0].trajectory
        self.stored = [f for f in self.all if f not in anchors]
        self.window = list(anchors)

    def joined(self, frame: StreamFrame) -> set[int]:
        """Numbers of the keyframes whose place relative to this one is known: of its trajectory, and by loops."""
        neighbours: dict[int, set[int]] = {}
        steps = ((f.number, f.parent) for f in self.all if f.parent is not None)
        for a, b in (*steps, *self.loops):
            neighbours.setdefault(a, set()).add(b)
            neighbours.setdefault(b, set()).add(a)
        found, ahead = {frame.number}, [frame.number]
        while ahead:
            new = neighbours.get(ahead.pop(), set()) - found
            found |= new
            ahead.extend(new)
        return found

    # -- the whole

    def close_loop(
        self, frame: StreamFrame, known: StreamFrame, camera_to_world: FloatArray, log_scale: float
    ) -> float:
        """Let the keyframes of both trajectories give way, so that `frame` comes to where it was found from `known`.

        Two trajectories become one, which begins where the older one began: in metres if either was, else in the unit
        of the older one.

        Args:
            frame: a keyframe.
            known: another, near which the place was known before.
            camera_to_world: 4x4 of `frame`, in the world as it is around `known`.
            log_scale: logarithm of the factor that turns distances around `frame` into the unit around `known`.

        Returns:
            Factor by which distances around `frame` have grown.
        """
        trajectories = {known.trajectory, frame.trajectory}
        frames = [f for f in self.all if f.trajectory in trajectories]
        index = {f.number: k for k, f in enumerate(frames)}
        measured = relative_pose(known.camera_to_world, camera_to_world)
        edges = self._edges(frames, index)
        edges.append(Edge(index[known.number], index[frame.number], measured, log_scale, _RIGID))
        poses, grown = relax(np.array([f.camera_to_world for f in frames]), edges, held=0)
        for each, pose, growth in zip(frames, poses, grown, strict=True):
            each.camera_to_world = orthogonal(pose)
            self._grow(each, float(np.exp(growth)))
        self.loops.add((known.number, frame.number))
        own = float(np.exp(grown[index[frame.number]]))
        if len(trajectories) == 1:
            return own
        newer = max(known, frame, key=lambda f: f.trajectory)
        return own * self._join(frames, float(np.exp(-grown[index[newer.number]])))

    def _join(self, frames: Sequence[StreamFrame], shrunk: float) -> float:
        """Make one of two trajectories, in the unit of the older one already; by which factor that grows after all.

        Args:
            frames: of both.
            shrunk: factor that brings back the unit that the newer one had.
        """
        older, newer = sorted({f.trajectory for f in frames})
        for frame in frames:
            frame.trajectory = older
        facts, dissolved = self.trajectories[older], self.trajectories.pop(newer)
        self.present = older if self.present == newer else self.present
        if facts.scale.is_metric or not dissolved.scale.is_metric:
            return 1.0
        facts.scale = replace(dissolved.scale, metres_per_unit=shrunk)
        self._rescale(older, shrunk, frames[0].camera_to_world[:3, 3].copy())
        return shrunk

    def _edges(self, frames: Sequence[StreamFrame], index: dict[int, int]) -> list[Edge]:
        """Each keyframe with the one that it was solved against, and the loops found so far: all as they are now."""
        edges = []
        for k, frame in enumerate(frames[1:], start=1):
            parent = index.get(-1 if frame.parent is None else frame.parent)
            edges.append(self._edge(frames, k - 1, k, _BREAK) if parent is None else self._edge(frames, parent, k))
        kept = ((index.get(a), index.get(b)) for a, b in self.loops)
        return edges + [self._edge(frames, a, b, _RIGID) for a, b in kept if a is not None and b is not None]

    def _edge(self, frames: Sequence[StreamFrame], first: int, second: int, variance: float | None = None) -> Edge:
        pose = relative_pose(frames[first].camera_to_world, frames[second].camera_to_world)
        apart = float(_apart(pose[None], self.unit_of(frames[first]))[0])
        return Edge(first, second, pose, 0.0, variance or _RIGID + apart)

    @property
    def origin(self) -> FloatArray:
        """camera_to_world (4x4) of the keyframe with which the present trajectory began."""
        return next(f.camera_to_world for f in self.all if f.trajectory == self.present)

    def rescale(self, factor: float, centre: FloatArray) -> None:
        """Make the present trajectory `factor` times as large about a point (3,) of the world."""
        self._rescale(self.present, factor, centre)

    def _rescale(self, trajectory: int, factor: float, centre: FloatArray) -> None:
        for frame in (f for f in self.all if f.trajectory == trajectory):
            frame.camera_to_world = scaled_about(frame.camera_to_world, factor, centre)
            self._grow(frame, factor)
        self.trajectories[trajectory].unit *= factor

    @staticmethod
    def _grow(frame: StreamFrame, factor: float) -> None:
        """Lengths around a keyframe have become `factor` times as large."""
        frame.grown += float(np.log(factor))
        frame.covariance = in_other_unit(frame.covariance, factor)
        if frame.inverse_depth is not None:
            frame.inverse_depth = frame.inverse_depth / factor

    def move(self, motion: FloatArray) -> None:
        """Put the world (4x4, old to new) elsewhere."""
        for frame in self.all:
            frame.camera_to_world = orthogonal(motion @ frame.camera_to_world)


def _apart(motion: FloatArray, unit: float | FloatArray) -> FloatArray:
    """How far apart poses (N, 4, 4) are, a turn of a radian counting as `unit`, which may be one for each."""
    distance = np.linalg.norm(motion[:, :3, 3], axis=1) / unit
    return np.asarray(distance + rotation_angle_rad(motion[:, :3, :3]))
