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
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, inverse_pose, make_pose, rotation_from_vector
from ros2_raxels.geometry.rig import MountedCamera, Rig
from ros2_raxels.harness.observer import Heard
from ros2_raxels.scenes.trajectories import handheld_loop

FRAMES, RATE_HZ = 50, 10.0
WALK = Walk(FRAMES / RATE_HZ, RATE_HZ, 320, 240)


def recording(has_truth: bool = True, camera: PinholeCamera | None = WALK.camera) -> Recording:
    stamps_ns = [round(i / RATE_HZ * 1e9) for i in range(FRAMES)]
    truth = handheld_loop(5.0, RATE_HZ) if has_truth else None
    images = {i: (np.full((60, 80, 3), 5 * i, np.uint8),) for i in range(0, FRAMES, 2)}
    return Recording("room", stamps_ns, truth, "m", camera, images)


def rig_recording() -> Recording:
    """Of a robot whose cameras look left and right; poses are those of its base."""
    mounts = {
        name: make_pose(rotation_from_vector([0.0, 0.0, side]) @ OPTICAL_TO_BODY[:3, :3], [0.1, 0.05 * side, 0.3])
        for name, side in (("left", 0.8), ("right", -0.8))
    }
    rig = Rig({name: MountedCamera(WALK.camera, mount) for name, mount in mounts.items()})
    alone = recording()
    assert alone.truth is not None
    images = {i: (image, 255 - image) for i, (image,) in alone.images.items()}
    return replace(alone, truth=alone.truth @ inverse_pose(mounts["left"]), images=images, rig=rig)


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
    return summary_of(recording(has_truth, camera))


def summary_of(played: Recording) -> Summary:
    """All frames but the first have a pose."""
    wall_ns = [10**18 + round(i / RATE_HZ * 1e9) for i in range(FRAMES)]
    return summarise(heard_of(wall_ns, 0, range(1, FRAMES)), played, FRAMES, 1.0, False)


def lonely_summary(answered: range, **changes: Any) -> Summary:
    """Few poses, and nothing known of the recording but its name."""
    wall_ns = [10**18 + round(i / RATE_HZ * 1e9) for i in range(FRAMES)]
    bare = Recording("camera 0", [], None, "units", None, {})
    return summarise(replace(heard_of(wall_ns, 0, answered), **changes), bare, FRAMES, 1.0, False)
