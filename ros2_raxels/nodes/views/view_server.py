"""``raxels_views``: what the camera would see along a trajectory, as an action."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from sensor_msgs.msg import PointCloud2

from ros2_raxels.engine import EngineError
from ros2_raxels.estimation.learned_prior import named_card
from ros2_raxels.geometry.frame_tree import bare
from ros2_raxels.nodes.common import diagnostics
from ros2_raxels.nodes.common.diagnostics import Health
from ros2_raxels.nodes.common.interfaces import PoseStatus, PredictViews, RankPaths
from ros2_raxels.nodes.common.lifecycle import ManagedNode
from ros2_raxels.nodes.common.parameters import (
    METRIC_FRAMES,
    ParameterError,
    check_cameras,
    engine_options,
    must_have_engine,
)
from ros2_raxels.nodes.common.runner import run
from ros2_raxels.nodes.common.tf_listener import make_reader
from ros2_raxels.nodes.views.depth_publisher import DepthPublisher
from ros2_raxels.nodes.views.goal import CODES, GoalError, GoalLimits, ViewRequest, code_name, read_goal
from ros2_raxels.nodes.views.job import ALL_OF_A_BURST, JobQueue, ViewJob
from ros2_raxels.nodes.views.layers import ShowPoints
from ros2_raxels.nodes.views.live_context import LiveContext
from ros2_raxels.nodes.views.pacing import Pace
from ros2_raxels.nodes.views.parameters import VIEWS_NODE, VIEWS_TABLE
from ros2_raxels.nodes.views.path_ranker import NOT_ACTIVE, PathRanker, refused
from ros2_raxels.nodes.views.rig_context import RigContext
from ros2_raxels.nodes.views.view_maker import Predictor, ViewMaker
from ros2_raxels.view_synthesis.context import SpreadSettings
from ros2_raxels.view_synthesis.predictor import SHIPPED, ViewPredictor

_WATCH_PERIOD_S = 0.1
_RESULT_KEPT_S = 10
_LONGEST = 400
_WORKER_ENDED = "goals are no longer served after an internal error; deactivate and activate the server"


class ViewServer(ManagedNode[Predictor | None]):
    """Serves ``~/predict_views``, one goal at a time.

    The executor's thread checks goals, stores messages and sends results, which it awaits. One worker thread owns the
    engine, so that a goal that runs delays neither cancelling nor diagnostics.

    Args:
        make_predictor: of the name of a model card; the default is the real one. It may raise EngineError.
        options: of ``rclpy.lifecycle.LifecycleNode``.
    """

    def __init__(self, make_predictor: Callable[[str], Predictor] | None = None, **options: Any) -> None:
        super().__init__(VIEWS_NODE, VIEWS_TABLE, **options)
        self._make_predictor = make_predictor or self._real_predictor

    # ------------------------------------------------------------------------------------------------- life cycle

    def load(self) -> Predictor | None:
        """The model; None, with the reason kept, when the installed one cannot run.

        Raises:
            ParameterError: the card that the parameter names cannot be used.
        """
        check_cameras(self._settings)
        model = self._settings.text("model")
        self._unloaded = ""
        try:
            return self._make_predictor(model)
        except EngineError as error:
            if model or must_have_engine(self._settings):
                raise ParameterError(f"model = {model!r} cannot be used: {error}") from error
            self._unloaded = str(error)
            self.get_logger().error(f"goals will end with ENGINE_FAILED: {error}")
            return None

    def _real_predictor(self, model: str) -> ViewPredictor:
        return ViewPredictor.load(named_card(model, SHIPPED), options=engine_options(self, self._settings))

    def configure(self, loaded: Predictor | None, undo: ExitStack) -> None:
        """Offer the action, so that goals which deactivation preempts still get their answer."""
        self._predictor = loaded
        undo.callback(self._forget_predictor)
        self._jobs = JobQueue()
        self._accepted: dict[bytes, ViewJob] = {}
        self._checked: dict[int, ViewRequest] = {}
        self._goal_pace, self._result_pace = Pace(self, self._steady), Pace(self, self._steady)
        for pace in (self._goal_pace, self._result_pace):
            undo.callback(pace.destroy)
        self._latencies = diagnostics.Latencies()
        self._rejected, self._last_rejected = 0, ""
        self._server = ActionServer(
            self,
            PredictViews,
            "~/predict_views",
            self._execute,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            # A goal that waits for its turn keeps nothing else of the node waiting.
            callback_group=ReentrantCallbackGroup(),
            goal_service_qos_profile=ALL_OF_A_BURST,
            result_service_qos_profile=ALL_OF_A_BURST,
            cancel_service_qos_profile=ALL_OF_A_BURST,
            result_timeout=_RESULT_KEPT_S,
        )
        undo.callback(self._server.destroy)
        self._predicted_points = self.create_publisher(PointCloud2, "~/predicted_points", 1)
        undo.callback(self.destroy_publisher, self._predicted_points)
        self._seen_points = self.create_publisher(PointCloud2, "~/seen_points", 1)
        undo.callback(self.destroy_publisher, self._seen_points)
        ranking = self.create_service(
            RankPaths, "~/rank_paths", self._on_rank_paths, callback_group=ReentrantCallbackGroup()
        )
        undo.callback(self.destroy_service, ranking)

    def _forget_predictor(self) -> None:
        del self._predictor

    def activate(self, undo: ExitStack) -> None:
        """Listen, and serve goals."""
        self._jobs = JobQueue(self._jobs.ended)
        self._status: PoseStatus | None = None
        self._placed_frame = ""
        self._reader = make_reader(self)
        undo.callback(self._reader.destroy)
        self._live = self._listen()
        undo.callback(self._live.destroy)
        status = self.create_subscription(PoseStatus, "raxels_pose/status", self._on_status, 10)
        undo.callback(self.destroy_subscription, status)
        self._depths = self._make_depths()
        undo.callback(self._forget_depths)
        watch = self.create_timer(_WATCH_PERIOD_S, self._watch, clock=self._steady)
        undo.callback(self.destroy_timer, watch)
        self._begin(partial(self._work, self._make_maker(partial(_show_points, self._predicted_points)), self._jobs))
        undo.callback(self._jobs.close, "the server was deactivated")
        show_seen = partial(_show_points, self._seen_points)
        self._ranker = PathRanker(self._make_maker(None), self._predictor, self._is_known, self._is_metric, show_seen)
        undo.callback(self._forget_ranker)
        for pace in (self._goal_pace, self._result_pace):
            pace.close()
            undo.callback(pace.open)

    def _make_depths(self) -> DepthPublisher | None:
        if self._predictor is None:
            return None
        in_units = partial(self._settings.flag, "depth_in_units")
        return DepthPublisher(self, self._predictor, self._live, self._is_metric, in_units, self._problems.report)

    def _forget_depths(self) -> None:
        # It holds the predictor.
        if self._depths is not None:
            self._depths.destroy()
        del self._depths

    def _watch(self) -> None:
        self._live.update()
        if self._depths is not None:
            self._depths.update()

    def _forget_ranker(self) -> None:
        # It holds the predictor.
        self._ranker.close()
        del self._ranker

    def _make_maker(self, show_points: ShowPoints | None) -> ViewMaker:
        return ViewMaker(
            self._predictor,
            self._reader,
            self._live,
            self._settings,
            self._is_metric,
            lambda: int(self.get_clock().now().nanoseconds),
            lambda: "" if self._status is None else str(self._status.child_frame_id),
            self._unloaded,
            show_points,
        )

    def _listen(self) -> RigContext:
        spread = SpreadSettings(
            self._settings.integer("context.frames"),
            self._settings.number("context.least_motion"),
            float(np.radians(self._settings.number("context.least_turn_deg"))),
            self._settings.number("context.keep_s"),
        )
        return RigContext(
            {
                name: LiveContext(
                    self,
                    self._settings.text("image_transport"),
                    self._settings.flag("image_rectified"),
                    self._settings.text("world_frame"),
                    self._reader,
                    spread,
                    name,
                )
                for name in self._settings.texts("cameras") or [""]
            }
        )

    # ------------------------------------------------------------------------------------------ executor's thread

    def _on_status(self, status: PoseStatus) -> None:
        before, self._status = self._status, status
        # Waiting is no new world: a camera that is silent for a while goes on in the old one.
        if status.state == PoseStatus.STATE_INITIALISING or (before is not None and _is_other_world(before, status)):
            self._live.forget()

    def _is_metric(self) -> bool:
        world, status = bare(self._settings.text("world_frame")), self._status
        if status is not None and bare(status.header.frame_id) == world:
            return bool(status.scale_is_metric)
        # Nobody says; what the pose node places before it knows the scale is never in one of these.
        return world in METRIC_FRAMES

    async def _on_goal(self, goal: Any) -> GoalResponse:
        await self._goal_pace.turn()
        try:
            self._refuse_when_busy()
            # rclpy calls `_on_accepted` for the same goal right after.
            self._checked[id(goal)] = self._read(goal)
        except Exception as error:
            # Whatever a goal holds, the node goes on.
            refusal = error if isinstance(error, GoalError) else GoalError(CODES.INTERNAL, diagnostics.worded(error))
            self._rejected += 1
            self._last_rejected = f"goal rejected, {code_name(refusal.code)}: {refusal}"[:_LONGEST]
            # Every one: the client of a rejected goal gets no other answer.
            self.get_logger().warning(self._last_rejected)
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _refuse_when_busy(self) -> None:
        if not self._active:
            raise GoalError(CODES.PREEMPTED, "the server is not active; activate it first")
        if reason := self._jobs.closed:
            raise GoalError(CODES.PREEMPTED, reason)
        if self._settings.text("goal_policy") == "reject" and self._jobs.is_busy:
            raise GoalError(
                CODES.PREEMPTED, "another goal is running and goal_policy is reject: wait for it or cancel it"
            )

    def _read(self, goal: Any) -> ViewRequest:
        names = ("max_poses", "max_views", "max_imagined", "max_steps", "max_side_px")
        limits = GoalLimits(**{name: self._settings.integer(name) for name in names})
        return read_goal(goal, limits, self._is_known, self._live.names)

    def _is_known(self, frame: str) -> object:
        # A frame in itself: known or not is all that matters yet.
        return self._reader.lookup(frame, frame)

    async def _on_rank_paths(self, request: Any, response: Any) -> Any:
        if not self._active:
            return refused(response, GoalError(CODES.PREEMPTED, NOT_ACTIVE))
        return await self._ranker.answer(request, response, self.executor)

    def _on_accepted(self, handle: Any) -> None:
        job = ViewJob(
            handle, self._checked.pop(id(handle.request)), self._settings.number("max_duration_s"), self.executor
        )
        self._accepted[bytes(handle.goal_id.uuid)] = job
        # First the state of the goal, then feedback about it.
        handle.execute()
        if not self._jobs.put(job):
            job.result.give(_failed(CODES.PREEMPTED, self._jobs.closed))

    async def _execute(self, handle: Any) -> Any:
        """Waits for the worker without keeping the executor, and ends the goal."""
        result = await self._accepted.pop(bytes(handle.goal_id.uuid)).result
        await self._result_pace.turn()
        if result.error_code == CODES.NONE:
            handle.succeed()
        elif result.error_code == CODES.CANCELLED:
            handle.canceled()
        else:
            handle.abort()
        return result

    # -------------------------------------------------------------------------------------------- worker's thread

    def _work(self, maker: ViewMaker, jobs: JobQueue) -> None:
        try:
            while (job := jobs.take()) is not None:
                self._serve(maker, jobs, job)
        finally:
            # There are some only after what no goal may catch. Their clients must not wait for ever.
            for job in jobs.abandon(_WORKER_ENDED):
                job.result.give(_failed(CODES.INTERNAL, _WORKER_ENDED))

    def _serve(self, maker: ViewMaker, jobs: JobQueue, job: ViewJob) -> None:
        begun = time.monotonic()
        result = maker.make(job)
        if result.error_code >= CODES.ENGINE_FAILED:
            self._problems.report(f"goal ended with {code_name(result.error_code)}: {result.error_msg}")
        if maker.placed_frame != self._placed_frame:
            self._placed_frame = maker.placed_frame
            self.get_logger().info(f"poses of goals that place the base are those of {self._placed_frame}")
        took_s = time.monotonic() - begun
        self._latencies.add(took_s)
        self.get_logger().debug(f"{code_name(result.error_code)} after {took_s:.3f} s")
        # Before the client knows: its next goal must not find the server busy.
        jobs.count(code_name(result.error_code))
        job.result.give(result)

    # -------------------------------------------------------------------------------------------------- diagnostics

    def _engine_health(self) -> Health:
        if self._predictor is None:
            return Health("engine", diagnostics.ERROR, self._unloaded)
        return Health("engine", diagnostics.OK, self._predictor.describe())

    def _work_health(self) -> list[Health]:
        return [self._context_health(), self._goals_health()]

    def _context_health(self) -> Health:
        newest_ns = self._live.newest_ns
        if newest_ns is None:
            return Health("context", diagnostics.WARN, self._live.why_empty(), {"frames kept": "0"})
        max_age_s = self._settings.number("context.max_age_s")
        age_s = (self.get_clock().now().nanoseconds - newest_ns) * 1e-9
        missing = self._live.missing(max_age_s)
        wrong = [f"camera {name!r} adds nothing to the context: {why}" for name, why in missing.items() if why]
        if age_s > max_age_s:
            wrong = [f"the newest image is {age_s:.1f} s old: {self._live[''].why_old()}"]
        values = {"frames kept": str(self._live.kept), "age (s)": f"{age_s:.3f}", "metric": str(self._is_metric())}
        values |= {f"camera {name}": why or "ok" for name, why in missing.items()}
        return Health("context", diagnostics.WARN if wrong else diagnostics.OK, "; ".join(wrong), values)

    def _goals_health(self) -> Health:
        recent = self._problems.recent
        words = self._problems.last if recent else ""
        return Health("goals", diagnostics.WARN if recent else diagnostics.OK, words, self._goal_counts())

    def _goal_counts(self) -> dict[str, str]:
        counts = {f"ended with {name}": str(count) for name, count in sorted(self._jobs.ended.items())}
        counts |= self._latencies.values() | {"rejected": str(self._rejected), "last rejected": self._last_rejected}
        counts |= {"poses are of": self._placed_frame}
        return counts | {"last problem": self._problems.last, "running": str(self._jobs.is_running)}


def _show_points(publisher: Any, made: Callable[[], PointCloud2]) -> None:
    # From a worker's thread: publishers may be used from any.
    if publisher.get_subscription_count():
        publisher.publish(made())


def _failed(code: int, words: str) -> Any:
    return PredictViews.Result(error_code=code, error_msg=words)


def _is_other_world(before: PoseStatus, now: PoseStatus) -> bool:
    """Whether poses may be in another world or unit than before."""
    # A pose node that is started again counts anew, and may be tracking from its first image on.
    is_other_run = now.frames_processed < before.frames_processed
    return is_other_run or now.resets != before.resets or now.scale_is_metric != before.scale_is_metric


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; see `runner.run` for the exit status."""
    return run(ViewServer, arguments)


if __name__ == "__main__":
    sys.exit(main())
