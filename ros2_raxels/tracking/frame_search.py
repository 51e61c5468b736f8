"""Where a frame was taken: a little at first, more only if that does not do and there is time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from ros2_raxels.estimation.estimator import LEARNED_STAGE
from ros2_raxels.estimation.inliers import FEWEST_MATCHES
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.tracks import Evidence
from ros2_raxels.tracking.budget import Budget
from ros2_raxels.tracking.frame import Keyframe, StreamFrame
from ros2_raxels.tracking.learned_look import LearnedLook
from ros2_raxels.tracking.live_map import LiveMap
from ros2_raxels.tracking.resection import FrameSolve, FrameSolver
from ros2_raxels.tracking.rig_tracks import SeenBeside
from ros2_raxels.tracking.types import TrackerSettings
from ros2_raxels.utils.timing import timed

FOUND_AGAIN = 0.5
"""Confidence of a frame that ends a loss: nothing else tells where the camera may be."""

_LEAST_REACH = 0.2
"""Share of the newest keyframe that coarse flow must reach for a solve from it."""

_THOROUGH = "thorough"
"""Name of the look that costs as much as several frames."""

_BESIDE = "beside"
"""Name of the look through the other cameras of a rig, which can be left to the keyframes."""


class FrameSearch:
    """Solves frames against keyframes.

    Args:
        live: the map.
        solver: of frames.
        budget: of time; what does not fit into it is left out.
        settings: of the tracker.
        learned: for frames of a loss that are not found otherwise; None leaves them.
    """

    def __init__(
        self,
        live: LiveMap,
        solver: FrameSolver,
        budget: Budget,
        settings: TrackerSettings,
        learned: LearnedLook | None = None,
    ) -> None:
        self._live, self._solver, self._budget, self._settings = live, solver, budget, settings
        self._learned, self._not_found = learned, 0

    def is_good(self, solved: FrameSolve | None) -> TypeGuard[FrameSolve]:
        """Whether a frame was solved at all."""
        return solved is not None and solved.quality.confidence >= self._settings.confidence_min

    def following(self, frame: StreamFrame, stage_s: dict[str, float]) -> tuple[FrameSolve | None, bool]:
        """Where constant velocity leads, else near that; and whether coarse flow reached little of the keyframes."""
        solved = self._expected(frame, stage_s)
        if self._is_sure(solved):
            return solved, False
        near, apart = self._near(frame, stage_s)
        if self.is_good(solved) and not self._is_better(near, solved):
            return solved, False
        if not self.is_good(near) and self._live.mapper.shared.any_doubt(self._live.keyframes.window):
            # What was thought to move on its own may have been the world.
            with self._live.mapper.shared.trusting():
                again, apart = self._near(frame, stage_s)
            near = again if again is not None and again.quality.confidence >= FOUND_AGAIN else near
        return near, apart

    def anywhere(
        self, frame: StreamFrame, stage_s: dict[str, float]
    ) -> tuple[FrameSolve | None, Sequence[Keyframe], bool]:
        """Near the keyframe that shows most of the same; against which keyframes, and whether they are elsewhere.

        None where it was not found for sure.
        """
        live, window = self._live, self._live.keyframes.window
        best, _ = live.mapper.most_alike(frame)
        # Where tracking was lost a moment ago the map goes on, with the keyframe that is being made.
        is_here = best is not None and best.number in live.keyframes.window_numbers
        anchors = window if is_here else live.mapper.around(best or window[-1])
        starts = [*self._starts(frame), anchors[-1].camera_to_world]
        # What was thought to move on its own may have been the world.
        with live.mapper.shared.trusting():
            newest = 1 if is_here and self._settings.real_time else None
            solved = self._thoroughly(frame, anchors, starts, stage_s, newest)
            if self.ends_loss(solved):
                self._not_found = 0
            elif best is not None:
                solved = self._by_learned(frame, anchors, starts, stage_s) or solved
        return solved, anchors, not is_here

    def ends_loss(self, solved: FrameSolve | None) -> TypeGuard[FrameSolve]:
        """Whether it is so sure where a frame was taken that tracking goes on from there."""
        return solved is not None and solved.quality.confidence >= max(self._settings.confidence_min, FOUND_AGAIN)

    def _by_learned(
        self, frame: StreamFrame, anchors: Sequence[Keyframe], starts: Sequence[FloatArray], stage_s: dict[str, float]
    ) -> FrameSolve | None:
        """By learned keypoints; None where it is not found by these, or where it is not worth a look."""
        self._not_found += 1
        if self._learned is None or not self._learned.may_look_again(self._not_found):
            return None
        with timed(stage_s, LEARNED_STAGE):
            evidence = self._learned.between(self._live.mapper.shared, anchors, frame)
        solved = None if evidence is None else self._solve_from(frame, anchors, evidence, starts, stage_s)
        if not self.ends_loss(solved):
            return None
        self._not_found = 0
        return solved

    def _is_sure(self, solved: FrameSolve | None) -> TypeGuard[FrameSolve]:
        return solved is not None and solved.quality.confidence >= self._settings.sure

    @staticmethod
    def _is_better(solved: FrameSolve | None, other: FrameSolve) -> bool:
        return solved is not None and solved.quality.confidence > other.quality.confidence

    def _expected(self, frame: StreamFrame, stage_s: dict[str, float]) -> FrameSolve | None:
        """Where constant velocity leads, over a gap in two ways; None where next to nothing is seen there."""
        best = None
        for expected in self._live.motion.expected_poses(frame.stamp_ns):
            solved = self._expected_at(frame, expected, stage_s)
            if self._is_sure(solved):
                return solved
            best = solved if best is None or self._is_better(solved, best) else best
        return best

    def _expected_at(self, frame: StreamFrame, expected: FloatArray, stage_s: dict[str, float]) -> FrameSolve | None:
        """Near a pose (4x4); None where next to nothing is seen there."""
        mapper, window = self._live.mapper, self._live.keyframes.window
        with timed(stage_s, "evidence"):
            evidence = mapper.shared.expected(window, frame, expected)
        evidence = None if evidence is None or len(evidence.anchor) < FEWEST_MATCHES else evidence
        spare = evidence is None or self._can_spare_beside()
        with timed(stage_s, "evidence"):
            beside = self._seen_beside(frame, expected, spare)
        if evidence is None and not beside:
            return None
        evidence = mapper.shared.nothing(window, frame) if evidence is None else evidence
        solved = self._solved_at(expected, evidence, beside, stage_s)
        if not spare and not self._is_sure(solved):
            with timed(stage_s, "evidence"):
                beside = self._seen_beside(frame, expected, True)
            solved = self._solved_at(expected, evidence, beside, stage_s)
        if not self._is_sure(solved):
            mapper.shared.forget_pairs(frame)
            return solved
        self._learn(window, evidence, solved)
        for seen, (inverse_depth, agrees) in zip(beside, solved.beside, strict=True):
            if mapper.rig is not None:
                mapper.rig.learn(seen, inverse_depth, agrees)
        return solved

    def _can_spare_beside(self) -> bool:
        """Whether all cameras of a rig are asked; those that see something else always are."""
        rig = self._live.mapper.rig
        return rig is None or not rig.has_partners or self._budget.can_spare(_BESIDE)

    def _seen_beside(self, frame: StreamFrame, expected: FloatArray, spare: bool) -> list[SeenBeside]:
        """By the other cameras of a rig; without time to spare not by those that see what the first one sees."""
        rig, window = self._live.mapper.rig, self._live.keyframes.window
        if rig is None:
            return []
        if not spare:
            return rig.expected(window, frame, expected, partners=False)
        with self._budget.paying_for(_BESIDE):
            return rig.expected(window, frame, expected)

    def _solved_at(
        self, expected: FloatArray, evidence: Evidence, beside: Sequence[SeenBeside], stage_s: dict[str, float]
    ) -> FrameSolve:
        with timed(stage_s, "solve"):
            return self._solver.solve_from(
                [expected], self._live.keyframes.window, evidence, beside=[seen.beside for seen in beside]
            )

    def _near(self, frame: StreamFrame, stage_s: dict[str, float]) -> tuple[FrameSolve | None, bool]:
        """At a glance, else thoroughly if there is time; and whether coarse flow reached little of the keyframes."""
        solved, apart = self._at_a_glance(frame, stage_s)
        # A keyframe in the making shows more of this place, and a thorough look would only hold it up.
        if solved is None and not self._live.maker.is_due and self._budget.has_time_for(_THOROUGH):
            with self._budget.paying_for(_THOROUGH):
                newest = 1 if self._settings.real_time else None
                solved = self._thoroughly(frame, self._live.keyframes.window, self._starts(frame), stage_s, newest)
        return solved, apart

    def _starts(self, frame: StreamFrame) -> list[FloatArray]:
        motion = self._live.motion
        return [*motion.expected_poses(frame.stamp_ns), motion.camera_to_world]

    def _at_a_glance(self, frame: StreamFrame, stage_s: dict[str, float]) -> tuple[FrameSolve | None, bool]:
        """From coarse flow, and whether it reached little of the keyframes; then nothing is taken that is not sure."""
        window = self._live.keyframes.window
        with timed(stage_s, "evidence"):
            evidence, reach = self._live.mapper.shared.glance(window, frame)
        apart, starts = reach < self._settings.keyframe_overlap, self._starts(frame)
        if reach < _LEAST_REACH:
            return None, apart
        if not apart:
            return self._solve_from(frame, window, evidence, starts, stage_s), apart
        if len(evidence.anchor) < FEWEST_MATCHES:
            return None, apart
        with timed(stage_s, "solve"):
            solved = self._solver.solve_from(starts, window, evidence)
        if not self._is_sure(solved):
            return None, apart
        self._learn(window, evidence, solved)
        return solved, apart

    def _thoroughly(
        self,
        frame: StreamFrame,
        anchors: Sequence[Keyframe],
        starts: Sequence[FloatArray],
        stage_s: dict[str, float],
        newest: int | None = None,
    ) -> FrameSolve | None:
        with timed(stage_s, "evidence"):
            evidence = self._live.mapper.shared.between(anchors, frame, newest)
        return self._solve_from(frame, anchors, evidence, starts, stage_s)

    def _solve_from(
        self,
        frame: StreamFrame,
        anchors: Sequence[Keyframe],
        evidence: Evidence,
        starts: Sequence[FloatArray],
        stage_s: dict[str, float],
    ) -> FrameSolve | None:
        """From these starts and, where they explain the frame badly, from others as well."""
        live, newest = self._live, anchors[-1]
        with timed(stage_s, "solve"):
            unit = live.keyframes.unit_of(newest)
            step = live.motion.expected_distance(newest.camera_to_world, frame.stamp_ns, unit)
            solved = self._solver.solve(starts, anchors, evidence, step)
        if self.is_good(solved):
            self._learn(anchors, evidence, solved)
        return solved

    def _learn(self, anchors: Sequence[Keyframe], evidence: Evidence, solved: FrameSolve) -> None:
        self._live.keyframes.learn(anchors, evidence, solved.inverse_depth, solved.agrees)
