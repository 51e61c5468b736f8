"""nodes.pose.parameters: what the rows mean together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ros_testing import Probe

pytest.importorskip("rclpy")

import rclpy

from ros2_raxels.nodes.common.parameters import ParameterError, Parameters, declare
from ros2_raxels.nodes.pose.parameters import POSE_TABLE, check_frames, tracker_settings
from ros2_raxels.tracking.metric_scale import ScaleSettings, ScaleSource
from ros2_raxels.tracking.types import LostPolicy, TrackerSettings

pytestmark = pytest.mark.ros

Make = Callable[..., Parameters]


@pytest.fixture
def given(module_probe: Probe) -> Iterator[Make]:
    """Parameters of a node that is started with some values."""
    nodes: list[Any] = []

    def make(**values: Any) -> Parameters:
        overrides = [rclpy.Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
        nodes.append(rclpy.create_node("given", context=module_probe.node.context, parameter_overrides=overrides))
        return declare(nodes[-1], POSE_TABLE)

    yield make
    for node in nodes:
        node.destroy_node()


def test_the_defaults_are_those_of_the_tracker(given: Make):
    assert tracker_settings(given()) == TrackerSettings(real_time=True)


def test_every_value_reaches_the_tracker(given: Make):
    values = {"scale__mode": "height", "scale__scene_depth_m": 2.5, "scale__camera_height_m": 0.7}
    settings = tracker_settings(given(confidence_min=0.4, lost__frames=9, lost__policy="hold", **values))
    scale = ScaleSettings(ScaleSource.HEIGHT, 2.5, 0.7)
    expected = TrackerSettings(
        confidence_min=0.4, lost_frames=9, lost_policy=LostPolicy.HOLD, scale=scale, real_time=True
    )
    assert settings == expected


@pytest.mark.parametrize("frame", ["", "map", "odom", "earth"])
def test_the_world_must_not_be_a_frame_in_metres(given: Make, frame: str):
    with pytest.raises(ParameterError, match=f"tf.world_frame = '{frame}' must be a frame of its own"):
        check_frames(given(tf__world_frame=frame))


@pytest.mark.parametrize("name", ["world", "child", "map", "odom", "base"])
def test_no_frame_may_begin_with_a_slash(given: Make, name: str):
    with pytest.raises(ParameterError, match=f"tf.{name}_frame = '/a' must not begin with a slash"):
        check_frames(given(**{f"tf__{name}_frame": "/a"}))


def test_the_world_and_the_camera_must_differ(given: Make):
    check_frames(given(tf__world_frame="eye_world", tf__child_frame="eye"))
    with pytest.raises(ParameterError, match=r"tf\.world_frame and tf.child_frame are both 'eye'"):
        check_frames(given(tf__world_frame="eye", tf__child_frame="eye"))
