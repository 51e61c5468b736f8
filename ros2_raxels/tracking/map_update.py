"""Keyframes are made on a copy of the map, beside the frames that go on; the tracker takes it over in one step."""

from __future__ import annotations

import enum
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.background import AtOnce, InBackground, StuckError
from ros2_raxels.tracking.frame import Keyframe, SolvedFrame
from ros2_raxels.tracking.learned_look import LearnedLook
from ros2_raxels.tracking.loop_closure import LoopCloser
from ros2_raxels.tracking.mapping import Mapper, Sketches
from ros2_raxels.tracking.resection import FrameSolver
from ros2_raxels.utils.right_of_way import RightOfWay

PATIENCE_S = 10.0
"""Making a keyframe takes a tenth of a second, on a busy machine a whole one; after this it is given up."""

_LONG_S = 2.0
"""The map has fallen behind."""

_LATE = 2.0
"""Times the time that keyframes take: one that takes longer is not to be waited for."""

_SMOOTHING = 0.3
"""Weight of the newest keyframe in how long they take."""

_LEAST_LEFT_S = 0.02
"""Of what should have come to an end by now."""


class MapStage(enum.Enum):
    """How far a keyframe has come; each is a piece of work of its own where frames go on meanwhile."""

    SKETCHED = enum.auto()
    COMPLETE = enum.auto()
    COMPARED = enum.auto()
    """With older ones, to find loops."""


@dataclass(frozen=True, eq=False)
class MapUpdate:
    """What has become of a copy of the map.

    Attributes:
        mapper: of the copy.
        frame: that was made a keyframe, with the pose that it had before.
        log_growth: of the keyframe before.
        keyframe: its number.
        stage: how far it has come with this.
        growth: factor by which distances around it have grown; None when no loop was closed.
        joined: whether the loop made one trajectory of two.
    """

    mapper: Mapper
    frame: SolvedFrame
    log_growth: float
    keyframe: int
    stage: MapStage
    growth: float | None = None
    joined: bool = False


@dataclass(frozen=True)
class MappingState:
    """How mapping is, for diagnostics.

    Attributes:
        made: keyframes since the beginning.
        failed: that raised an error.
        stuck: that were given up.
        busy_s: for how long the present one has been in the making.
    """

    made: int = 0
    failed: int = 0
    stuck: int = 0
    busy_s: float = 0.0

    @property
    def trouble(self) -> str:
        """What is wrong now, in a line; empty where nothing is."""
        if self.busy_s < _LONG_S:
            return ""
        return (
            f"a keyframe has been in the making for {self.busy_s:.1f} s; poses go on with the map as it is, and it is "
            f"given up after {PATIENCE_S:g} s"
        )

    def values(self) -> dict[str, str]:
        """For diagnostics."""
        return {
            "keyframes made": str(self.made),
            "keyframes failed": str(self.failed),
            "keyframes given up": str(self.stuck),
        }


