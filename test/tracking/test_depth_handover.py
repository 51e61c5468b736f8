"""depth_handover: depths where older keyframes tell them, and after a gap in a turn on the spot there are some."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from keyframes_on_a_line import MATCHER, on_a_line
from walk import CAMERA, FIRST_NS, STEP_NS

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking.depth_handover import handed_on
from ros2_raxels.tracking.frame import Keyframe
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackState

WALL_M = 2.0


def before_a_wall(keyframe: Keyframe, pose: FloatArray, every: int = 1) -> Keyframe:
    """A keyframe at a pose (4x4) that knows every so many depths of the wall ``z = 2``."""
    grid = MATCHER.grid(keyframe.features.grey.shape)
    rays = keyframe.camera.rays(grid)
    inverse_depth = (rays @ pose[:3, :3].T)[:, 2] / (WALL_M - pose[2, 3])
    inverse_depth[np.arange(len(grid)) % every != 0] = np.nan
    return replace(keyframe, camera_to_world=pose, inverse_depth=inverse_depth)


def test_points_that_older_keyframes_see_have_their_depths() -> None:
    old, new = on_a_line([0.0, 0.0])
    old = before_a_wall(old, np.eye(4))
    pose = make_pose(rotation_from_vector([0.0, 0.3, 0.0]), [0.1, 0.0, 0.2])
    truth = before_a_wall(new, pose)
    grid = MATCHER.grid(new.features.grey.shape)
    told = handed_on([old], replace(truth, inverse_depth=np.full(len(grid), np.nan)), grid)
    assert told is not None
    inverse_depth, sigma = told.at(grid, new.camera)
    known = np.isfinite(inverse_depth)
    # A turn to the right: what lies there was out of the older image.
    assert 0.4 < known.mean() < 0.9
    columns = grid[:, 0]
    assert known[columns < np.median(columns)].mean() > 0.5
    assert not known[columns == columns.max()].any()
    np.testing.assert_allclose(inverse_depth[known], truth.inverse_depth[known], rtol=0.1)
    np.testing.assert_allclose(sigma[known], 0.2 * inverse_depth[known])
    # Ten neighbours are off together.
    np.testing.assert_allclose(told.scale_sigma, 0.2 * np.sqrt(10 / known.sum()))


def test_a_place_that_nobody_has_seen_has_none() -> None:
    old, new = on_a_line([0.0, 0.0])
    grid = MATCHER.grid(new.features.grey.shape)
    behind = replace(new, camera_to_world=make_pose(rotation_from_vector([0.0, np.pi, 0.0]), np.zeros(3)))
    assert handed_on([before_a_wall(old, np.eye(4))], behind, grid) is None
    assert handed_on([replace(old, inverse_depth=np.full(len(grid), np.nan))], new, grid) is None


def test_a_keyframe_after_a_gap_in_a_turn_on_the_spot_has_depths_of_the_old_unit() -> None:
    """A camera a hand before the axis that it turns about; it turns faster in half a second that is missing."""
    room, first = furnished_room(3), handheld_loop(7.0, 15.0, seed=1)[0]
    aside = [make_pose(np.eye(3), [0.03 * k, 0.0, 0.0]) for k in range(13)]
    about = make_pose(np.eye(3), [0.0, 0.0, -0.12])
    angles = np.radians([1.5 * k for k in (*range(1, 17), *range(37, 45))])
    turns = [about @ make_pose(rotation_from_vector([0.0, a, 0.0]), np.zeros(3)) @ np.linalg.inv(about) for a in angles]
    poses = np.array([first @ pose for pose in (*aside, *(aside[-1] @ turn for turn in turns))])
    tracker = Tracker()
    found = [
        tracker.track(render(room, CAMERA, pose)[0], FIRST_NS + frame * STEP_NS // 2, CAMERA)
        for frame, pose in zip([*range(29), *range(45, 53)], poses, strict=True)
    ]
    tracker.improve()
    assert {answer.state for answer in found[29:]} == {TrackState.TRACKING}
    keyframes = tracker._live.keyframes.keyframes
    told = keyframes[29].handed_on
    assert told is not None
    inverse_depth, _ = told.at(MATCHER.grid((240, 320)), CAMERA)
    here = np.median(1.0 / inverse_depth[np.isfinite(inverse_depth)])
    before, after = (np.nanmedian(1.0 / k.inverse_depth) for k in (keyframes[27], tracker._live.keyframes.all[-1]))
    assert 0.6 < here / before < 1.6
    assert 0.6 < after / before < 1.6
