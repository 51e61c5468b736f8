"""A scene, frames of it and tasks for `raxels views`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from views_scene import TexturedPlane, shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.source import read_image

CAMERA = PinholeCamera(160, 90, 140.0, 142.0, 81.0, 43.0)
INTRINSICS = [140.0, 142.0, 81.0, 43.0]
POSES = np.array([shifted(-0.3), shifted(-0.2, 0.02, turn_deg=(1, 2, 0)), shifted(-0.1)])
AHEAD = np.array([shifted(0.0), shifted(0.1), shifted(0.2)])
IMAGES = TexturedPlane(2.0).views(CAMERA, POSES)


def write_image(path: Path, image: ImageArray) -> str:
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return str(path)


def task(frames: list[str], name: str = "room/000001x2", **changes: Any) -> dict[str, Any]:
    """As `score_views.py tasks` writes it, with the last context camera as the world."""
    world = np.linalg.inv(POSES[-1])
    return {
        "id": name,
        "set": "room",
        "context": frames,
        "context_poses": (world @ POSES).tolist(),
        "intrinsics": INTRINSICS,
        "trajectory": (world @ AHEAD).tolist(),
        "truth": ["not/read.png"] * 3,
    } | changes


def write_tasks(path: Path, *tasks: dict[str, Any]) -> str:
    path.write_text(json.dumps({"tasks": tasks}))
    return str(path)


def views_of(folder: Path) -> ImageArray:
    return np.array([read_image(path) for path in sorted(folder.glob("*.png"))])
