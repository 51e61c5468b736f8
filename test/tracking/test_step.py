"""step: velocities of what is fixed to a camera, their covariance, and the turn of a gyro in them."""

from __future__ import annotations

import numpy as np
import pytest
from walk import CAMERA, FIRST_NS, STEP_NS, Walk

from ros2_raxels.geometry.poses import (
    FloatArray,
    inverse_pose,
    make_pose,
    relative_pose,
    rotation_from_vector,
    rotation_vector,
)
from ros2_raxels.tracking.step import Step, between
from ros2_raxels.tracking.tracker import Tracker

CHILD = make_pose(rotation_from_vector([0.3, -1.2, 0.4]), [0.2, 0.5, -0.3])
VARIANCE = np.diag([1e-4, 2e-4, 3e-4, 1e-6, 2e-6, 3e-6])


def test_what_is_fixed_to_a_camera_moves_with_it() -> None:
    """A thousandth of a second apart, so that a mean is as good as a moment."""
    motion = make_pose(rotation_from_vector([4e-4, -2e-4, 6e-4]), [1e-3, 2e-3, -1e-3])
    found, _ = Step(motion, 1e-3, np.zeros((6, 6))).velocity(CHILD, 0.0)
    of_child = inverse_pose(CHILD) @ motion @ CHILD
    np.testing.assert_allclose(found[:3], of_child[:3, 3] / 1e-3, atol=2e-3)
    np.testing.assert_allclose(found[3:], rotation_vector(of_child[:3, :3]) / 1e-3, atol=1e-9)


def test_the_covariance_is_that_of_many_noisy_steps() -> None:
    rng = np.random.default_rng(0)
    motion = make_pose(rotation_from_vector([0.0, 0.02, 0.0]), [0.0, 0.0, 0.05])
    velocities = []
    for noise in rng.normal(size=(3000, 6)) * np.sqrt(np.diag(VARIANCE)):
        noisy = make_pose(motion[:3, :3] @ rotation_from_vector(noise[3:]), motion[:3, 3] + motion[:3, :3] @ noise[:3])
        velocities.append(Step(noisy, 0.1, VARIANCE).velocity(CHILD, 0.0)[0])
    _, covariance = Step(motion, 0.1, VARIANCE).velocity(CHILD, 0.0)
    measured = np.cov(np.array(velocities).T)
    sigma = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(measured / np.outer(sigma, sigma), covariance / np.outer(sigma, sigma), atol=0.08)


def test_an_unknown_scale_shows_in_the_way_ahead_alone() -> None:
    motion = make_pose(np.eye(3), [0.0, 0.0, 0.1])
    found, covariance = Step(motion, 0.1, np.zeros((6, 6))).velocity(np.eye(4), 0.2)
    np.testing.assert_allclose(found, [0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(covariance, np.diag([0.0, 0.0, 0.04, 0.0, 0.0, 0.0]), atol=1e-12)


def test_the_errors_of_both_solves_are_told_in_the_axes_of_now() -> None:
    pose = make_pose(rotation_from_vector([0.0, np.pi / 2, 0.0]), [5.0, 0.0, 0.0])
    along_x = np.diag([1e-4, 0.0, 0.0, 1e-6, 0.0, 0.0])
    step = between(np.eye(4), 0.1, along_x, along_x, pose)
    assert step.covariance[2, 2] == pytest.approx(0.06 * 2e-4)
    assert step.covariance[5, 5] == pytest.approx(0.06 * 2e-6)
    assert np.trace(step.covariance) == pytest.approx(0.06 * 2.02e-4)


def test_a_gyro_makes_the_turn_surer() -> None:
    step = Step(np.eye(4), 0.1, VARIANCE).drawn_to(rotation_from_vector([0.0, 1e-3, 0.0]), 1e-4)
    _, covariance = step.velocity(np.eye(4), 0.0)
    assert np.sqrt(covariance[4, 4]) < 1.1e-3
    np.testing.assert_allclose(rotation_vector(step.motion[:3, :3]), [0.0, 1e-3, 0.0], atol=1e-5)


def test_velocities_of_a_walk_lie_inside_their_regions(walk: Walk) -> None:
    """Those of the tracker, in the unit of the truth by the length of both ways."""
    tracker = Tracker()
    found = [tracker.track(walk.images[k], FIRST_NS + k * STEP_NS, CAMERA) for k in range(34)]
    frames = [k for k, answer in enumerate(found) if answer.step is not None]
    assert len(frames) > 15
    way = float(np.linalg.norm(relative_pose(found[frames[0]].camera_to_world, found[33].camera_to_world)[:3, 3]))
    unit = float(np.linalg.norm(relative_pose(walk.poses[frames[0]], walk.poses[33])[:3, 3])) / way
    off: list[FloatArray] = []
    for k in frames:
        step = found[k].step
        assert step is not None
        velocity, covariance = step.velocity(np.eye(4), 0.1)
        motion = relative_pose(walk.poses[k - 1], walk.poses[k])
        linear = motion[:3, :3].T @ motion[:3, 3] / unit
        true = np.concatenate([linear, rotation_vector(motion[:3, :3])]) / (STEP_NS * 1e-9)
        off.append((velocity - true) / np.sqrt(np.diag(covariance)))
    # Of a normal distribution 95 % are within two sigmas.
    assert np.mean(np.abs(off) < 2.0) > 0.9
    assert np.mean(np.abs(off)) > 0.05
