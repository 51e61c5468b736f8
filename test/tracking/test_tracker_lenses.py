"""tracker: a walk seen through a lens of 200 degrees, in the image as it is, and past the robot's own bumper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from walk import FIRST_NS, STEP_NS, TRACKING, path_m, similarity, solved_from, states

from ros2_raxels.geometry.fisheye import wide_lens
from ros2_raxels.geometry.poses import FloatArray, relative_pose, rotation_angle_rad
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose, TrackerSettings

CAMERA = wide_lens(256, 192, 200.0)
BUMPER_ROWS = 56

Image = np.ndarray


@pytest.fixture(scope="module")
def truth() -> FloatArray:
    return handheld_loop(7.0, 15.0, seed=1)[:45]


@pytest.fixture(scope="module")
def images(truth: FloatArray) -> list[Image]:
    world = furnished_room(3)
    return [render(world, CAMERA, pose)[0] for pose in truth]


def follow(tracker: Tracker, images: list[Image]) -> list[TrackedPose]:
    return [tracker.track(image, FIRST_NS + k * STEP_NS, CAMERA) for k, image in enumerate(images)]


def check(found: list[TrackedPose], truth: FloatArray) -> None:
    begun = solved_from(found)
    assert begun < 15
    assert states(found[begun:]) == [TRACKING] * (len(truth) - begun)
    poses = np.array([f.camera_to_world for f in found[begun:]])
    scale, remaining = similarity(poses[:, :3, 3], truth[begun:, :3, 3])
    assert scale > 0
    assert remaining < 0.01 * path_m(truth[begun:])
    turns = relative_pose(relative_pose(poses[0], poses), relative_pose(truth[begun], truth[begun:]))
    assert np.degrees(rotation_angle_rad(turns[:, :3, :3])).max() < 1.0


def test_a_walk_through_a_lens_that_sees_behind_itself(images: list[Image], truth: FloatArray) -> None:
    found = follow(Tracker(), images)
    check(found, truth)
    assert np.median([f.solve.confidence for f in found[15:]]) > 0.8


def test_a_bumper_in_the_picture_is_masked(images: list[Image], truth: FloatArray, tmp_path: Path) -> None:
    """It fills a quarter of the picture, shines in more corners than the room, and never moves."""
    bumper = np.random.default_rng(0).integers(0, 255, (BUMPER_ROWS // 4, 64, 3)).astype(np.uint8)
    shown = [image.copy() for image in images]
    for image in shown:
        image[-BUMPER_ROWS:] = np.repeat(np.repeat(bumper, 4, axis=0), 4, axis=1)
    mask = np.ones((192, 256), bool)
    mask[-BUMPER_ROWS:] = False
    tracker = Tracker(TrackerSettings(), mask=mask)
    check(follow(tracker, shown), truth)
    tracker.save_keyframes(tmp_path / "map")
    again = Tracker(TrackerSettings(), mask=mask)
    again.load_keyframes(tmp_path / "map")
    for keyframe in again._live.keyframes.all:
        # Nor is any place known by the bumper, or by what lies beyond the lens.
        pixels = again._matcher.keypoints(keyframe.features).pixels
        assert len(pixels) > 50
        assert pixels[:, 1].max() < 192 - BUMPER_ROWS
    assert again.track(shown[-1], FIRST_NS + 99 * STEP_NS, CAMERA).state is TRACKING


def test_a_mask_of_another_size_is_refused_by_the_frame(images: list[Image]) -> None:
    with pytest.raises(ValueError, match="the mask is 32x24 px but the image 256x192 px"):
        Tracker(mask=np.ones((24, 32), bool)).track(images[0], FIRST_NS, CAMERA)
