"""A walk for figures, as if the tracker had made no error."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from ros2_raxels.figures.page import Page
from ros2_raxels.figures.walk import TrackedWalk
from ros2_raxels.geometry.camera import ordinary_camera
from ros2_raxels.geometry.trajectory import absolute_error
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room

FRAMES, TRACKED = 125, 90
PLANNED = (0x5E, 0xF2, 0xB8)
RIGHT, WRONG = (0x5E, 0xF2, 0xB8), (0xFF, 0x5F, 0x6D)


@cache
def exact_walk() -> TrackedWalk:
    """Rendered once for all figures."""
    world, camera = furnished_room(3), ordinary_camera(160, 120, 0.8)
    truth = handheld_loop(7.0, 30.0, 3)[:FRAMES]
    images = [render(world, camera, pose)[0] for pose in truth]
    error = absolute_error(truth[:TRACKED], truth[:TRACKED])
    return TrackedWalk(images, camera, 30.0, truth, error.aligned, error)


def written(page: Page, folder: Path) -> np.ndarray:
    """RGB."""
    page.write(folder / "figure.png")
    return cv2.cvtColor(cv2.imread(str(folder / "figure.png")), cv2.COLOR_BGR2RGB)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=2) <= 8).sum() > 20)
