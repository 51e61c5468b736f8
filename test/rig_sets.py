"""Rig sets for tests: what a camera on a robot sees of a room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from posed_sets import CAMERA, write_rendered_set
from rig_walk import RigWalk

from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, inverse_pose, make_pose
from ros2_raxels.scenes.trajectories import handheld_loop

CAMERA_TO_BASE: FloatArray = OPTICAL_TO_BODY.copy()
CAMERA_TO_BASE[:3, 3] = (0.2, 0.0, 0.5)


def rig_record(poses: FloatArray, *names: str) -> dict[str, Any]:
    """What rig.json says of cameras of one kind, a tenth of a metre apart; poses (N, 4, 4) are the first one's."""
    cameras = [
        {
            "name": name,
            "folder": "images",
            "width": CAMERA.width,
            "height": CAMERA.height,
            "K": [CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy],
            "distortion_model": "plumb_bob",
            "D": [0.0] * 5,
            "camera_to_base": (CAMERA_TO_BASE @ make_pose(np.eye(3), (0.1 * k, 0.0, 0.0))).tolist(),
        }
        for k, name in enumerate(names)
    ]
    frames = [
        {
            "timestamp": index / 10,
            "file": f"{index:06d}.png",
            "base_to_world": (pose @ inverse_pose(CAMERA_TO_BASE)).tolist(),
        }
        for index, pose in enumerate(poses)
    ]
    return {"name": "robot", "frame_rate": 10.0, "metric_scale": True, "cameras": cameras, "frames": frames}


def write_rig_set(folder: Path, *names: str, count: int = 16, **changes: Any) -> Path:
    """A rig set of rendered images; `changes` are of the first camera."""
    poses = handheld_loop(6.0, 10.0, seed=3)[:count]
    write_rendered_set(folder, count)
    record = rig_record(np.array(poses), *(names or ("front",)))
    record["cameras"][0].update(changes)
    (folder / "rig.json").write_text(json.dumps(record))
    return folder


def write_walk_set(folder: Path, walk: RigWalk, count: int) -> Path:
    """The first moments of a walk, at its pace."""
    cameras = []
    for name in walk.rig.names:
        lens, mount = walk.rig[name].camera, walk.rig[name].camera_to_base
        (folder / name).mkdir(parents=True)
        for k, seen in enumerate(walk.images[:count]):
            assert cv2.imwrite(str(folder / name / f"{k:04d}.png"), seen[name][..., ::-1])
        cameras.append(
            {
                "name": name,
                "folder": name,
                "width": lens.width,
                "height": lens.height,
                "K": [lens.fx, lens.fy, lens.cx, lens.cy],
                "distortion_model": "plumb_bob",
                "camera_to_base": mount.tolist(),
            }
        )
    frames = [
        {"timestamp": walk.stamp_ns(k) / 1e9, "file": f"{k:04d}.png", "base_to_world": walk.base_to_world[k].tolist()}
        for k in range(count)
    ]
    (folder / "rig.json").write_text(json.dumps({"metric_scale": True, "cameras": cameras, "frames": frames}))
    return folder
