"""level: a frame is set upright, at once where it lies on its side and otherwise too slowly for a filter to notice."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.nodes.pose.level import Level
from ros2_raxels.tracking.gravity import Up

HERE = make_pose(rotation_from_vector([0.0, 0.4, 0.0]), [30.0, -4.0, 1.0])
SURE_RAD = 1e-3
FRAME_NS = 33_000_000


def leaning(rotation_vector: list[float]) -> FloatArray:
    """Where up is, in a frame that leans."""
    return rotation_from_vector(rotation_vector).T @ [0.0, 0.0, 1.0]


def shown(level: Level, up: FloatArray, sigma_rad: float, frames: int) -> list[FloatArray]:
    """The turn after each frame."""
    turns = []
    for k in range(frames):
        level.see(Up(up, sigma_rad), np.eye(4), HERE, (k + 1) * FRAME_NS)
        turns.append(level.turn)
    return turns


@pytest.mark.parametrize("lean", [[0.0, 1.57, 0.0], [0.1, -0.05, 0.0], [np.pi, 0.0, 0.0]])
def test_a_frame_on_its_side_is_set_upright_at_once_and_says_so(lean: list[float]) -> None:
    level, up = Level(), leaning(lean)
    words = level.see(Up(up, SURE_RAD), np.eye(4), HERE, FRAME_NS)
    assert words.startswith("poses are upright now, by the IMU: the frame is turned by")
    np.testing.assert_allclose(level.turn[:3, :3] @ up, [0.0, 0.0, 1.0], atol=1e-9)
    np.testing.assert_allclose((level.turn @ HERE)[:3, 3], HERE[:3, 3], atol=1e-9)
    assert level.see(Up(up, SURE_RAD), np.eye(4), HERE, 2 * FRAME_NS) == ""


def test_a_small_lean_is_taken_out_slowly_about_the_camera() -> None:
    level, up = Level(), leaning([0.01, 0.0, 0.0])
    turns = shown(level, up, SURE_RAD, 200)
    steps = np.linalg.norm(np.diff(np.array(turns)[:, :3, :3], axis=0), axis=(1, 2))
    places = np.array([turn @ HERE for turn in turns])[:, :3, 3]
    assert steps.max() < 2e-4
    np.testing.assert_allclose(places, places[:1].repeat(len(places), axis=0), atol=1e-9)
    assert steps[0] > 0.0
    assert np.arccos((turns[-1][:3, :3] @ up)[2]) < SURE_RAD / 2


def test_what_gravity_does_not_contradict_is_left_alone() -> None:
    level = Level()
    assert (np.array(shown(level, leaning([0.0015, 0.0, 0.0]), SURE_RAD, 20)) == np.eye(4)).all()
    assert (np.array(shown(level, leaning([0.5, 0.0, 0.0]), 0.05, 20)) == np.eye(4)).all()


def test_roll_and_pitch_are_known_as_well_as_gravity_is_and_yaw_is_not() -> None:
    level, known = Level(), np.diag([1.0, 1.0, 1.0, 0.01, 1e-8, 0.01])
    known[0, 3] = known[3, 0] = 0.09
    np.testing.assert_array_equal(level.bounded(known), known)
    shown(level, np.array([0.0, 0.0, 1.0]), SURE_RAD, 1)
    bounded = level.bounded(known)
    assert bounded[3, 3] == pytest.approx(SURE_RAD**2 + 5e-4**2)
    np.testing.assert_allclose(np.diag(bounded)[[0, 1, 2, 4, 5]], np.diag(known)[[0, 1, 2, 4, 5]])
    assert np.linalg.eigvalsh(bounded)[0] > 0.0


def test_without_gravity_nothing_is_turned_or_bounded() -> None:
    level, known = Level(), np.eye(6)
    shown(level, leaning([0.0, 0.2, 0.0]), SURE_RAD, 1)
    turned = level.turn
    assert level.see(None, np.eye(4), HERE, 2 * FRAME_NS) == ""
    np.testing.assert_array_equal(level.turn, turned)
    np.testing.assert_array_equal(level.bounded(known), known)
    level.forget()
    np.testing.assert_array_equal(level.turn, np.eye(4))
