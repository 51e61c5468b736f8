"""What a PredictViews goal asks for, checked before it is accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ros2_raxels.geometry.frame_tree import FrameError, UnknownFrameError, bare
from ros2_raxels.geometry.poses import FloatArray, GeometryError, make_pose, rotation_from_quaternion
from ros2_raxels.nodes.common.interfaces import PredictViews
from ros2_raxels.nodes.common.messages import stamp_ns

CODES = PredictViews.Result
"""Where the error codes are."""

_CODE_NAMES = (
    "NONE",
    "INVALID_GOAL",
    "UNKNOWN_FRAME",
    "TOO_MANY_POSES",
    "INVALID_SIZE",
    "NO_TRANSFORM",
    "NO_CONTEXT",
    "STALE_CONTEXT",
    "UNKNOWN_SCALE",
    "TIMEOUT",
    "CANCELLED",
    "PREEMPTED",
    "ENGINE_FAILED",
    "INTERNAL",
)

_CONTEXT_IMAGES = 16
"""Most that a goal may bring."""

_LEAST_SIDE_PX = 16
_FARTHEST = 1e9
"""No coordinate of a real robot is larger; sums and products of such numbers stay finite."""


def code_name(code: int) -> str:
    """Name of an error code, as in the action."""
    return next((name for name in _CODE_NAMES if getattr(CODES, name) == code), str(code))


class GoalError(ValueError):
    """A goal that cannot be served; `code` is one of PredictViews.Result, the message says why in one line."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class GoalLimits:
    """Bounds of what one goal may ask for; see the parameters of the same names."""

    max_poses: int
    max_views: int
    max_imagined: int
    max_steps: int
    max_side_px: int


@dataclass(frozen=True, eq=False)
class ViewRequest:
    """A goal in numbers.

    Attributes:
        frames: of each pose of the trajectory.
        poses: (N, 4, 4), each in its own frame; empty to imagine.
        answer_frame: in which the poses of views are given; empty for that of the context's world.
        is_base: the poses place the robot's base, not the camera.
        reference_ns: moment of context and frames; 0 for the newest image.
        views: how many.
        spread: over the arc of the trajectory, rather than one for each pose.
        size: width and height, px; None for the engine's own.
        steps: of denoising; None for the server's default.
        seed: of the noise; 0 lets the server draw one.
        max_duration_s: None for the server's limit.
        stream: send each view when it is done.
        depth, error, unseen: whether the result has these images of each view.
        depth_in_units: depth is wanted even where the scale is not known.
        camera: whose views; the name of one of the rig, or the frame of one of the images that the goal brings. Empty
            for the first camera, or that of the newest image.
    """

    frames: tuple[str, ...]
    poses: FloatArray
    answer_frame: str
    is_base: bool
    reference_ns: int
    views: int
    spread: bool
    size: tuple[int, int] | None
    steps: int | None
    seed: int
    max_duration_s: float | None
    stream: bool
    depth: bool = False
    depth_in_units: bool = False
    error: bool = False
    unseen: bool = False
    camera: str = ""

    @property
    def imagines(self) -> bool:
        """Whether the model is to find a trajectory itself."""
        return not self.frames


def read_goal(
    goal: Any, limits: GoalLimits, known: Callable[[str], object], cameras: Sequence[str] = ("",)
) -> ViewRequest:
    """Numbers of a PredictViews.Goal.

    Counts are compared with their bounds before anything else is looked at.

    Args:
        goal: the message.
        limits: see there.
        known: raises UnknownFrameError for a frame that TF has never heard of.
        cameras: names of the cameras of the rig; an empty one for the only camera.

    Raises:
        GoalError: INVALID_GOAL, UNKNOWN_FRAME, TOO_MANY_POSES or INVALID_SIZE.
    """
    views = _count(goal, limits)
    size = _size(goal, limits)
    steps = _steps(goal, limits)
    if goal.pose_of not in (goal.POSE_OF_BASE, goal.POSE_OF_OPTICAL):
        raise _invalid(f"pose_of = {goal.pose_of} is neither POSE_OF_BASE (0) nor POSE_OF_OPTICAL (1)")
    _check_context(goal)
    camera = _camera(goal, cameras)
    frames = _frames(goal, known)
    return ViewRequest(
        frames,
        _poses(goal),
        bare(goal.trajectory.header.frame_id) or next(iter(frames), ""),
        goal.pose_of == goal.POSE_OF_BASE,
        _reference_ns(goal),
        views,
        goal.num_views > 0,
        size,
        steps,
        int(goal.seed),
        _duration_s(goal),
        bool(goal.stream_views),
        bool(goal.want_depth),
        bool(goal.depth_in_units),
        bool(goal.want_error),
        bool(goal.want_unseen),
        camera,
    )


def _invalid(message: str) -> GoalError:
    return GoalError(CODES.INVALID_GOAL, message)


