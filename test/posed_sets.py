"""Posed sets for tests: rendered, made up or recorded, and the yardsticks beside the checkout."""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import DATA
from ros_testing import ROOT

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room

TOOLS = ROOT.parent / "shared" / "tools"


DEV = DATA / "dev"


CAMERA = PinholeCamera(160, 120, 130.0, 131.0, 79.5, 59.5)


def yardstick(name: str) -> ModuleType:
    """A tool that lies beside the checkout and was written without it."""
    path = TOOLS / f"{name}.py"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


def set_record(name: str, poses: FloatArray) -> dict[str, Any]:
    """What cameras.json says of a set of `CAMERA`."""
    frames = [
        {
            "file": f"images/{index:06d}.png",
            "timestamp": index / 10,
            "K": [CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy],
            "width": CAMERA.width,
            "height": CAMERA.height,
            "c2w": pose.tolist(),
        }
        for index, pose in enumerate(poses)
    ]
    return {"name": name, "frame_rate": 10, "frames": frames}


def write_set(folder: Path, poses: FloatArray) -> Path:
    """A posed set without images, named after its folder."""
    folder.mkdir(parents=True)
    (folder / "cameras.json").write_text(json.dumps(set_record(folder.name, poses)))
    return folder


def write_rendered_set(folder: Path, count: int = 16, poses: FloatArray | None = None) -> Path:
    """A posed set of what a handheld camera sees of a room, or a camera at these poses."""
    poses = handheld_loop(6.0, 10.0, seed=3)[:count] if poses is None else poses
    write_set(folder, poses)
    (folder / "images").mkdir()
    for index, pose in enumerate(poses):
        (folder / f"images/{index:06d}.png").write_bytes(_png_from(pose.tobytes()))
    return folder


@cache
def _png_from(pose: bytes) -> bytes:
    """The room from a pose (4, 4), which most sets share."""
    image = render(furnished_room(2), CAMERA, np.frombuffer(pose).reshape(4, 4))[0]
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def wandering(count: int, seed: int, turn: float = 0.05) -> FloatArray:
    generator = np.random.default_rng(seed)
    pose, poses = np.eye(4), []
    for _ in range(count):
        step = make_pose(rotation_from_vector(generator.normal(0, turn, 3)), generator.normal(0, 0.1, 3))
        # Rounded, as recordings are, so that rotations are not quite orthonormal.
        pose = (pose @ step).round(7)
        poses.append(pose)
    return np.array(poses)