class KeyframeMaker:
    """Makes keyframes on copies of the map, and looks for loops there.

    Args:
        matcher: of all frames.
        solver: places a keyframe among older ones; only its caller's thread may use the denoiser.
        loops: whether any are looked for.
        in_background: by a thread of its own, with a matcher of its own; else when it is begun.
        way: the frames', which that thread gives way to.
        clock: s.
        learned: see `LoopCloser`.
    """

    def __init__(
        self,
        matcher: Matcher,
        solver: FrameSolver,
        loops: bool,
        in_background: bool,
        way: RightOfWay | None = None,
        clock: Callable[[], float] = time.monotonic,
        learned: LearnedLook | None = None,
    ) -> None:
        self._loops_wanted, self._in_background, self._learned = loops, in_background, learned
        self._matcher, self._solver = matcher, solver
        self._counts: Counter[str] = Counter()
        self._clock, self._begun_s, self._takes_s = clock, 0.0, 0.0
        self._stage_begun_s, self._completing_s = 0.0, 0.0
        self._work: AtOnce[MapUpdate] | InBackground[MapUpdate] = (
            InBackground("raxels-mapping", PATIENCE_S, way=way) if in_background else AtOnce()
        )
        self._frame: SolvedFrame | None = None
        self._is_wanted = self._is_uncompared = False
        self._stage: MapStage | None = None
        self._handed: Sketches = {}
        self.forget()

    @property
    def state(self) -> MappingState:
        """Any thread may ask."""
        busy_s = self._work.busy_s if isinstance(self._work, InBackground) else 0.0
        return MappingState(self._counts["made"], self._counts["failed"], self._counts["stuck"], busy_s)

    @property
    def frame(self) -> SolvedFrame | None:
        """That is being made a keyframe."""
        return self._frame

    @property
    def is_busy(self) -> bool:
        """Whether nothing can be begun now."""
        return self._work.is_busy

    @property
    def is_ready(self) -> bool:
        """Whether `finished` has an update."""
        return self._is_wanted and self._work.is_ready

    @property
    def is_at_work(self) -> bool:
        """Whether a copy of the map is at work that is to be taken over."""
        return self._is_wanted and self._work.is_busy

    def forget(self) -> None:
        """Another map is gone on with."""
        self.drop()
        self._renew()

    @property
    def is_due(self) -> bool:
        """Whether a keyframe is in the making that is to be expected soon, by the time that they have taken of late."""
        return self._frame is not None and self._clock() - self._begun_s < _LATE * self._takes_s

    @property
    def takes_s(self) -> float:
        """From asking for a keyframe to having its sketch, of late; 0 where it is made at once."""
        return self._takes_s

    @property
    def left_s(self) -> float:
        """For how long something is likely to go on that has to end before the next keyframe is begun."""
        if not self.is_at_work or self._stage is MapStage.SKETCHED:
            return 0.0
        return max(self._completing_s - (self._clock() - self._stage_begun_s), _LEAST_LEFT_S)

    def drop(self, uncompared: bool = False) -> None:
        """The map has become another one meanwhile: what is in the making does not fit it."""
        self._frame, self._is_wanted, self._is_uncompared = None, False, uncompared
        self._work.drop()

    def begin(self, mapper: Mapper, frame: SolvedFrame) -> None:
        """Make a keyframe of a frame, on a copy of the map as it is now; not while busy.

        In the background it is sketched at first, which takes two frames instead of four: frames that move fast see
        little of the one before.

        Raises:
            StuckError: too many are stuck.
        """
        beside, loops = mapper.aside(self._own_matcher), self._loops
        if self._in_background:
            self._begin(lambda: _sketch(beside, frame), MapStage.SKETCHED)
        else:
            self._begin(lambda: _update(beside, loops, frame), MapStage.COMPLETE)
        self._frame, self._begun_s = frame, self._clock()

    def complete(self, mapper: Mapper) -> None:
        """Complete what is sketched, on a copy of the map as it is now; not while busy, nor where nothing is.

        Whatever becomes of that, it is not done again.

        Raises:
            StuckError: too many are stuck.
        """
        beside = mapper.aside(self._own_matcher)
        self._handed = mapper.hand_over_sketches()
        self._begin(lambda: _complete(beside), MapStage.COMPLETE)

    @property
    def has_to_compare(self) -> bool:
        """Whether loops are to be looked for from the newest complete keyframe."""
        return self._is_uncompared and self._loops is not None

    def compare(self, mapper: Mapper) -> None:
        """Look for loops, on a copy of the map as it is now; not while busy, nor where `has_to_compare` is false.

        Raises:
            StuckError: too many are stuck.
        """
        beside, loops, self._is_uncompared = mapper.aside(self._own_matcher), self._loops, False
        self._begin(lambda: _compare(beside, loops), MapStage.COMPARED)

    def put_off(self, mapper: Mapper) -> None:
        """Stop what can wait for a keyframe that cannot; it is begun anew some time later."""
        if not self._is_wanted or self._stage in (None, MapStage.SKETCHED) or self._work.is_ready:
            return
        if self._stage is MapStage.COMPLETE:
            mapper.take_back(self._handed)
        self._is_uncompared |= self._stage is MapStage.COMPARED
        self.drop(uncompared=self._is_uncompared)

    def _begin(self, work: Callable[[], MapUpdate], stage: MapStage) -> None:
        self._work.begin(work)
        self._is_wanted, self._stage, self._stage_begun_s = True, stage, self._clock()

    def finished(self) -> MapUpdate | None:
        """What has become of the copy, once; None while it is not known.

        Raises:
            StuckError: it was given up.
            BaseException: whatever went wrong; the map is as it was.
        """
        try:
            update = self._work.outcome()
        except StuckError:
            self._counts["stuck"] += 1
            self._frame, self._is_wanted = None, False
            self._renew()
            raise
        except BaseException:
            self._counts["failed"] += 1
            self._frame, self._is_wanted = None, False
            raise
        if update is not None:
            self._see(update)
        return update

    def _see(self, update: MapUpdate) -> None:
        self._counts["made"] += update.stage is MapStage.COMPLETE
        self._is_uncompared |= self._in_background and update.stage is MapStage.COMPLETE
        if update.stage is MapStage.SKETCHED:
            self._takes_s = _smoothed(self._takes_s, self._clock() - self._begun_s)
        elif update.stage is MapStage.COMPLETE:
            self._completing_s = _smoothed(self._completing_s, self._clock() - self._stage_begun_s)
        self._frame, self._is_wanted = None, False

    def wait(self) -> None:
        """Until `finished` has an answer."""
        self._work.wait()

    def _renew(self) -> None:
        # What is stuck or not wanted any more may be at work with the old ones still.
        self._own_matcher = Matcher(self._matcher.settings, threads=1) if self._in_background else self._matcher
        self._loops = LoopCloser(self._solver, self._own_matcher, self._learned) if self._loops_wanted else None


