#!/usr/bin/env python3
"""Nav2 that looks where it goes: its plan is scored ahead of the robot, which slows down where it may be blocked.

A pose node with a known scale, a view server, and Nav2 must run:

    python3 examples/nav2_paths.py --ros-args -r plan:=/plan -p radius:=0.3 -p max_speed:=0.5

Twice a second the piece of the newest plan that lies ahead, and the same piece moved to both sides, go to
`/raxels_views/rank_paths`. What comes of it:

- `~/speed_limit` (std_msgs/Float32), m/s: `max_speed` where the plan is surely free, less where it may be blocked, and
  the least where nothing is known or the server does not answer. Where `nav2_msgs` is installed the same goes to
  `speed_limit` (nav2_msgs/SpeedLimit), which Nav2's controller server reads.
- `~/best_path` (nav_msgs/Path): the piece, as planned or moved to a side, that is most surely free.
- With each answer the view server publishes `/raxels_views/seen_points` (PointCloud2), for a costmap's obstacle layer.

It advises. It never stops the robot: that is for a bumper, a lidar, or Nav2's collision monitor.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import Float32

from ros2_raxels.geometry.frame_tree import FrameError, bare
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.nodes.common.interfaces import RankPaths
from ros2_raxels.nodes.common.messages import pose_message
from ros2_raxels.nodes.common.tf_listener import make_reader

try:
    from nav2_msgs.msg import SpeedLimit
except ImportError:
    SpeedLimit = None

PARAMETERS: dict[str, Any] = {
    "base_frame": "base_link",
    "radius": 0.3,  # of the robot, m
    "height_min": 0.05,  # of what stands in its way, m above the base: leave out the floor
    "height_max": 0.6,
    "look_ahead": 2.0,  # m along the plan
    "sideways": [0.3, -0.3],  # where else it might go, m to the left
    "max_speed": 0.5,  # m/s
    "least_share": 0.2,  # of max_speed, where the plan is probably blocked; not 0, which means "no limit" to Nav2
    "surely_free": 0.95,  # probability from which the plan gets max_speed
    "surely_blocked": 0.4,  # probability below which it gets the least
    "period_s": 0.5,
}
POSES = 12
"""Of the piece of the plan."""

ANSWER_S = 3.0
"""After which a request is given up."""


def piece_ahead(plan: FloatArray, at: FloatArray, length: float) -> FloatArray:
    """(POSES, 2) places at even distances along a plan (N, 2), from the one nearest to the robot (2,) on."""
    begin = int(np.linalg.norm(plan - at, axis=1).argmin())
    rest = plan[begin:]
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(rest, axis=0), axis=1))])
    wanted = np.linspace(0.0, min(length, along[-1]), POSES)
    return np.stack([np.interp(wanted, along, rest[:, axis]) for axis in (0, 1)], axis=1)


def on_the_ground(places: FloatArray, height: float, sideways: float = 0.0) -> FloatArray:
    """(N, 4, 4) poses of a base that drives along places (N, 2), moved to the left; it moves there as it goes."""
    steps = np.gradient(places, axis=0)
    heading = np.arctan2(steps[:, 1], steps[:, 0])
    share = np.minimum(1.0, np.linspace(0.0, 2.0, len(places)))
    left = np.stack([-np.sin(heading), np.cos(heading)], axis=1)
    moved = places + (sideways * share)[:, None] * left
    return np.array(
        [make_pose(rotation_from_vector([0.0, 0.0, h]), (*at, height)) for at, h in zip(moved, heading, strict=True)]
    )


def speed_share(free: float, surely_blocked: float, surely_free: float, least: float) -> float:
    """Share of the highest speed for the probability that the way is free; `least` where that is not known (NaN)."""
    known = 0.0 if np.isnan(free) else (free - surely_blocked) / (surely_free - surely_blocked)
    return least + (1.0 - least) * float(np.clip(known, 0.0, 1.0))


class PlanScorer(Node):
    """Asks for scores of the newest plan, and publishes what follows from them."""

    def __init__(self) -> None:
        super().__init__("nav2_paths")
        self._set = {name: self.declare_parameter(name, value).value for name, value in PARAMETERS.items()}
        self._plan: Path | None = None
        self._asked: Any = None
        self._asked_at = 0.0
        self._reader = make_reader(self)
        self._client = self.create_client(RankPaths, "raxels_views/rank_paths")
        self._speed = self.create_publisher(Float32, "~/speed_limit", 1)
        self._best = self.create_publisher(Path, "~/best_path", 1)
        self._to_nav2 = None if SpeedLimit is None else self.create_publisher(SpeedLimit, "speed_limit", 1)
        self.create_subscription(Path, "plan", self._on_plan, 1)
        self.create_timer(self._set["period_s"], self._look)

    def _on_plan(self, plan: Path) -> None:
        self._plan = plan if len(plan.poses) > 1 else None

    def _look(self) -> None:
        if self._asked is not None:
            if time.monotonic() - self._asked_at < ANSWER_S:
                return
            self._client.remove_pending_request(self._asked)
            self._asked = None
            self._limit(float("nan"))
        if self._plan is None:
            return
        try:
            paths = self._candidates(self._plan)
        except FrameError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            self._limit(float("nan"))
            return
        request = RankPaths.Request(paths=paths, pose_of=0)
        for name in ("radius", "height_min", "height_max"):
            setattr(request, name, self._set[name])
        self._asked, self._asked_at = self._client.call_async(request), time.monotonic()
        self._asked.add_done_callback(lambda answer: self._on_scores(paths, answer))

    def _candidates(self, plan: Path) -> list[Path]:
        """The piece of the plan ahead, and the same to the sides."""
        frame = bare(plan.header.frame_id)
        base = self._reader.lookup(frame, self._set["base_frame"])
        places = np.array([(p.pose.position.x, p.pose.position.y) for p in plan.poses])
        piece = piece_ahead(places, base[:2, 3], self._set["look_ahead"])
        paths = []
        for sideways in (0.0, *self._set["sideways"]):
            poses = on_the_ground(piece, float(base[2, 3]), sideways)
            paths.append(Path(header=plan.header, poses=[PoseStamped(pose=pose_message(pose)) for pose in poses]))
        return paths

    def _on_scores(self, paths: list[Path], answer: Any) -> None:
        if answer is not self._asked:
            return
        self._asked = None
        response = answer.result()
        if response.error_code:
            self.get_logger().warning(response.error_msg, throttle_duration_sec=5.0)
            self._limit(float("nan"))
            return
        free = [score.free_probability for score in response.scores]
        self._limit(free[0])
        self._best.publish(paths[int(np.argmax(free))])

    def _limit(self, free: float) -> None:
        share = speed_share(free, *(self._set[name] for name in ("surely_blocked", "surely_free", "least_share")))
        self._speed.publish(Float32(data=self._set["max_speed"] * share))
        if self._to_nav2 is not None:
            self._to_nav2.publish(SpeedLimit(percentage=True, speed_limit=100.0 * share))


def main() -> int:
    """Runs until it is interrupted."""
    rclpy.init()
    node = PlanScorer()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
