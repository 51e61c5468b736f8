"""A maker of views on a real node's parameters, without a server: TF is a tree that the test fills."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import rclpy
import scripted_views as script
from ros_testing import Probe
from views_rig import EYE, WORLD, Tree, at

from ros2_raxels.nodes.common.parameters import Parameters, declare
from ros2_raxels.nodes.views.goal import GoalLimits, read_goal
from ros2_raxels.nodes.views.job import ViewJob
from ros2_raxels.nodes.views.live_context import LiveContext
from ros2_raxels.nodes.views.parameters import VIEWS_TABLE
from ros2_raxels.nodes.views.rig_context import RigContext
from ros2_raxels.nodes.views.view_maker import ViewMaker
from ros2_raxels.view_synthesis.context import SpreadSettings

S = 1_000_000_000
T0 = 1_700_000_000 * S
LIMITS = GoalLimits(max_poses=100, max_views=32, max_imagined=8, max_steps=64, max_side_px=256)


class Handle(SimpleNamespace):
    """A goal of no server; its states are noted down."""

    def publish_feedback(self, message: Any) -> None:
        self.states.append(message.state)


class Bench:
    """A maker on a real node's parameters, with a camera that stands at x = 0.5 in the world."""

    metric, now_ns, child_of_pose = False, T0, ""

    def __init__(self, probe: Probe) -> None:
        changes = {"self_consistency": False, "image_format": "png", "tf_timeout_s": 0.0}
        overrides = [rclpy.Parameter(name, value=value) for name, value in changes.items()]
        self.node = rclpy.create_node("maker", context=probe.node.context, parameter_overrides=overrides)
        self.settings: Parameters = declare(self.node, VIEWS_TABLE)
        self.executor = probe.node.executor
        self.reader = Tree()
        self.reader.place(WORLD, EYE, at(0.5), T0)
        self.reader.place(WORLD, EYE, at(0.5), T0 + 9 * S)
        self.live = LiveContext(self.node, "raw", False, WORLD, self.reader, SpreadSettings())
        self.rig = RigContext({"": self.live})

    def set(self, **values: Any) -> None:
        self.node.set_parameters([rclpy.Parameter(name, value=value) for name, value in values.items()])

    def job(self, goal: Any) -> ViewJob:
        handle = Handle(request=goal, states=[], is_cancel_requested=False)
        request = read_goal(goal, LIMITS, lambda frame: self.reader.lookup(frame, frame))
        return ViewJob(handle, request, 30.0, self.executor)

    def make(self, goal: Any, predictor: Any = "painter", job: ViewJob | None = None, show_points: Any = None) -> Any:
        """The result of a goal."""
        predictor = script.PaintingPredictor("") if predictor == "painter" else predictor
        return self.maker(predictor, show_points).make(job or self.job(goal))

    def maker(self, predictor: Any, show_points: Any = None) -> ViewMaker:
        return ViewMaker(
            predictor,
            self.reader,
            self.rig,
            self.settings,
            lambda: self.metric,
            lambda: self.now_ns,
            lambda: self.child_of_pose,
            "no card",
            show_points,
        )

    def close(self) -> None:
        self.rig.destroy()
        self.node.destroy_node()