def _smoothed(seconds: float, newest_s: float) -> float:
    return seconds + _SMOOTHING * (newest_s - seconds) if seconds else newest_s


def _update(mapper: Mapper, loops: LoopCloser | None, frame: SolvedFrame) -> MapUpdate:
    keyframe = mapper.add(frame)
    growth, joined = _looped(mapper, loops, keyframe)
    return MapUpdate(mapper, frame, 0.0, keyframe.number, MapStage.COMPLETE, growth, joined)


def _sketch(mapper: Mapper, frame: SolvedFrame) -> MapUpdate:
    return MapUpdate(mapper, frame, 0.0, mapper.sketch(frame).number, MapStage.SKETCHED)


def _complete(mapper: Mapper) -> MapUpdate:
    newest = mapper.keyframes.window[-1]
    mapper.complete()
    return MapUpdate(mapper, _as_solved(newest), newest.log_growth, newest.number, MapStage.COMPLETE)


def _compare(mapper: Mapper, loops: LoopCloser | None) -> MapUpdate:
    newest = mapper.keyframes.window[-1]
    growth, joined = _looped(mapper, loops, newest)
    was = _as_solved(newest)
    return MapUpdate(mapper, was, newest.log_growth, newest.number, MapStage.COMPARED, growth, joined)


def _looped(mapper: Mapper, loops: LoopCloser | None, keyframe: Keyframe) -> tuple[float | None, bool]:
    """Growth by a loop, None without one, and whether two trajectories were joined by it."""
    trajectories = len(mapper.keyframes.trajectories)
    growth = None if loops is None else loops.close(mapper, keyframe)
    return growth, len(mapper.keyframes.trajectories) < trajectories


def _as_solved(keyframe: Keyframe) -> SolvedFrame:
    return SolvedFrame(keyframe.frame, keyframe.camera_to_world, keyframe.covariance, keyframe.velocity)
