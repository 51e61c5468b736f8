"""bundle_adjustment: a rig whose cameras see nothing in common shares its motion, and learns metres where it turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from made_up_tracks import moved, wide_tracks_of

from ros2_raxels.estimation.bundle_adjustment import RefineSettings, SeenByOne, Tie, UnitsPrior, refine_rig
from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.fisheye import wide_lens
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_angle_rad, rotation_from_vector

LENS = PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5)
MOUNTS = np.array([np.eye(4), make_pose(rotation_from_vector([0.0, 1.7, 0.0]), [0.3, 0.02, -0.3])])
UNITS = 0.4
MOMENTS = 6
SETTINGS = RefineSettings(widths_px=(2.0, 1.0, 0.6), iterations=20)
FREE = UnitsPrior(UNITS, 1e-6)
FIXED, FIRST = np.arange(MOMENTS) < 2, np.arange(MOMENTS) < 1


def way(turn_rad: float) -> FloatArray:
    """Poses of the leader (6, 4, 4): forwards, and round by so much from one to the next."""
    poses = [np.eye(4)]
    for k in range(1, MOMENTS):
        step = make_pose(rotation_from_vector([0.01 * (k % 2), turn_rad, 0.0]), [0.03, 0.01 * (-1) ** k, 0.25])
        poses.append(poses[-1] @ step)
    return np.array(poses)


def seen(poses: FloatArray, noise_px: float, lenses: Sequence[Camera] = (LENS, LENS)) -> list[SeenByOne]:
    """What both cameras see, each of what it sees itself."""
    rng, tie, found = np.random.default_rng(3), Tie(MOUNTS, UNITS), []
    for c, lens in enumerate(lenses):
        own = tie.poses(poses)[c * MOMENTS : (c + 1) * MOMENTS]
        evidence, _ = wide_tracks_of(rng, own, [lens] * MOMENTS, 450)
        evidence = moved(evidence, rng.normal(0, noise_px, evidence.pixels.shape)) if noise_px else evidence
        found.append(SeenByOne(c, np.arange(MOMENTS), evidence))
    return found


def disturbed(poses: FloatArray) -> FloatArray:
    rng = np.random.default_rng(5)
    off = [make_pose(rotation_from_vector(rng.normal(0, 0.004, 3)), rng.normal(0, 0.01, 3)) for _ in poses]
    return np.where(FIXED[:, None, None], poses, poses @ np.array(off))


@pytest.mark.parametrize("noise_px", [0.0, 0.2])
def test_turns_tell_metres(noise_px: float) -> None:
    poses = way(0.12)
    found = refine_rig(seen(poses, noise_px), disturbed(poses), Tie(MOUNTS, 0.8 * UNITS), SETTINGS, FIXED, FREE)
    sigma = found.units_information**-0.5
    assert abs(np.log(found.units / UNITS)) < (4 * sigma if noise_px else 1e-5)
    assert 0.0005 < sigma < 0.05
    np.testing.assert_allclose(found.leader_to_world, poses, atol=0.02 if noise_px else 1e-5)
    assert max(np.nanmedian(residual_px) for residual_px in found.residual_px) < max(0.4, 1e-4)


def test_straight_ahead_nothing_tells_metres() -> None:
    straight = way(0.0)
    straight[:, :3, :3] = np.eye(3)
    found = refine_rig(seen(straight, 0.2), straight, Tie(MOUNTS, UNITS), SETTINGS, FIXED, FREE)
    turned = refine_rig(seen(way(0.12), 0.2), way(0.12), Tie(MOUNTS, UNITS), SETTINGS, FIXED, FREE)
    assert found.units_information < 0.02 * turned.units_information


def test_known_metres_stay_and_two_cameras_are_better_than_one() -> None:
    poses = way(0.12)
    evidence = seen(poses, 0.3)
    errors = []
    for given in (evidence[:1], evidence):
        found = refine_rig(given, disturbed(poses), Tie(MOUNTS, UNITS), SETTINGS, FIXED)
        assert found.units == UNITS
        off = np.linalg.inv(poses) @ found.leader_to_world
        errors.append(float(np.sqrt((rotation_angle_rad(off[:, :3, :3]) ** 2).mean())))
        errors.append(float(np.sqrt((off[:, :3, 3] ** 2).mean())))
    assert errors[2] < errors[0]
    assert errors[3] < errors[1]


def test_what_is_known_of_the_unit_is_weighed_against_the_images() -> None:
    poses, evidence = way(0.12), seen(way(0.12), 0.2)
    start = Tie(MOUNTS, 0.9 * UNITS)
    free = refine_rig(evidence, poses, start, SETTINGS, FIXED, FREE)
    held, both = (
        refine_rig(evidence, poses, start, SETTINGS, FIXED, UnitsPrior(start.units, weight * free.units_information))
        for weight in (1e4, 1.0)
    )
    logs = [float(np.log(found.units / (0.9 * UNITS))) for found in (held, both, free)]
    assert abs(logs[0]) < 0.01 * logs[2]
    assert 0.3 * logs[2] < logs[1] < 0.7 * logs[2]


@pytest.mark.parametrize("noise_px", [0.0, 0.2])
def test_where_one_pose_stays_the_ways_from_it_hold_the_unit(noise_px: float) -> None:
    poses = way(0.12)
    found = refine_rig(seen(poses, noise_px), disturbed(poses), Tie(MOUNTS, 0.8 * UNITS), SETTINGS, FIRST, FREE)
    np.testing.assert_array_equal(found.leader_to_world[0], poses[0])
    size, given, right = (
        np.linalg.norm((p - p[0])[:, :3, 3]) for p in (found.leader_to_world, disturbed(poses), poses)
    )
    assert size == pytest.approx(given, rel=1e-3)
    # The world is as much too large as these were disturbed, and so are its units.
    true = UNITS * size / right
    sigma = found.units_information**-0.5
    assert abs(np.log(found.units / true)) < (4 * sigma if noise_px else 1e-3)


def test_one_camera_on_an_arm_tells_no_metres_however_it_turns() -> None:
    """Two poses that stay would say so: they are what the camera has made of them."""
    poses = way(0.12)
    evidence = seen(poses, 0.2)
    arm = evidence[1:]
    alone, both = (refine_rig(e, poses, Tie(MOUNTS, UNITS), SETTINGS, FIRST, FREE) for e in (arm, evidence))
    assert alone.units_information < 0.01 * both.units_information
    assert refine_rig(arm, poses, Tie(MOUNTS, UNITS), SETTINGS, FIXED, FREE).units_information > alone.units_information


def test_cameras_with_different_lenses_share_a_motion() -> None:
    poses = way(0.12)
    found = refine_rig(
        seen(poses, 0.0, (LENS, wide_lens(240, 180, 150.0))), disturbed(poses), Tie(MOUNTS, UNITS), SETTINGS, FIXED
    )
    np.testing.assert_allclose(found.leader_to_world, poses, atol=1e-5)
    assert max(np.nanmax(residual_px) for residual_px in found.residual_px) < 1e-2


def test_a_camera_that_missed_moments_counts_at_the_others() -> None:
    poses, (left, right) = way(0.12), seen(way(0.12), 0.0)
    late = np.arange(2, MOMENTS)
    starts = np.flatnonzero(right.evidence.anchor >= 2)
    evidence = right.evidence.of_tracks(starts)
    pixels, plane = evidence.pixels[:, late], evidence.plane[:, late]
    evidence = replace(
        evidence, anchor=evidence.anchor - 2, pixels=pixels, plane=plane, focal_px=evidence.focal_px[late],
        weight=evidence.weight[:, late], score=evidence.score[:, late],
    )  # fmt: skip
    found = refine_rig([left, SeenByOne(1, late, evidence)], disturbed(poses), Tie(MOUNTS, UNITS), SETTINGS, FIXED)
    np.testing.assert_allclose(found.leader_to_world, poses, atol=1e-5)
    assert found.residual_px[1].shape == (len(starts), len(late))
    assert np.nanmax(found.residual_px[1]) < 1e-2


def test_a_camera_that_sees_nothing_changes_nothing() -> None:
    poses, (left, right) = way(0.12), seen(way(0.12), 0.2)
    nothing = replace(left, evidence=left.evidence.of_tracks(np.zeros(0, int)))
    alone, both = (refine_rig(g, poses, Tie(MOUNTS, UNITS), SETTINGS, FIXED) for g in ([right], [nothing, right]))
    np.testing.assert_allclose(both.leader_to_world, alone.leader_to_world, atol=1e-12)
    assert both.inverse_depth[0].shape == (0,)