def _count(goal: Any, limits: GoalLimits) -> int:
    poses, views = len(goal.trajectory.poses), int(goal.num_views)
    if poses > limits.max_poses:
        raise GoalError(
            CODES.TOO_MANY_POSES,
            f"trajectory has {poses} poses, the server accepts {limits.max_poses}: send fewer, or raise max_poses",
        )
    if not poses and not views:
        raise _invalid("trajectory is empty and num_views is 0: give poses, or the number of views to imagine")
    name, limit = ("max_views", limits.max_views) if poses else ("max_imagined", limits.max_imagined)
    if (views or poses) > limit:
        raise GoalError(
            CODES.TOO_MANY_POSES,
            f"{views or poses} views are requested, the server makes at most {limit}: lower num_views, or raise {name}",
        )
    return views or poses


def _size(goal: Any, limits: GoalLimits) -> tuple[int, int] | None:
    width, height = int(goal.width), int(goal.height)
    if not width and not height:
        return None
    if not all(_LEAST_SIDE_PX <= side <= limits.max_side_px for side in (width, height)):
        raise GoalError(
            CODES.INVALID_SIZE,
            f"size {width}x{height} px: both sides must be {_LEAST_SIDE_PX} to {limits.max_side_px} px, or both 0 for "
            "the engine's own",
        )
    return width, height


def _steps(goal: Any, limits: GoalLimits) -> int | None:
    if goal.steps > limits.max_steps:
        raise _invalid(f"steps = {goal.steps} is more than max_steps = {limits.max_steps}; 1 to 8 are useful")
    return int(goal.steps) or None


def _check_context(goal: Any) -> None:
    images, infos = goal.context, goal.context_camera_info
    if len(images) > _CONTEXT_IMAGES:
        raise _invalid(f"context has {len(images)} images, the server accepts {_CONTEXT_IMAGES}: send the newest")
    if images and len(infos) not in (1, len(images)):
        raise _invalid(f"{len(images)} context images need as many context_camera_info, or one; got {len(infos)}")
    stamps = [stamp_ns(image.header.stamp) for image in images]
    for index, (image, stamp) in enumerate(zip(images, stamps, strict=True)):
        if stamp <= 0:
            raise _invalid(f"context[{index}] has stamp {stamp} ns: without a time its pose cannot be looked up")
        if not image.data:
            raise _invalid(f"context[{index}] has no data; give an encoded image")
        if not bare(image.header.frame_id):
            raise GoalError(CODES.UNKNOWN_FRAME, f"context[{index}] has no frame_id: give the camera's optical frame")
    if stamps != sorted(stamps):
        raise _invalid("context images must be ordered by stamp, oldest first")


def _camera(goal: Any, cameras: Sequence[str]) -> str:
    asked = bare(goal.camera)
    if not asked:
        return ""
    if goal.context:
        frames = list(dict.fromkeys(bare(image.header.frame_id) for image in goal.context))
        if asked not in frames:
            raise _invalid(f"camera = {asked!r} is the frame_id of no context image; they are in {', '.join(frames)}")
    elif asked not in cameras:
        named = ", ".join(filter(None, cameras))
        there = f"the cameras are {named}" if named else "the only camera has no name (parameter cameras)"
        raise _invalid(f"camera = {asked!r} is unknown: {there}; give one of them, or '' for the first")
    return asked


def _frames(goal: Any, known: Callable[[str], object]) -> tuple[str, ...]:
    default = goal.trajectory.header.frame_id
    frames = tuple(bare(pose.header.frame_id or default) for pose in goal.trajectory.poses)
    if "" in frames:
        raise GoalError(
            CODES.UNKNOWN_FRAME,
            f"trajectory.poses[{frames.index('')}] is in no frame: set its header.frame_id or that of the trajectory",
        )
    # Without a trajectory nothing is looked up.
    of_context = {image.header.frame_id for image in goal.context} if frames else set()
    answer = {default} if frames and bare(default) else set()
    for frame in sorted({*frames, *of_context, *answer}):
        try:
            known(frame)
        except UnknownFrameError as error:
            raise GoalError(CODES.UNKNOWN_FRAME, str(error)) from error
        except FrameError:
            continue
    return frames


def _poses(goal: Any) -> FloatArray:
    poses = [pose.pose for pose in goal.trajectory.poses]
    return np.array([_pose(pose, index) for index, pose in enumerate(poses)]).reshape(-1, 4, 4)


def _pose(pose: Any, index: int) -> FloatArray:
    at, turn = pose.position, pose.orientation
    place = (at.x, at.y, at.z)
    if not all(abs(value) <= _FARTHEST for value in place):
        raise _invalid(f"trajectory.poses[{index}] has position {list(place)}; it must be finite and within 1e9 m")
    try:
        return make_pose(rotation_from_quaternion((turn.x, turn.y, turn.z, turn.w)), place)
    except GeometryError as error:
        raise _invalid(f"trajectory.poses[{index}]: {error}") from error


def _reference_ns(goal: Any) -> int:
    reference = stamp_ns(goal.reference_time)
    if reference < 0:
        raise _invalid(f"reference_time = {reference * 1e-9:.3f} s is before 1970; 0 means the newest image")
    return reference


def _duration_s(goal: Any) -> float | None:
    seconds = stamp_ns(goal.max_duration) * 1e-9
    if seconds < 0:
        raise _invalid(f"max_duration = {seconds:.3f} s is negative; 0 means the server's limit")
    return seconds or None
