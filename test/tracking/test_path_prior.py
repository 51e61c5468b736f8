"""path_prior: metres of a path by wheels and by an IMU; what wheels say where they slip is not taken."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from pushed_camera import IMU_TO_CAMERA, Drive

from ros2_raxels.estimation.bundle_adjustment import PlacePrior
from ros2_raxels.geometry.poses import FloatArray, make_pose, relative_pose, rotation_from_vector
from ros2_raxels.tracking.inertial import preintegrate
from ros2_raxels.tracking.path_prior import Way, place_prior
from ros2_raxels.tracking.visual_inertial import VISUAL_NOISE

COUNT = 6
NOWHERE = np.zeros(3)


def curve(count: int = 12) -> FloatArray:
    """A camera on a curve, .1 m from one pose to the next."""
    poses = [np.eye(4)]
    for _ in range(count - 1):
        poses.append(poses[-1] @ make_pose(rotation_from_vector([0.0, 0.1, 0.0]), [0.02, 0.0, 0.1]))
    return np.array(poses)


def rolled(poses: FloatArray) -> list[Way]:
    return [Way(relative_pose(before, after)) for before, after in pairwise(poses)]


def drawn(prior: PlacePrior) -> FloatArray:
    """The best places when the first one stays where it is."""
    off = np.linalg.solve(prior.information[3:, 3:], -prior.pull[3:]).reshape(-1, 3)
    return np.concatenate([prior.places[:1], prior.places[1:] + off])


def stretch(prior: PlacePrior) -> tuple[float, float]:
    """By how much all would best grow about the first place, with its standard deviation."""
    arms = (prior.places - prior.places[0]).ravel()
    information = float(arms @ prior.information @ arms)
    return -float(arms @ prior.pull) / information, information**-0.5


def test_wheels_bring_a_path_back_to_metres() -> None:
    truth = curve()
    seen = truth.copy()
    # Where the oldest one of the newest stands nothing is known better.
    first = len(seen) - COUNT
    seen[first:, :3, 3] = truth[first, :3, 3] + 1.1 * (truth[first:, :3, 3] - truth[first, :3, 3])
    prior = place_prior(seen, rolled(truth), COUNT, NOWHERE, 3.0, 0.01)
    assert prior is not None
    np.testing.assert_allclose(drawn(prior), truth[first:, :3, 3], atol=0.004)
    grows, sigma = stretch(prior)
    assert 1.0 + grows == pytest.approx(1.0 / 1.1, abs=0.015)
    assert 0.002 < sigma < 0.02


ALONG = make_pose(rotation_from_vector([0.0, 0.1, 0.0]), [0.02, 0.0, 0.1])


@pytest.mark.parametrize(
    "slips",
    [
        make_pose(ALONG[:3, :3], [0.0, 0.0, 0.5]),
        make_pose(ALONG[:3, :3], NOWHERE),
        np.eye(4),
        make_pose(np.eye(3), ALONG[:3, 3]),
    ],
    ids=["spin on the spot", "stand still", "stand still in a turn", "turn less"],
)
def test_a_way_on_which_wheels_slip_is_left_out(slips: FloatArray) -> None:
    truth = curve()
    ways = rolled(truth)
    honest = place_prior(truth, ways, COUNT, NOWHERE, 3.0, 0.01)
    ways[-2] = Way(slips)
    slipped = place_prior(truth, ways, COUNT, NOWHERE, 3.0, 0.01)
    ways[-2] = Way()
    without = place_prior(truth, ways, COUNT, NOWHERE, 3.0, 0.01)
    assert honest is not None
    assert slipped is not None
    assert without is not None
    np.testing.assert_allclose(slipped.information, without.information)
    np.testing.assert_allclose(slipped.pull, 0.0, atol=1e-9)
    assert np.trace(slipped.information) < np.trace(honest.information)


def test_wheels_that_stand_still_while_a_robot_turns_do_not_hold_its_camera_in_place() -> None:
    """A camera in front of the axis moves by millimetres from keyframe to keyframe, as little as images may err."""
    turns = [make_pose(rotation_from_vector([0.0, 0.05 * k, 0.0]), NOWHERE) for k in range(12)]
    truth = np.array([turn @ make_pose(np.eye(3), [0.0, 0.0, 0.15]) for turn in turns])
    ways = rolled(truth)
    assert place_prior(truth, ways, COUNT, NOWHERE, 3.0, 0.01) is not None
    assert place_prior(truth, [Way(np.eye(4))] * len(ways), COUNT, NOWHERE, 3.0, 0.01) is None


def test_where_nothing_tells_there_is_no_prior() -> None:
    truth = curve()
    ways = rolled(truth)[: -(COUNT - 1)] + [Way()] * (COUNT - 1)
    assert place_prior(truth, ways, COUNT, NOWHERE, 3.0, 0.01) is None


def test_an_imu_that_is_pushed_about_tells_metres() -> None:
    drive = Drive(0.3)
    path = drive.path(1.0)
    ways = []
    for before, after in pairwise(path):
        readings = drive.imu.between(before[0], after[0])
        assert readings is not None
        ways.append(Way(motion=preintegrate(readings, NOWHERE, NOWHERE, VISUAL_NOISE)))
    truth = np.array([pose for _, pose in path])
    for wrong in (0.9, 1.0, 1.2):
        seen = truth.copy()
        seen[:, :3, 3] *= wrong
        prior = place_prior(seen, ways, COUNT, IMU_TO_CAMERA[:3, 3], 3.0, 0.5)
        assert prior is not None
        grows, sigma = stretch(prior)
        assert sigma < 0.03
        assert 1.0 + grows == pytest.approx(1.0 / wrong, abs=0.05)
