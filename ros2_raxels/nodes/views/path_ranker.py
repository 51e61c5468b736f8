"""``~/rank_paths``: candidate paths scored by what the camera has seen, in a thread of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent import futures
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from nav_msgs.msg import Path
from rclpy.executors import Executor
from std_msgs.msg import Header

from ros2_raxels.geometry.frame_tree import bare
from ros2_raxels.geometry.poses import FloatArray, inverse_pose
from ros2_raxels.nodes.common.diagnostics import worded
from ros2_raxels.nodes.common.interfaces import PathScore, PredictViews
from ros2_raxels.nodes.common.messages import stamp_message
from ros2_raxels.nodes.common.rclpy_compat import Answer
from ros2_raxels.nodes.views.goal import CODES, GoalError, GoalLimits, ViewRequest, read_goal
from ros2_raxels.nodes.views.job import duration_message
from ros2_raxels.nodes.views.layers import ShowPoints, surface_cloud
from ros2_raxels.nodes.views.view_maker import Predictor, Scene, ViewMaker
from ros2_raxels.view_synthesis import path_scores
from ros2_raxels.view_synthesis.path_scores import MOST_PATHS, MOST_POSES, Body, Candidate, score_paths
from ros2_raxels.view_synthesis.seen_space import SeenSpace

NOT_ACTIVE = "the server is not active; activate it first"
_LONGEST_HORIZON = 1000.0
_MOST = MOST_PATHS * MOST_POSES
_LIMITS = GoalLimits(max_poses=_MOST, max_views=_MOST, max_imagined=0, max_steps=0, max_side_px=0)


class _Job:
    """As much of a `ViewJob` as preparing a scene takes: it cannot be cancelled."""

    def __init__(self, request: ViewRequest) -> None:
        self.request = request
        self.handle: Any = SimpleNamespace(request=PredictViews.Goal())

    def why_stop(self) -> GoalError | None:
        """Nothing stops it."""
        return None


class PathRanker:
    """Answers requests one after the other.

    Args:
        maker: tells what poses mean in the world; used by this thread alone.
        predictor: see there; None when it could not be loaded.
        known: raises UnknownFrameError for a frame that TF has never heard of.
        is_metric: whether the world's unit is the metre.
        show_points: is given what makes the points of seen surfaces, to be called if anybody listens.
    """

    def __init__(
        self,
        maker: ViewMaker,
        predictor: Predictor | None,
        known: Callable[[str], object],
        is_metric: Callable[[], bool],
        show_points: ShowPoints | None = None,
    ) -> None:
        self._maker, self._predictor, self._known, self._is_metric = maker, predictor, known, is_metric
        self._show_points = show_points
        self._thread = futures.ThreadPoolExecutor(1, "ranking")

    async def answer(self, request: Any, response: Any, executor: Executor) -> Any:
        """The response to a request, without keeping the executor meanwhile."""
        answer: Answer[None] = Answer(executor)
        try:
            asked = self._thread.submit(self.rank, request, response)
        except RuntimeError:
            return refused(response, GoalError(CODES.PREEMPTED, NOT_ACTIVE))
        asked.add_done_callback(lambda _: answer.give(None))
        await answer
        return refused(response, GoalError(CODES.PREEMPTED, NOT_ACTIVE)) if asked.cancelled() else response

    def rank(self, request: Any, response: Any) -> None:
        """Fill a response, whatever happens."""
        begun = time.monotonic()
        try:
            response.scores = list(self._scores(request, response))
        except GoalError as error:
            refused(response, error)
        except Exception as error:
            refused(response, GoalError(CODES.INTERNAL, f"internal error: {worded(error)}"))
        response.scoring_time = duration_message(time.monotonic() - begun)

    def _scores(self, request: Any, response: Any) -> Iterator[Any]:
        body, horizon = _body(request), _horizon(request)
        asked = _poses(request, self._known)
        if self._predictor is None:
            raise GoalError(CODES.ENGINE_FAILED, "no model is loaded; /diagnostics says why")
        scene = self._maker.scene(_Job(asked))
        response.stamp, response.is_metric = stamp_message(scene.stamp_ns), self._is_metric()
        try:
            known = (scene.images, scene.camera, scene.to_world)
            depths = self._predictor.frame_depths(*known, scene.trajectory, scene.seen)
        except ValueError as error:
            raise GoalError(CODES.NO_CONTEXT, str(error)) from error
        been, candidates = _placed(scene, [len(path.poses) for path in request.paths])
        space = SeenSpace.of(depths)
        if self._show_points is not None:
            header = Header(stamp=response.stamp, frame_id=scene.answer_frame)
            self._show_points(partial(surface_cloud, space, scene.world_to_answer, header))
        for score in score_paths(space, candidates, body, been, horizon):
            yield _message(score)

    def close(self) -> None:
        """Take no more; requests that wait are answered."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def refused(response: Any, error: GoalError) -> Any:
    """The response that says why there are no scores."""
    response.scores, response.error_code, response.error_msg = [], error.code, str(error)
    return response


