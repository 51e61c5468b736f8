"""view_goal: whatever a goal holds, it is read or refused with a code and words."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("raxels_interfaces.action")

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Header

from raxels_interfaces.action import PredictViews
from ros2_raxels.geometry.frame_tree import FrameTree
from ros2_raxels.nodes.views.goal import GoalError, GoalLimits, ViewRequest, code_name, read_goal

LIMITS = GoalLimits(max_poses=8, max_views=6, max_imagined=4, max_steps=9, max_side_px=100)
TREE = FrameTree()
TREE.insert("map", "eye", 1, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def known(frame: str) -> Any:
    return TREE.lookup(frame, frame)


numbers = st.floats(width=64) | st.sampled_from([0.0, 1.0, 0.5])
frames = st.sampled_from(["map", "/map", "eye", "", "moon"])


@st.composite
def goals(draw: st.DrawFn) -> Any:
    goal = PredictViews.Goal()
    goal.trajectory.header.frame_id = draw(frames)
    for _ in range(draw(st.integers(0, 9))):
        pose = PoseStamped()
        pose.header.frame_id = draw(frames)
        if draw(st.booleans()):
            at, turn = pose.pose.position, pose.pose.orientation
            at.x, at.y, turn.x, turn.w = draw(numbers), draw(numbers), draw(numbers), draw(numbers)
        goal.trajectory.poses.append(pose)
    small = st.integers(0, 12) | st.integers(0, 2**32 - 1)
    goal.num_views, goal.steps = draw(small), draw(small)
    sides = st.sampled_from([0, 15, 16, 100, 101, 2**32 - 1])
    goal.width, goal.height = draw(sides), draw(sides)
    goal.pose_of, goal.seed = draw(st.integers(0, 255)) % 3, draw(st.integers(0, 2**64 - 1))
    goal.reference_time.sec, goal.max_duration.sec = draw(st.integers(-(2**31), 2**31 - 1)), draw(st.integers(-2, 9))
    return goal


def read_or_refusal(goal: Any) -> tuple[ViewRequest | None, GoalError | None]:
    try:
        return read_goal(goal, LIMITS, known), None
    except GoalError as error:
        return None, error


@given(goals())
def test_any_goal_is_within_bounds_or_refused_with_a_code_and_a_reason(goal: Any):
    request, refusal = read_or_refusal(goal)
    if refusal is not None:
        assert code_name(refusal.code) in ("INVALID_GOAL", "UNKNOWN_FRAME", "TOO_MANY_POSES", "INVALID_SIZE")
        assert str(refusal)
        assert "\n" not in str(refusal)
        return
    assert request.poses.shape == (len(goal.trajectory.poses), 4, 4)
    assert np.isfinite(request.poses).all()
    assert set(request.frames) <= {"map", "eye"}
    assert request.imagines == (not goal.trajectory.poses)
    assert 1 <= request.views <= (LIMITS.max_imagined if request.imagines else LIMITS.max_views)
    assert request.steps is None or 1 <= request.steps <= LIMITS.max_steps
    assert request.size is None or all(16 <= side <= 100 for side in request.size)
    assert request.reference_ns >= 0
    assert request.max_duration_s is None or request.max_duration_s > 0
    assert request.seed == goal.seed


def test_a_goal_is_parsed_into_its_numbers():
    goal = PredictViews.Goal(num_views=3, width=64, height=48, steps=2, seed=2**64 - 1, stream_views=True)
    goal.pose_of = PredictViews.Goal.POSE_OF_OPTICAL
    goal.trajectory.header.frame_id = "/map"
    for frame in ("", "eye"):
        pose = PoseStamped()
        pose.header.frame_id = frame
        pose.pose.position.x, pose.pose.orientation.w, pose.pose.orientation.z = 2.0, math.sqrt(0.5), math.sqrt(0.5)
        goal.trajectory.poses.append(pose)
    goal.reference_time.sec, goal.max_duration.nanosec = 7, 500_000_000
    request = read_goal(goal, LIMITS, known)
    assert (request.frames, request.answer_frame, request.is_base) == (("map", "eye"), "map", False)
    np.testing.assert_allclose(request.poses[1], [[0, -1, 0, 2], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], atol=1e-12)
    assert (request.views, request.size, request.steps, request.seed) == (3, (64, 48), 2, 2**64 - 1)
    assert (request.reference_ns, request.max_duration_s, request.stream) == (7_000_000_000, 0.5, True)


def test_a_trajectory_without_a_frame_is_answered_in_that_of_its_first_pose():
    goal = PredictViews.Goal()
    for frame in ("eye", "map"):
        pose = PoseStamped()
        pose.header.frame_id = frame
        goal.trajectory.poses.append(pose)
    assert read_goal(goal, LIMITS, known).answer_frame == "eye"


def test_every_code_has_its_name():
    codes = {name: getattr(PredictViews.Result, name) for name in dir(PredictViews.Result) if name.isupper()}
    codes.pop("SLOT_TYPES", None)
    assert len(codes) == 14
    assert {code_name(code): code for code in codes.values()} == codes


def test_a_camera_is_one_of_the_rig_or_took_an_image_of_the_goal():
    def asked(camera: str, *frames: str) -> Any:
        goal = PredictViews.Goal(num_views=1, camera=camera, context_camera_info=[CameraInfo()])
        for stamp, frame in enumerate(frames, 1):
            header = Header(frame_id=frame, stamp=Time(sec=stamp))
            goal.context.append(CompressedImage(header=header, format="png", data=b"looked at later"))
        return goal

    rig = ("left", "right")
    assert [read_goal(asked(name), LIMITS, known, rig).camera for name in ("", "left", "right")] == ["", *rig]
    assert read_goal(asked("/eye", "eye", "map"), LIMITS, known, rig).camera == "eye"
    for goal, cameras, words in (
        (asked("rihgt"), rig, "camera = 'rihgt' is unknown: the cameras are left, right; give one of them, or ''"),
        (asked("right"), ("",), "camera = 'right' is unknown: the only camera has no name (parameter cameras)"),
        (asked("left", "eye", "map"), rig, "camera = 'left' is the frame_id of no context image; they are in eye, map"),
    ):
        with pytest.raises(GoalError, match=re.escape(words)) as caught:
            read_goal(goal, LIMITS, known, cameras)
        assert code_name(caught.value.code) == "INVALID_GOAL"
