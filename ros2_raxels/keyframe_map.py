"""Keyframes of a trajectory: the window that frames are solved against, and the older ones that are found again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ros2_raxels.evidence import Matcher
from ros2_raxels.frame_solver import INLIER_PX, orthogonal
from ros2_raxels.geometry import FloatArray, relative_pose, rotation_angle_rad
from ros2_raxels.guidance import RefineSettings, refine
from ros2_raxels.keyframes import SharedEvidence, View
from ros2_raxels.places import PlaceIndex
from ros2_raxels.pose_graph import Edge, relax
from ros2_raxels.uncertainty import in_other_unit

_WINDOW = RefineSettings(widths_px=(3.0, 2.0), iterations=6)
_BUNDLE_TRACKS = 1200
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


@dataclass(frozen=True)
class Anchor:
    """A pose beside a keyframe, which may be corrected later.

    Attributes:
        keyframe: its number.
        pose: 4x4, in the keyframe.
        grown: that of the keyframe when the pose was placed.
    """

    keyframe: int
    pose: FloatArray
    grown: float


def beside(view: View, camera_to_world: FloatArray) -> Anchor:
    """Where a pose (4x4) stands beside a keyframe now."""
    return Anchor(view.number, relative_pose(view.camera_to_world, camera_to_world), view.grown)


class KeyframeMap:
    """Keyframes in one world and one unit.

    Attributes:
        window: newest in the last place; frames are solved against these.
        stored: older ones.
        shared: what they have in common.
        unit: distance that counts as far in this world, the median depth where the trajectory began.
        loops: pairs of numbers of keyframes that were found to show the same place.
    """

    def __init__(self, matcher: Matcher, settings: MapSettings) -> None:
        self.settings = settings
        self.window: list[View] = []
        self.stored: list[View] = []
        self.shared = SharedEvidence(matcher)
        self.unit = 1.0
        self._matcher = matcher
        self._places = PlaceIndex()
        self.loops: set[tuple[int, int]] = set()
        self._begun = 0
        self._dropped: dict[int, tuple[Anchor, float]] = {}

    @property
    def all(self) -> list[View]:
        """Every keyframe, by number."""
        return sorted((*self.stored, *self.window), key=lambda v: v.number)

    def lately(self, view: View, count: int) -> list[View]:
        """A keyframe, so many at most along which the trajectory came to it, and those it was solved against."""
        return [*self._before(view, count - 1), *self.window, view]

    def way(self, known: View, view: View) -> list[View]:
        """From an older keyframe to a newer one, as the trajectory came; in time where it did not come from there."""
        came = [*self._before(view, len(self.stored) + len(self.window)), view]
        if known in came:
            return came[came.index(known) :]
        return [v for v in self.all if known.number <= v.number <= view.number]

    def forget_all_but(self, others: Iterable[View]) -> None:
        """Drop evidence of frames that are neither keyframes nor among these."""
        self.shared.forget_all_but((*self.window, *self.stored, *others))

    # -- growth

    def begin(self, views: Sequence[View]) -> None:
        """The first keyframes of a trajectory; what was there before stays, to be found again."""
        self.end_trajectory()
        self._begun = views[0].number
        for before, view in zip([None, *views], views, strict=False):
            view.parent = None if before is None else before.number
            self._remember(view)
        self.window = list(views)[-self.settings.window :]
        self.stored.extend(views[: -self.settings.window])
        self._thin_out()

    def add(self, view: View) -> None:
        """Make a keyframe of a solved frame, measure its depths and refine the newest ones together."""
        others = [*self._before(self.window[0], self.settings.bundle - self.settings.window), *self.window]
        view.parent = self.window[-1].number
        self.shared.both_ways(others, view)
        self.shared.measure(others, view)
        self._remember(view)
        self.window.append(view)
        if len(self.window) > self.settings.window:
            self.stored.append(self.window.pop(0))
            self._thin_out()
            self._lighten(self.stored[: -self.settings.bundle])
        self._refine([*others, view])
        self.shared.connect(self.window)

    def insert(self, view: View, near: Sequence[View]) -> None:
        """Make a keyframe of a solved frame that is not where the trajectory is now, beside those near it."""
        self.shared.both_ways(near, view)
        self.shared.measure(near, view)
        self._remember(view)
        self._lighten([view])
        self.stored.append(view)
        self._thin_out()

    def _before(self, view: View, count: int) -> list[View]:
        """So many keyframes at most along which the trajectory came to this one, oldest first."""
        by_number = self._by_number()
        found: list[View] = []
        while len(found) < count and view.parent in by_number:
            view = by_number[view.parent]
            found.insert(0, view)
        return found

    def end_trajectory(self) -> None:
        """What follows is solved without these; they stay to be found again."""
        self.stored.extend(self.window)
        self.window = []

    def restore(self, views: Sequence[View], loops: Iterable[tuple[int, int]], unit: float) -> None:
        """Take over keyframes that were known before, by number, into an empty map."""
        self.unit, self._begun, self.loops = unit, views[0].number, set(loops)
        for view in views:
            self._remember(view)
        self.stored, self.window = list(views[: -self.settings.window]), list(views[-self.settings.window :])
        self._lighten(self.stored)

    def _remember(self, view: View) -> None:
        self._places.add(view.number, self._matcher.keypoints(view.features))

    @staticmethod
    def _lighten(views: Iterable[View]) -> None:
        """Keypoints take a megabyte a frame, and are found again in no time where they are needed again."""
        for view in views:
            view.features.keypoints = None

    def _refine(self, views: Sequence[View]) -> None:
        """Keyframes together; the oldest two hold the place and the scale."""
        if len(views) < 3:
            return
        evidence = self.shared.among(views, _BUNDLE_TRACKS)
        fixed = np.arange(len(views)) < 2
        poses = np.array([[v.camera_to_world for v in views]])
        refined = refine(evidence, poses, _WINDOW, fixed=fixed)
        for view, pose in zip(views, refined.camera_to_first[0], strict=True):
            view.camera_to_world = orthogonal(pose)
        agrees = np.nanmin(refined.residual_px[0], axis=1) < INLIER_PX
        self.shared.learn(views, evidence, refined.inverse_depth[0], agrees)

    def _thin_out(self) -> None:
        """Where there are too many, those go first whose neighbours stand closest to each other."""
        while len(self.stored) > self.settings.stored:
            if len(self.stored) < 3:
                self._drop(self.stored[0])
                continue
            poses = np.array([v.camera_to_world for v in self.stored])
            gap = self._apart(relative_pose(poses[:-2], poses[2:]))
            self._drop(self.stored[1 + int(gap.argmin())])

    def _drop(self, view: View) -> None:
        self.stored.remove(view)
        self._places.forget(view.number)
        heir, by_number = self._heir(view), self._by_number()
        if heir in by_number and self.settings.history:
            self._dropped[view.number] = (beside(by_number[heir], view.camera_to_world), view.grown)
        for other in by_number.values():
            if other.parent == view.number:
                other.parent = None if other.number == heir else heir
        loops = (tuple(heir if n == view.number else n for n in pair) for pair in self.loops)
        self.loops = {(a, b) for a, b in loops if a != b and min(a, b) >= 0}

    def _heir(self, view: View) -> int:
        """Number of the keyframe that stands for one that is dropped; -1 without any."""
        if view.parent is not None:
            return view.parent
        return next((v.number for v in self.all if v.parent == view.number), -1)

    def place(self, anchor: Anchor) -> FloatArray | None:
        """camera_to_world (4x4) of what was placed beside a keyframe, as that is known by now; None if it is not."""
        found = self._keyframe_now(anchor.keyframe)
        if found is None:
            return None
        pose, grown = found
        return pose @ scaled_about(anchor.pose, float(np.exp(grown - anchor.grown)), np.zeros(3))

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
            anchor, own = self._dropped[dropped]
            since = grown - anchor.grown
            pose, grown = pose @ scaled_about(anchor.pose, float(np.exp(since)), np.zeros(3)), own + since
            # Directly beside what is kept, so that the next one who asks has no chain to follow.
            self._dropped[dropped] = (beside(kept, pose), grown)
        return pose, grown

    def _by_number(self) -> dict[int | None, View]:
        return {v.number: v for v in (*self.stored, *self.window)}

    # -- places

    def like(self, view: View, besides: Iterable[View] = ()) -> tuple[View | None, int]:
        """The keyframe that shows most of what the frame shows, of all or all but some, and its votes; None without."""
        excluded = {v.number for v in besides}
        by_number = self._by_number()
        votes = self._places.votes(self._matcher.keypoints(view.features))
        allowed = {n: count for n, count in votes.items() if n in by_number and n not in excluded}
        best = max(allowed, key=lambda n: allowed[n], default=-1)
        return (by_number[best], allowed[best]) if allowed.get(best) else (None, 0)

    def around(self, view: View, besides: Iterable[View] = ()) -> list[View]:
        """A keyframe and those nearest to it in space: after a recovery those in time may have been elsewhere."""
        excluded, joined = set(map(id, besides)), self.joined(view)
        candidates = [v for v in self.all if v.number in joined and id(v) not in excluded]
        poses = np.array([v.camera_to_world for v in candidates])
        apart = self._apart(relative_pose(view.camera_to_world, poses))
        nearest = np.argsort(apart, kind="stable")[: self.settings.window]
        return sorted((candidates[k] for k in nearest), key=lambda v: v.number)

    def go_back_to(self, anchors: Sequence[View]) -> None:
        """Frames are solved against these from now on."""
        self._begun = min(self._begun, anchors[0].number)
        self.stored = [v for v in self.all if v not in anchors]
        self.window = list(anchors)

    def joined(self, view: View) -> set[int]:
        """Numbers of the keyframes whose place relative to this one is known: of its trajectory, and by loops."""
        neighbours: dict[int, set[int]] = {}
        steps = ((v.number, v.parent) for v in self.all if v.parent is not None)
        for a, b in (*steps, *self.loops):
            neighbours.setdefault(a, set()).add(b)
            neighbours.setdefault(b, set()).add(a)
        found, ahead = {view.number}, [view.number]
        while ahead:
            new = neighbours.get(ahead.pop(), set()) - found
            found |= new
            ahead.extend(new)
        return found

    def _apart(self, motion: FloatArray) -> FloatArray:
        """How far apart poses are, a turn of a radian counting as `unit`."""
        distance = np.linalg.norm(motion[:, :3, 3], axis=1) / self.unit
        return np.asarray(distance + rotation_angle_rad(motion[:, :3, :3]))

    # -- the whole

    def close_loop(self, view: View, known: View, camera_to_world: FloatArray, log_scale: float) -> float:
        """Let all keyframes give way, so that `view` comes to where it was found from `known`.

        Args:
            view: a keyframe.
            known: another, near which the place was known before.
            camera_to_world: 4x4 of `view`, in the world as it is around `known`.
            log_scale: logarithm of the factor that turns distances around `view` into the unit around `known`.

        Returns:
            Factor by which distances around `view` have grown.
        """
        views = self.all
        index = {v.number: k for k, v in enumerate(views)}
        measured = relative_pose(known.camera_to_world, camera_to_world)
        edges = self._edges(views, index)
        edges.append(Edge(index[known.number], index[view.number], measured, log_scale, _RIGID))
        poses, grown = relax(np.array([v.camera_to_world for v in views]), edges, held=0)
        for each, pose, growth in zip(views, poses, grown, strict=True):
            each.camera_to_world = orthogonal(pose)
            self._grow(each, float(np.exp(growth)))
        self.loops.add((known.number, view.number))
        self._begun = min(self._begun, known.number)
        return float(np.exp(grown[index[view.number]]))

    def _edges(self, views: Sequence[View], index: dict[int, int]) -> list[Edge]:
        """Each keyframe with the one that it was solved against, and the loops found so far: all as they are now."""
        edges = []
        for k, view in enumerate(views[1:], start=1):
            parent = index.get(-1 if view.parent is None else view.parent)
            edges.append(self._edge(views, k - 1, k, _BREAK) if parent is None else self._edge(views, parent, k))
        kept = ((index.get(a), index.get(b)) for a, b in self.loops)
        return edges + [self._edge(views, a, b, _RIGID) for a, b in kept if a is not None and b is not None]

    def _edge(self, views: Sequence[View], first: int, second: int, variance: float | None = None) -> Edge:
        pose = relative_pose(views[first].camera_to_world, views[second].camera_to_world)
        return Edge(first, second, pose, 0.0, variance or _RIGID + float(self._apart(pose[None])[0]))

    @property
    def origin(self) -> FloatArray:
        """camera_to_world (4x4) of the keyframe with which the present trajectory began."""
        return next(v.camera_to_world for v in self.all if v.number >= self._begun)

    def rescale(self, factor: float, centre: FloatArray) -> None:
        """Make the present trajectory `factor` times as large about a point (3,) of the world."""
        for view in (v for v in self.all if v.number >= self._begun):
            view.camera_to_world = scaled_about(view.camera_to_world, factor, centre)
            self._grow(view, factor)
        self.unit *= factor

    @staticmethod
    def _grow(view: View, factor: float) -> None:
        """Lengths around a keyframe have become `factor` times as large."""
        view.grown += float(np.log(factor))
        view.covariance = in_other_unit(view.covariance, factor)
        if view.inverse_depth is not None:
            view.inverse_depth = view.inverse_depth / factor

    def move(self, motion: FloatArray) -> None:
        """Put the world (4x4, old to new) elsewhere."""
        for view in self.all:
            view.camera_to_world = orthogonal(motion @ view.camera_to_world)


def scaled_about(pose: FloatArray, factor: float, centre: FloatArray) -> FloatArray:
    """A pose after everything has become `factor` times as large about a point (3,)."""
    scaled = pose.copy()
    scaled[:3, 3] = centre + factor * (pose[:3, 3] - centre)
    return scaled