def _body(request: Any) -> Body:
    up = (0.0, 0.0, 1.0) if request.pose_of == PredictViews.Goal.POSE_OF_BASE else (0.0, -1.0, 0.0)
    try:
        return Body(float(request.radius), float(request.height_min), float(request.height_max), up)
    except ValueError as error:
        raise GoalError(CODES.INVALID_GOAL, str(error)) from error


def _horizon(request: Any) -> float | None:
    if not 0.0 <= request.horizon <= _LONGEST_HORIZON:
        raise GoalError(
            CODES.INVALID_GOAL,
            f"horizon = {request.horizon:g} must be 0 to {_LONGEST_HORIZON:g}; 0 means ten radii",
        )
    return float(request.horizon) or None


def _poses(request: Any, known: Callable[[str], object]) -> ViewRequest:
    """All poses of all paths, one after the other, as the trajectory of a goal."""
    if not 1 <= len(request.paths) <= MOST_PATHS:
        raise GoalError(CODES.TOO_MANY_POSES, f"{len(request.paths)} paths: give 1 to {MOST_PATHS} at once")
    trajectory = Path()
    for index, path in enumerate(request.paths):
        if not 1 <= len(path.poses) <= MOST_POSES:
            code = CODES.TOO_MANY_POSES if path.poses else CODES.INVALID_GOAL
            raise GoalError(code, f"paths[{index}] has {len(path.poses)} poses: give 1 to {MOST_POSES}")
        for stamped in path.poses:
            if not bare(stamped.header.frame_id):
                stamped.header.frame_id = path.header.frame_id
            trajectory.poses.append(stamped)
    goal = PredictViews.Goal(trajectory=trajectory, pose_of=request.pose_of, reference_time=request.reference_time)
    return read_goal(goal, _LIMITS, known)


def _placed(scene: Scene, lengths: list[int]) -> tuple[FloatArray, list[Candidate]]:
    """Where the body has been, and where it may go, in the world."""
    into_body = inverse_pose(scene.optical_to_placed)
    ends = np.cumsum(lengths)[:-1]
    cameras = np.split(scene.trajectory, ends)
    # Only this camera's mount is known here; where it took nothing, the others' is near.
    been = scene.to_world[scene.own] if scene.own else scene.to_world
    return been @ into_body, [Candidate(path @ into_body, path) for path in cameras]


def _message(score: path_scores.PathScore) -> Any:
    return PathScore(
        free_probability=score.free_probability,
        seen_share=score.seen_share,
        never_seen_share=1.0 - score.seen_share,
        expected_quality=score.expected_quality,
        closest_obstacle=score.closest_obstacle,
        closest_pose=score.closest_pose,
        information_gain=score.information_gain,
    )
