"""The closed loop: agreement worked out by hand, and clips that are the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.evaluation.clips.closed_loop import Loop, agreement, procedural_clips
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector

# To draw the tiles takes eight seconds, and one process keeps them.
pytestmark = pytest.mark.xdist_group("tiles")


def turned(turns_deg: list[float], bearings_deg: list[float], lengths: list[float] | None = None) -> FloatArray:
    """The identity, then cameras turned about y by so much, at a place that lies in this direction in the x-z plane."""
    poses: list[FloatArray] = [np.eye(4)]
    for turn, bearing, length in zip(turns_deg, bearings_deg, lengths or [1.0] * len(turns_deg), strict=True):
        angle = np.radians(bearing)
        rotation = rotation_from_vector([0.0, np.radians(turn), 0.0])
        poses.append(make_pose(rotation, length * np.array([np.sin(angle), 0.0, np.cos(angle)])))
    return np.array(poses)


def test_agreement_is_the_median_over_all_cameras_but_the_first() -> None:
    loops = [
        Loop(turned([10, 20, 30], [0, 10, 20]), turned([11, 22, 34], [5, 17, 31], [2.0, 0.5, 7.0])),
        Loop(turned([-40, -50], [80, 90]), turned([-48, -66], [93, 107])),
    ]
    # Turns: 1 2 4 8 16; directions: 5 7 11 13 17. The other clip's, up to its length: 58 86 51 72 and 93 97 75 73.
    found = agreement(loops)
    assert found["clips"] == 2
    assert found["loop"] == pytest.approx({"rotation_deg": 4.0, "direction_deg": 11.0})
    assert found["shuffled"] == pytest.approx({"rotation_deg": 65.0, "direction_deg": 84.0})


def test_identical_poses_agree_and_those_of_another_clip_do_not() -> None:
    poses = [turned([k * 5.0, k * 9.0], [40.0 * k, 60.0 * k]) for k in range(1, 4)]
    found = agreement([Loop(p, p.copy()) for p in poses])
    assert found["loop"] == pytest.approx({"rotation_deg": 0.0, "direction_deg": 0.0}, abs=1e-6)
    # 1 to 2, 2 to 3 and 3 to 1 differ by 5 9, 5 9 and 10 18 in turn, by 40 60, 40 60 and 80 120 in direction.
    assert found["shuffled"] == pytest.approx({"rotation_deg": 9.0, "direction_deg": 60.0})


def test_rotations_about_every_axis_count_and_lengths_do_not() -> None:
    asked = turned([5.0], [30.0])
    found = asked.copy()
    found[1, :3, :3] = asked[1, :3, :3] @ rotation_from_vector(np.radians(7.0) * np.array([0.6, 0.0, 0.8]))
    found[1, :3, 3] *= 9.0
    assert agreement([Loop(asked, found)])["loop"] == pytest.approx(
        {"rotation_deg": 7.0, "direction_deg": 0.0}, abs=1e-6
    )
    found[1, :3, 3] *= -1.0
    assert agreement([Loop(asked, found)])["loop"]["direction_deg"] == pytest.approx(180.0)


def test_procedural_clips_are_the_same_every_time_and_differ() -> None:
    clips = procedural_clips(2, 2)
    (images, camera), (others, other_camera) = clips
    again, same_camera = procedural_clips(1, 2)[0]
    assert camera == same_camera != other_camera
    assert (camera.width, camera.height) == (320, 240)
    assert len(images) == len(again) == len(others) == 2
    assert all(image.shape == (240, 320, 3) and image.dtype == np.uint8 and image.std() > 5 for image in images)
    np.testing.assert_array_equal(images, again)
    assert np.abs(images[0].astype(int) - others[0]).mean() > 5
