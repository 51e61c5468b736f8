"""frame_pose: the same answer as bundle adjustment with the keyframes fixed, and the same certainty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up_tracks import FRAMES, cameras, moved, picked, tracks_of, wide_tracks_of

from ros2_raxels.estimation.bundle_adjustment import RefineSettings, refine
from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.fisheye import wide_lens
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.matching.tracks import Evidence, KnownDepths
from ros2_raxels.tracking.frame_pose import Beside, solve_pose

NEW = FRAMES - 1
PLAIN = PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5)
BENT = PinholeCamera(320, 240, 180.0, 180.0, 158.0, 121.0, (-0.25, 0.05, 0.001, -0.001))
OFF = make_pose(rotation_from_vector([0.02, -0.03, 0.01]), [0.1, 0.05, -0.1])


def against_keyframes(noise_px: float = 0.0) -> tuple[Evidence, FloatArray]:
    """Tracks that start in the first cameras and are seen in the last, and where all of them stand."""
    rng = np.random.default_rng(4)
    poses = cameras(rng)
    evidence, _ = tracks_of(rng, poses, 400)
    evidence = picked(evidence, (evidence.anchor < NEW) & evidence.seen[:, NEW])
    return moved(evidence, rng.normal(0, noise_px, evidence.pixels.shape)), poses


def test_exact_tracks_give_the_exact_pose() -> None:
    evidence, poses = against_keyframes()
    found = solve_pose(poses[NEW] @ OFF, poses[:NEW], evidence)
    np.testing.assert_allclose(found.camera_to_world, poses[NEW], atol=1e-9)
    assert found.residual_px.max() < 1e-6


@pytest.mark.parametrize(
    "lenses",
    [
        [wide_lens(320, 240, 200.0)] * 4,
        [BENT] * 4,
        [PLAIN, wide_lens(320, 240, 150.0), BENT, wide_lens(320, 240, 200.0)],
    ],
    ids=["fisheye", "barrel", "mixed"],
)
def test_it_is_found_through_any_lens(lenses: list[Camera]) -> None:
    rng = np.random.default_rng(6)
    poses = cameras(rng)
    evidence, _ = wide_tracks_of(rng, poses, lenses, 400)
    evidence = picked(evidence, (evidence.anchor < NEW) & evidence.seen[:, NEW])
    assert len(evidence.anchor) > 60
    found = solve_pose(poses[NEW] @ OFF, poses[:NEW], evidence)
    np.testing.assert_allclose(found.camera_to_world, poses[NEW], atol=1e-8)
    assert found.residual_px.max() < 1e-4


def test_noise_moves_it_as_little_as_it_moves_bundle_adjustment() -> None:
    evidence, poses = against_keyframes(0.1)
    found = solve_pose(poses[NEW] @ OFF, poses[:NEW], evidence)
    start = np.array([[*poses[:NEW], poses[NEW] @ OFF]])
    settings = RefineSettings(widths_px=(6.0, 3.0, 1.0, 0.5), iterations=12)
    whole = refine(evidence, start, settings, fixed=np.arange(FRAMES) < NEW)
    error = np.abs(whole.camera_to_first[0, NEW] - poses[NEW]).max()
    assert 1e-5 < error < 0.005
    assert np.abs(found.camera_to_world - whole.camera_to_first[0, NEW]).max() < 0.5 * error
    block = slice(6 * NEW, 6 * NEW + 6)
    information = whole.information_of(0)[block, block] * settings.noise_px**2
    np.testing.assert_allclose(np.diag(found.information), np.diag(information), rtol=0.2)


@pytest.mark.parametrize("share", [0.2, 0.35])
def test_wrong_observations_do_not_bend_it(share: float) -> None:
    evidence, poses = against_keyframes(0.2)
    rng = np.random.default_rng(5)
    wrong = rng.random(len(evidence.anchor)) < share
    shift = np.zeros(evidence.pixels.shape)
    shift[wrong, NEW] = rng.uniform(10, 40, (wrong.sum(), 2))
    found = solve_pose(poses[NEW] @ OFF, poses[:NEW], moved(evidence, shift))
    np.testing.assert_allclose(found.camera_to_world, poses[NEW], atol=0.01)
    assert (found.residual_px[wrong] > 2.0).all()


def test_tracks_that_are_wrong_by_little_more_than_a_pixel_do_not_bend_it_either() -> None:
    """All in one direction, as at the edge of something nearer; a loss two px wide takes them for noise."""
    evidence, poses = against_keyframes(0.05)
    shift = np.zeros(evidence.pixels.shape)
    shift[np.arange(len(shift)) % 3 == 0, NEW] = (1.4, 0.3)
    wrong = moved(evidence, shift)
    found = solve_pose(poses[NEW] @ OFF, poses[:NEW], wrong)
    whole = refine(wrong, np.array([poses]), RefineSettings(widths_px=(2.0,)), fixed=np.arange(FRAMES) < NEW)
    error, wide = (np.abs(pose - poses[NEW]).max() for pose in (found.camera_to_world, whole.camera_to_first[0, NEW]))
    assert error < 0.001
    assert wide > 3 * error


def test_a_track_that_one_keyframe_sees_gives_its_depth_and_does_not_hold_the_place() -> None:
    evidence, poses = against_keyframes()
    only_anchor = evidence.pixels.copy()
    elsewhere = np.arange(FRAMES)[None] != evidence.anchor[:, None]
    elsewhere[:, NEW] = False
    half = np.arange(len(evidence.anchor)) % 2 == 0
    only_anchor[half[:, None] & elsewhere] = np.nan
    plane = np.where(np.isfinite(only_anchor), evidence.plane, np.nan)
    thinned = Evidence(
        evidence.anchor, evidence.index, only_anchor, plane, evidence.focal_px, evidence.weight, evidence.kind,
        evidence.score,
    )  # fmt: skip
    found = solve_pose(poses[NEW] @ OFF, poses[:NEW], thinned)
    np.testing.assert_allclose(found.camera_to_world, poses[NEW], atol=1e-6)
    whole = solve_pose(poses[NEW] @ OFF, poses[:NEW], evidence)
    np.testing.assert_allclose(found.inverse_depth[half], whole.inverse_depth[half], atol=1e-4)


def test_points_of_unknown_depth_do_not_pull_a_start_that_is_off() -> None:
    """Taken as infinitely far, most of them would turn the camera instead of moving it."""
    evidence, poses = against_keyframes(0.1)
    alone = np.arange(len(evidence.anchor)) % 5 > 0
    others = (np.arange(FRAMES)[None] != evidence.anchor[:, None]) & (np.arange(FRAMES) != NEW)
    hidden = (alone[:, None] & others)[..., None]
    pixels, plane = (np.where(hidden, np.nan, values) for values in (evidence.pixels, evidence.plane))
    found = solve_pose(poses[NEW] @ OFF, poses[:NEW], replace(evidence, pixels=pixels, plane=plane))
    np.testing.assert_allclose(found.camera_to_world, poses[NEW], atol=0.01)
    assert np.median(found.residual_px) < 0.3


def test_with_measured_depths_one_keyframe_is_enough_and_noise_of_both_counts() -> None:
    evidence, poses = against_keyframes(0.1)
    evidence = picked(evidence, evidence.anchor == 0)
    evidence = Evidence(
        evidence.anchor, evidence.index, evidence.pixels[:, [0, NEW]], evidence.plane[:, [0, NEW]],
        evidence.focal_px[[0, NEW]], evidence.weight[:, [0, NEW]], evidence.kind, evidence.score[:, [0, NEW]],
    )  # fmt: skip
    towards = evidence.rays(np.arange(len(evidence.anchor)), 0)
    # Depths that fit the exact poses and the observations best, and a tenth of them is missing, a tenth is wrong.
    q, t = towards @ poses[NEW][:3, :3], -poses[NEW][:3, :3].T @ poses[NEW][:3, 3]
    slope, level = t[:2] - evidence.plane[:, 1] * t[2], evidence.plane[:, 1] * q[:, 2:] - q[:, :2]
    depth = (slope * level).sum(axis=1) / (slope**2).sum(axis=1)
    rng = np.random.default_rng(1)
    share = rng.random(len(depth))
    sensor = np.where(share < 0.1, np.nan, np.where(share < 0.2, 2.0 * depth, depth))
    known = KnownDepths(sensor, np.where(np.isfinite(sensor), 0.002, np.nan))
    found = solve_pose(poses[NEW] @ OFF, poses[:1], replace(evidence, known=known))
    np.testing.assert_allclose(found.camera_to_world, poses[NEW], atol=0.003)
    surer = solve_pose(poses[NEW], poses[:1], replace(evidence, known=replace(known, sigma=known.sigma / 10)))
    assert np.trace(surer.information[3:, 3:]) > 1.2 * np.trace(found.information[3:, 3:])


def test_a_measured_depth_and_those_of_keyframes_are_weighed_by_their_information() -> None:
    evidence, poses = against_keyframes()
    exact = solve_pose(poses[NEW], poses[:NEW], evidence).inverse_depth
    seen = evidence.seen[:, :NEW].sum(axis=1) > 1
    for sigma, weight in ((1e-6, 1.0), (1.0, 0.0)):
        known = KnownDepths(exact + 2e-4, np.full(len(exact), sigma))
        found = solve_pose(poses[NEW], poses[:NEW], replace(evidence, known=known))
        np.testing.assert_allclose(found.inverse_depth[seen], exact[seen] + weight * 2e-4, atol=3e-5)


MOUNT = make_pose(rotation_from_vector([0.1, 1.4, -0.2]), [0.3, -0.1, 0.2])
"""Of a second camera, in the first one: it looks elsewhere, and stands a third of a baseline away."""


def seen_beside(lens: Camera, count: int = 300, seed: int = 8) -> tuple[Beside, FloatArray]:
    """What a second camera sees, and where the first one stands."""
    rng = np.random.default_rng(seed)
    poses = cameras(np.random.default_rng(4))
    evidence, _ = wide_tracks_of(rng, poses @ MOUNT, [lens] * FRAMES, count)
    evidence = picked(evidence, (evidence.anchor < NEW) & evidence.seen[:, NEW])
    return Beside(evidence, list(poses[:NEW] @ MOUNT), MOUNT), poses


@pytest.mark.parametrize("lens", [PLAIN, BENT, wide_lens(320, 240, 150.0)], ids=["pinhole", "barrel", "fisheye"])
def test_a_camera_beside_alone_gives_the_pose(lens: Camera) -> None:
    beside, poses = seen_beside(lens)
    evidence, _ = against_keyframes()
    nothing = picked(evidence, np.zeros(0, int))
    assert len(beside.evidence.anchor) > 40
    found = solve_pose(poses[NEW] @ OFF, poses[:NEW], nothing, [beside])
    np.testing.assert_allclose(found.camera_to_world, poses[NEW], atol=1e-7)
    assert len(found.inverse_depth) == len(beside.evidence.anchor)


def test_two_cameras_are_surer_than_one_of_them() -> None:
    evidence, poses = against_keyframes(0.2)
    beside, _ = seen_beside(PLAIN)
    one, both = solve_pose(poses[NEW], poses[:NEW], evidence), solve_pose(poses[NEW], poses[:NEW], evidence, [beside])
    errors = [np.abs(found.camera_to_world - poses[NEW]).max() for found in (one, both)]
    assert errors[1] < errors[0]
    spreads = [np.trace(np.linalg.inv(found.information)[3:, 3:]) for found in (one, both)]
    assert spreads[1] < 0.5 * spreads[0]
    assert len(both.residual_px) == len(evidence.anchor) + len(beside.evidence.anchor)


def test_a_rig_is_solved_as_fast_as_one_camera() -> None:
    """The derivatives are right: from far off it is there after a few steps, or the search would end before."""
    beside, poses = seen_beside(wide_lens(320, 240, 150.0), seed=9)
    evidence, _ = against_keyframes()
    start = poses[NEW] @ make_pose(rotation_from_vector([0.05, -0.06, 0.04]), [0.2, 0.1, -0.2])
    found = solve_pose(start, poses[:NEW], evidence, [beside])
    np.testing.assert_allclose(found.camera_to_world, poses[NEW], atol=1e-8)
