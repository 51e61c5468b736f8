"""A recording of the demo and what an observer heard of it, without nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ros2_raxels.harness.recording import Walk

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces")

from ros2_raxels.demo.summary import Recording, Summary, summarise
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.harness.observer import Heard
from ros2_raxels.scenes.trajectories import handheld_loop

FRAMES, RATE_HZ = 50, 10.0
WALK = Walk(FRAMES / RATE_HZ, RATE_HZ, 320, 240)


def recording(has_truth: bool = True, camera: PinholeCamera | None = WALK.camera) -> Recording:
    stamps_ns = [round(i / RATE_HZ * 1e9) for i in range(FRAMES)]
    truth = handheld_loop(5.0, RATE_HZ) if has_truth else None
    images = {i: np.full((60, 80, 3), 5 * i, np.uint8) for i in range(0, FRAMES, 2)}
    return Recording("room", stamps_ns, truth, "m", camera, images)


def heard_of(wall_ns: list[int], heard_from: int, answered: range) -> Heard:
    """The truth in another world and unit for some frames, and all stamps from one frame on."""
    truth = handheld_loop(5.0, RATE_HZ)
    world = make_pose(rotation_from_vector([0.4, 0.2, -0.9]), [1.0, 2.0, 3.0])
    heard = Heard(published_ns=wall_ns[heard_from:], received=FRAMES)
    for index in answered:
        pose = world @ truth[index]
        pose[:3, 3] *= 0.2
        heard.poses[wall_ns[index]] = pose
        heard.published[wall_ns[index]] = pose, np.diag([0.01, 0.02, 0.03, 1.0, 1.0, 1.0]) ** 2
        heard.latency_s[wall_ns[index]] = 0.001 * index
        heard.confidence[wall_ns[index]] = 0.9
    return heard


def summary_for_picture(has_truth: bool, camera: PinholeCamera | None) -> Summary:
    wall_ns = [10**18 + round(i / RATE_HZ * 1e9) for i in range(FRAMES)]
    return summarise(heard_of(wall_ns, 0, range(1, FRAMES)), recording(has_truth, camera), FRAMES, 1.0, False)


def lonely_summary(answered: range, **changes: Any) -> Summary:
    """Few poses, and nothing known of the recording but its name."""
    wall_ns = [10**18 + round(i / RATE_HZ * 1e9) for i in range(FRAMES)]
    bare = Recording("camera 0", [], None, "units", None, {})
    return summarise(replace(heard_of(wall_ns, 0, answered), **changes), bare, FRAMES, 1.0, False)
