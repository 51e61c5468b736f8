"""The map as data: keyframes, the graph that joins them, and the window that frames are solved against.

Nothing here matches or solves. `mapping`, `loop_closure` and `missed_frames` act on it; only its own methods write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.covariance import in_other_unit
from ros2_raxels.geometry.poses import (
    FloatArray,
    make_pose,
    orthogonal,
    relative_pose,
    rotation_angle_rad,
    rotation_from_vector,
    rotation_vector,
)
from ros2_raxels.matching.tracks import FLOW, Evidence
from ros2_raxels.tracking.frame import Keyframe, KeyframePose, beside, grown, scaled_about
from ros2_raxels.tracking.metric_scale import Scale

_LEAST_BASELINE = 0.05
"""Of the unit, between keyframes that a frame is solved against after a loss or for a loop."""


@dataclass(frozen=True)
class Trajectory:
    """What holds for all keyframes of a trajectory.

    Attributes:
        unit: distance that counts as far: the median depth of the scene where it began.
        scale: what is known of metres; of the present trajectory, when its owner has last said so.
    """

    unit: float = 1.0
    scale: Scale = field(default_factory=Scale)


@dataclass(frozen=True, eq=False)
class Link:
    """Where one keyframe stands from another, as it was measured: a step of the trajectory, or a loop closure.

    Attributes:
        first, second: numbers of the keyframes: of a step the parent first, of a loop the one that was known.
        pose: 4x4, the second in the first, in the unit around the first at that time.
        log_scale: natural logarithm of the factor that turned distances around the second into the unit of the first.
        covariance: 6x6 of (translation, rotation about the world's axes) of the solve, in that unit and rad; zeros for
            steps, of which it is not known apart.
        log_growth: `Keyframe.log_growth` of both at that time.
    """

    first: int
    second: int
    pose: FloatArray
    log_scale: float
    covariance: FloatArray
    log_growth: tuple[float, float]

    def between(self, first: Keyframe, second: Keyframe) -> Link:
        """The same measurement in the units of now, given its two keyframes."""
        since = (first.log_growth - self.log_growth[0], second.log_growth - self.log_growth[1])
        lengths = np.repeat([np.exp(since[0]), 1.0], 3)
        return replace(
            self,
            pose=grown(self.pose, since[0]),
            log_scale=self.log_scale + since[0] - since[1],
            covariance=self.covariance * np.outer(lengths, lengths),
            log_growth=(first.log_growth, second.log_growth),
        )


@dataclass(eq=False)
class KeyframeMap:
    """Keyframes in one world; each trajectory in it has a unit of its own until a loop joins it to another.

    Attributes:
        keyframes: by number, in ascending order.
        window_numbers: of those that frames are solved against, the newest in the last place.
        loops: loop closures as they were measured.
        steps: from its parent to each keyframe that had settled when a loop was closed, by the number of the keyframe;
            as they were before all loops. Steps that are not here are as they are now.
        trajectories: by the number of the keyframe with which they began.
        present: the one of these that goes on.
        handed_on: dropped keyframes, told beside the one that stands for them, and their `Keyframe.log_growth`.
        drift_seen: by which loop closures have found the camera off, in units of length and rad.
    """

    keyframes: dict[int, Keyframe] = field(default_factory=dict)
    window_numbers: list[int] = field(default_factory=list)
    loops: list[Link] = field(default_factory=list)
    steps: dict[int, Link] = field(default_factory=dict)
    trajectories: dict[int, Trajectory] = field(default_factory=lambda: {0: Trajectory()})
    present: int = 0
    handed_on: dict[int, tuple[KeyframePose, float]] = field(default_factory=dict)
    drift_seen: list[tuple[float, float]] = field(default_factory=list)

    # -- what is there

    @property
    def all(self) -> list[Keyframe]:
        """Every keyframe, by number."""
        return list(self.keyframes.values())

    @property
    def window(self) -> list[Keyframe]:
        """Those that frames are solved against."""
        return [self.keyframes[number] for number in self.window_numbers]

    @property
    def stored(self) -> list[Keyframe]:
        """The others, by number."""
        return [keyframe for keyframe in self.all if keyframe.number not in self.window_numbers]

    @property
    def unit(self) -> float:
        """Distance that counts as far in the present trajectory."""
        return self.trajectories[self.present].unit

    def unit_of(self, keyframe: Keyframe) -> float:
        """Distance that counts as far around a keyframe."""
        return self.trajectories[keyframe.trajectory].unit

    @property
    def origin(self) -> FloatArray:
        """camera_to_world (4x4) of the keyframe with which the present trajectory began."""
        return next(k.camera_to_world for k in self.all if k.trajectory == self.present)

    # -- who is near

    def before(self, keyframe: Keyframe, count: int) -> list[Keyframe]:
        """At most so many keyframes along which the trajectory came to this one, oldest first."""
        found: list[Keyframe] = []
        while len(found) < count and keyframe.parent in self.keyframes:
            keyframe = self.keyframes[keyframe.parent]
            found.insert(0, keyframe)
        return found

    def lately(self, keyframe: Keyframe, count: int) -> list[Keyframe]:
        """A keyframe, at most so many along which the trajectory came to it, and those it was solved against."""
        return [*self.before(keyframe, count - 1), *self.window, keyframe]

    def way(self, known: Keyframe, keyframe: Keyframe) -> list[Keyframe]:
        """From an older keyframe to a newer one along the trajectory; in time where the trajectory did not pass it."""
        came = [*self.before(keyframe, len(self.keyframes)), keyframe]
        numbers = [k.number for k in came]
        if known.number in numbers:
            return came[numbers.index(known.number) :]
        return [k for k in self.all if known.number <= k.number <= keyframe.number]

    def around(self, keyframe: Keyframe, count: int, besides: Iterable[Keyframe] = ()) -> list[Keyframe]:
        """A keyframe and those nearest to it in space: after a recovery those in time may have been elsewhere.

        Where a place was seen many times the very nearest ones stand on one spot, and what is known of the distance
        between them is noise: they would set no scale. They are taken only if there are no others.
        """
        excluded, joined = {k.number for k in besides}, self.joined(keyframe)
        candidates = [k for k in self.all if k.number in joined and k.number not in excluded]
        poses = np.array([k.camera_to_world for k in candidates]).reshape(-1, 4, 4)
        unit = self.unit_of(keyframe)
        nearest = np.argsort(distance(relative_pose(keyframe.camera_to_world, poses), unit), kind="stable").tolist()
        chosen: list[int] = []
        for k in nearest:
            baselines = np.linalg.norm(poses[chosen, :3, 3] - poses[k, :3, 3], axis=1)
            if (baselines > _LEAST_BASELINE * unit).all():
                chosen.append(k)
            if len(chosen) == count:
                break
        chosen += [k for k in nearest if k not in chosen][: count - len(chosen)]
        return sorted((candidates[k] for k in chosen), key=lambda k: k.number)

    def joined(self, keyframe: Keyframe) -> set[int]:
        """Numbers of the keyframes whose place relative to this one is known: of its trajectory, and by loops."""
        neighbours: dict[int, set[int]] = {}
        steps = ((k.number, k.parent) for k in self.all if k.parent is not None)
        for a, b in (*steps, *((loop.first, loop.second) for loop in self.loops)):
            neighbours.setdefault(a, set()).add(b)
            neighbours.setdefault(b, set()).add(a)
        found, ahead = {keyframe.number}, [keyframe.number]
        while ahead:
            new = neighbours.get(ahead.pop(), set()) - found
            found |= new
            ahead.extend(new)
        return found

    def came_by(self, keyframe: Keyframe) -> list[Keyframe]:
        """From where its trajectory began to a keyframe, by the loops that were closed on the way: without detours."""
        back, known = [keyframe], {loop.second: loop.first for loop in self.loops if loop.first < loop.second}
        while (number := known.get(keyframe.number, keyframe.parent)) in self.keyframes:
            keyframe = self.keyframes[number]
            back.append(keyframe)
        return back[::-1]

    # -- where things are now

    def place(self, pose: KeyframePose) -> FloatArray | None:
        """camera_to_world (4x4) of what was placed beside a keyframe, as known by now; None if that is forgotten."""
        found = self._keyframe_now(pose.keyframe)
        if found is None:
            return None
        camera_to_world, log_growth = found
        return camera_to_world @ grown(pose.pose, log_growth - pose.log_growth)

    def _keyframe_now(self, number: int) -> tuple[FloatArray, float] | None:
        """Pose and `Keyframe.log_growth` of a keyframe; of one that was dropped, by way of its heir."""
        chain = []
        while number not in self.keyframes:
            if number not in self.handed_on:
                return None
            chain.append(number)
            number = self.handed_on[number][0].keyframe
        kept = self.keyframes[number]
        pose, log_growth = kept.camera_to_world, kept.log_growth
        for dropped in reversed(chain):
            beside_heir, own = self.handed_on[dropped]
            since = log_growth - beside_heir.log_growth
            pose, log_growth = pose @ grown(beside_heir.pose, since), own + since
            # Directly beside what is kept, so that the next one who asks has no chain to follow.
            self.handed_on[dropped] = (beside(kept, pose), log_growth)
        return pose, log_growth

    # -- a copy of it

    def copy(self) -> KeyframeMap:
        """The same keyframes in a map of its own: what becomes of one does not become of the other."""
        return KeyframeMap(
            dict(self.keyframes),
            list(self.window_numbers),
            list(self.loops),
            dict(self.steps),
            dict(self.trajectories),
            self.present,
            dict(self.handed_on),
            list(self.drift_seen),
        )

    def take_over(self, grown_copy: KeyframeMap) -> None:
        """Become what a copy has become; depths that were learned here meanwhile stay where the copy knows none."""
        here = [keyframe for keyframe in self.window if keyframe.number in grown_copy.keyframes]
        for name, value in vars(grown_copy.copy()).items():
            setattr(self, name, value)
        for old in here:
            new = self.keyframes[old.number]
            learned = np.isfinite(old.inverse_depth) & ~np.isfinite(new.inverse_depth)
            if learned.any():
                since = float(np.exp(new.log_growth - old.log_growth))
                self.put(replace(new, inverse_depth=np.where(learned, old.inverse_depth / since, new.inverse_depth)))

    # -- what changes it

    def put(self, keyframe: Keyframe) -> None:
        """Take over a keyframe, in place of the one of this number if there is one."""
        is_newest = keyframe.number in self.keyframes or keyframe.number > max(self.keyframes, default=-1)
        self.keyframes[keyframe.number] = keyframe
        if not is_newest:
            self.keyframes = dict(sorted(self.keyframes.items()))

    def begin(self, keyframes: Sequence[Keyframe], unit: float, window: int) -> None:
        """The first keyframes of a trajectory; what was there before stays, to be found again."""
        kept = {k.trajectory for k in self.all}
        self.trajectories = {number: facts for number, facts in self.trajectories.items() if number in kept}
        self.present = keyframes[0].number
        self.trajectories[self.present] = Trajectory(unit)
        parent = None
        for keyframe in keyframes:
            self.put(replace(keyframe, trajectory=self.present, parent=parent))
            parent = keyframe.number
        self.window_numbers = [k.number for k in keyframes[-window:]]

    def end_trajectory(self) -> None:
        """What follows is solved without these keyframes; they stay to be found again."""
        self.window_numbers = []

    def go_back_to(self, anchors: Sequence[Keyframe]) -> None:
        """Frames are solved against these from now on, and their trajectory goes on."""
        self.present = anchors[0].trajectory
        self.window_numbers = [k.number for k in anchors]

    def learn(
        self, keyframes: Sequence[Keyframe], evidence: Evidence, inverse_depth: FloatArray, sure: npt.NDArray[np.bool_]
    ) -> None:
        """Take over the depths (P,) of the tracks that are sure; `keyframes` are the first frames of the evidence."""
        for position, keyframe in enumerate(keyframes):
            mine = sure & (evidence.anchor == position) & (evidence.kind == FLOW)
            current = self.keyframes.get(keyframe.number)
            if current is not None:
                # Another copy of the map may hold the same keyframe.
                depths = current.inverse_depth.copy()
                depths[evidence.index[mine]] = inverse_depth[mine]
                self.put(replace(current, inverse_depth=depths))

    def move_keyframe(self, number: int, camera_to_world: FloatArray) -> None:
        """A keyframe is known to be elsewhere (4x4)."""
        self.put(replace(self.keyframes[number], camera_to_world=orthogonal(camera_to_world)))

    def settle(self, numbers: Iterable[int]) -> None:
        """The steps to these keyframes will not be refined any more: keep them as they are now, if not kept before."""
        for number in numbers:
            keyframe = self.keyframes[number]
            if keyframe.parent is None or number in self.steps:
                continue
            parent = self.keyframes[keyframe.parent]
            pose = relative_pose(parent.camera_to_world, keyframe.camera_to_world)
            growth = (parent.log_growth, keyframe.log_growth)
            self.steps[number] = Link(parent.number, number, pose, 0.0, np.zeros((6, 6)), growth)

    def know_covariance(self, number: int, covariance: FloatArray) -> None:
        """The covariance (7x7) of a keyframe is another one."""
        self.put(replace(self.keyframes[number], covariance=covariance))

    def grow(self, number: int, factor: float) -> None:
        """Lengths around a keyframe have become `factor` times as large; its pose has been seen to."""
        keyframe = self.keyframes[number]
        velocity = None if keyframe.velocity is None else keyframe.velocity * np.repeat([1.0, factor], 3)
        self.put(
            replace(
                keyframe,
                log_growth=keyframe.log_growth + float(np.log(factor)),
                covariance=in_other_unit(keyframe.covariance, factor),
                inverse_depth=keyframe.inverse_depth / factor,
                handed_on=None,
                velocity=velocity,
            )
        )

    def rescale(self, trajectory: int, factor: float, centre: FloatArray) -> None:
        """Make a trajectory `factor` times as large about a point (3,) of the world."""
        self.stretch([k.number for k in self.all if k.trajectory == trajectory], factor, centre)
        facts = self.trajectories[trajectory]
        self.trajectories[trajectory] = replace(facts, unit=facts.unit * factor)

    def stretch(self, numbers: Iterable[int], factor: float, centre: FloatArray) -> None:
        """Make what is around some keyframes `factor` times as large about a point (3,) of the world."""
        for number in numbers:
            keyframe = self.keyframes[number]
            self.put(replace(keyframe, camera_to_world=scaled_about(keyframe.camera_to_world, factor, centre)))
            self.grow(number, factor)

    def zoom(self, log_scale: float) -> None:
        """The focal length of all keyframes turns out to be longer, by a factor that is given by its logarithm.

        Through the shorter one the camera seemed to turn more, and points to be nearer.
        """
        before = dict(self.keyframes)
        for old in before.values():
            pose = old.camera_to_world
            if old.parent in before:
                step = relative_pose(before[old.parent].camera_to_world, pose)
                pose = self.keyframes[old.parent].camera_to_world @ _zoomed(step, log_scale)
            frame = replace(old.frame, camera=old.camera.zoomed(float(np.exp(log_scale))))
            depths = old.inverse_depth / np.exp(log_scale)
            self.put(replace(old, frame=frame, camera_to_world=orthogonal(pose), inverse_depth=depths))
        self.steps = {n: replace(step, pose=_zoomed(step.pose, log_scale)) for n, step in self.steps.items()}
        self.loops = [replace(loop, pose=_zoomed(loop.pose, log_scale)) for loop in self.loops]

    def know_scale(self, trajectory: int, scale: Scale) -> None:
        """What is known of metres in a trajectory."""
        self.trajectories[trajectory] = replace(self.trajectories[trajectory], scale=scale)

    def move(self, motion: FloatArray) -> None:
        """Put the world (4x4, old to new) elsewhere."""
        for keyframe in self.all:
            self.move_keyframe(keyframe.number, motion @ keyframe.camera_to_world)

    def join(self, older: int, newer: int) -> Trajectory:
        """Make one trajectory of two, which goes on under the older one's number; says what held for the newer one."""
        for keyframe in [k for k in self.all if k.trajectory == newer]:
            self.put(replace(keyframe, trajectory=older))
        self.present = older if self.present == newer else self.present
        return self.trajectories.pop(newer)

    def drop(self, number: int, remember: bool) -> None:
        """Remove a stored keyframe; its parent, or else a child, stands for it where it is asked for.

        Args:
            number: of one that is not in the window.
            remember: whether `place` knows what was placed beside it from now on.
        """
        keyframe = self.keyframes[number]
        heir = self._heir(keyframe)
        del self.keyframes[keyframe.number]
        self.steps.pop(number, None)
        if heir is None:
            self.loops = [loop for loop in self.loops if number not in (loop.first, loop.second)]
            return
        if remember:
            self.handed_on[keyframe.number] = (beside(heir, keyframe.camera_to_world), keyframe.log_growth)
        for other in self.all:
            if other.parent == keyframe.number:
                self.put(replace(other, parent=None if other.number == heir.number else heir.number))
        self.loops = [loop for loop in (self._inherited(loop, keyframe, heir) for loop in self.loops) if loop]
        steps = (self._inherited(step, keyframe, heir) for step in self.steps.values())
        self.steps = {step.second: step for step in steps if step is not None}

    def _heir(self, keyframe: Keyframe) -> Keyframe | None:
        if keyframe.parent is not None:
            return self.keyframes[keyframe.parent]
        return next((k for k in self.all if k.parent == keyframe.number), None)

    def _inherited(self, link: Link, dropped: Keyframe, heir: Keyframe) -> Link | None:
        """A link after one of its ends was dropped; None where nothing is left of it."""
        if dropped.number not in (link.first, link.second):
            return link
        ends = {dropped.number: dropped, **self.keyframes}
        now = link.between(ends[link.first], ends[link.second])
        from_heir = relative_pose(heir.camera_to_world, dropped.camera_to_world)
        if link.first == dropped.number:
            if heir.number == link.second:
                return None
            return replace(
                now, first=heir.number, pose=from_heir @ now.pose, log_growth=(heir.log_growth, now.log_growth[1])
            )
        if heir.number == link.first:
            return None
        return replace(
            now,
            second=heir.number,
            pose=now.pose @ relative_pose(dropped.camera_to_world, heir.camera_to_world),
            log_growth=(now.log_growth[0], heir.log_growth),
        )


def _zoomed(motion: FloatArray, log_scale: float) -> FloatArray:
    """A motion of a camera (4x4) that looks alike through a focal length that is longer, by its logarithm.

    Turns are smaller, and motion along the axis shows less.
    """
    turned = make_pose(rotation_from_vector(rotation_vector(motion[:3, :3]) * np.exp(-log_scale)), motion[:3, 3])
    turned[2, 3] *= np.exp(log_scale)
    return turned


def distance(motion: FloatArray, unit: float | FloatArray) -> FloatArray:
    """How far apart poses (N, 4, 4) are, in units, of which there may be one for each; a turn counts one per radian."""
    length = np.linalg.norm(motion[..., :3, 3], axis=-1) / unit
    return np.asarray(length + rotation_angle_rad(motion[..., :3, :3]))
