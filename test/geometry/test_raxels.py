"""Raxels: encoded by the definition, decoded as SciPy aligns points, and what their errors do to poses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_geometry import assert_rotation, cameras, random_pose, seeds, steady
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.camera import PinholeCamera, unit_bearings
from ros2_raxels.geometry.poses import FloatArray, GeometryError, make_pose, relative_pose, rotation_angle_rad
from ros2_raxels.geometry.raxels import decode_raxels, encode_raxels


@steady
@given(cameras(), seeds, st.integers(0, 3))
def test_raxels_round_trip_for_any_source_frame(camera: PinholeCamera, seed: int, source: int) -> None:
    rng = np.random.default_rng(seed)
    to_world = np.array([random_pose(rng) for _ in range(4)])
    in_source = relative_pose(to_world[source], to_world)
    bearings = camera.bearings()
    for pose, world_pose in zip(in_source, to_world, strict=True):
        raxels = encode_raxels(bearings, pose)
        np.testing.assert_allclose(np.linalg.norm(raxels - pose[:3, 3], axis=-1), 1.0, atol=1e-12)
        decoded = decode_raxels(raxels, bearings)
        np.testing.assert_allclose(decoded, pose, atol=1e-9)
        np.testing.assert_allclose(to_world[source] @ decoded, world_pose, atol=2e-9)


def test_a_raxel_is_the_point_at_unit_distance() -> None:
    pose = make_pose(Rotation.from_euler("y", 90, degrees=True).as_matrix(), [1.0, 2.0, 3.0])
    ray = unit_bearings([0.0, 0.75])
    np.testing.assert_allclose(ray, [0.0, 0.6, 0.8], atol=1e-15)
    np.testing.assert_allclose(encode_raxels(ray[None, None], pose)[0, 0], [1.8, 2.6, 3.0], atol=1e-15)


def test_several_cameras_at_once_are_each_by_itself() -> None:
    rng = np.random.default_rng(5)
    bearings = np.array([PinholeCamera(7, 5, f, f, 3.0, 2.0).bearings() for f in (5.0, 6.0, 8.0)])
    poses = np.array([[random_pose(rng) for _ in range(3)] for _ in range(2)])
    raxels = encode_raxels(bearings, poses)
    assert raxels.shape == (2, 3, 5, 7, 3)
    noisy = raxels + 0.1 * rng.normal(size=raxels.shape)
    decoded = decode_raxels(noisy, bearings)
    for h, n in np.ndindex(2, 3):
        np.testing.assert_allclose(raxels[h, n, 4, 2], poses[h, n, :3, :3] @ bearings[n, 4, 2] + poses[h, n, :3, 3])
        np.testing.assert_allclose(decoded[h, n], decode_raxels(noisy[h, n], bearings[n]), atol=1e-12)


@steady
@given(seeds, st.floats(0.001, 0.3))
def test_decoding_agrees_with_scipy(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    bearings = PinholeCamera(8, 6, 7.0, 7.0, 3.5, 2.5).bearings()
    raxels = encode_raxels(bearings, random_pose(rng)) + noise * rng.normal(size=bearings.shape)
    centre_from, centre_to = (points.mean(axis=(0, 1)) for points in (bearings, raxels))
    reference, _ = Rotation.align_vectors((raxels - centre_to).reshape(-1, 3), (bearings - centre_from).reshape(-1, 3))
    decoded = decode_raxels(raxels, bearings)
    np.testing.assert_allclose(decoded[:3, :3], reference.as_matrix(), atol=1e-7)
    np.testing.assert_allclose(decoded[:3, 3], centre_to - reference.apply(centre_from), atol=1e-7)


LINE = np.linspace(-1, 1, 7)[:, None] * [0.3, -0.2, 0.1] + [0.1, 0.2, 1.0]


@pytest.mark.parametrize(
    "rays",
    [
        unit_bearings([[0.1, 0.2]]),
        unit_bearings([[0.1, 0.2], [-0.3, 0.4]]),
        np.repeat(unit_bearings([[0.3, -0.1]]), 9, axis=0),
        LINE,
    ],
    ids=["one", "two", "identical", "collinear"],
)
@pytest.mark.parametrize("seed", range(5))
def test_rays_that_do_not_fix_a_rotation_get_the_smallest_that_fits(rays: FloatArray, seed: int) -> None:
    pose, row = random_pose(np.random.default_rng(seed)), rays[None]
    raxels = encode_raxels(row, pose)
    decoded = decode_raxels(raxels, row)
    assert_rotation(decoded[:3, :3])
    # What is seen is explained all the same; nothing is invented where no ray tells.
    np.testing.assert_allclose(encode_raxels(row, decoded), raxels, atol=1e-6)
    assert rotation_angle_rad(decoded[:3, :3]) <= rotation_angle_rad(pose[:3, :3]) + 1e-6
    if len(np.unique(rays.round(12), axis=0)) < 2:
        np.testing.assert_array_equal(decoded[:3, :3], np.eye(3))


def test_a_camera_without_a_rotation_does_not_spoil_the_others() -> None:
    pose = random_pose(np.random.default_rng(9))
    bearings = np.array([PinholeCamera(7, 1, 6.0, 6.0, 3.0, 0.0).bearings(), LINE[None]])
    decoded = decode_raxels(encode_raxels(bearings, pose), bearings)
    np.testing.assert_allclose(decoded[0], pose, atol=1e-9)
    np.testing.assert_array_equal(decoded[1], decode_raxels(encode_raxels(LINE[None], pose), LINE[None]))


def test_rays_turned_about_their_line_by_half_a_turn() -> None:
    """The smallest rotation that turns a line round is half a turn across it, not a reflection."""
    line = np.linspace(-1, 1, 5)[None, :, None] * [0.0, 1.0, 0.0]
    decoded = decode_raxels(-line, line)
    assert_rotation(decoded[:3, :3])
    np.testing.assert_allclose(line @ decoded[:3, :3].T, -line, atol=1e-12)


def test_one_row_of_rays_is_enough() -> None:
    bearings = PinholeCamera(64, 1, 60.0, 60.0, 31.5, 0.0).bearings()
    pose = random_pose(np.random.default_rng(7))
    np.testing.assert_allclose(decode_raxels(encode_raxels(bearings, pose), bearings), pose, atol=1e-9)


@pytest.mark.parametrize("mirror", [(-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)])
def test_mirrored_raxels_never_give_a_reflection(mirror: tuple[int, int, int]) -> None:
    bearings = PinholeCamera(8, 6, 7.0, 7.0, 3.2, 2.7).bearings()
    raxels = encode_raxels(bearings * mirror, random_pose(np.random.default_rng(3)))
    decoded = decode_raxels(raxels, bearings)
    assert_rotation(decoded[:3, :3])
    target, source = ((points - points.mean(axis=(0, 1))).reshape(-1, 3) for points in (raxels, bearings))
    reference, distance = Rotation.align_vectors(target, source)
    np.testing.assert_allclose(decoded[:3, :3], reference.as_matrix(), atol=1e-9)
    misfit = np.sqrt(((encode_raxels(bearings, decoded) - raxels) ** 2).sum(axis=-1).mean())
    assert misfit == pytest.approx(distance / np.sqrt(len(source)), rel=1e-9)
    assert misfit > 0.05


def test_raxels_that_hold_no_pose_are_refused() -> None:
    rays = unit_bearings(np.random.default_rng(0).uniform(-1, 1, (2, 3, 2)))
    with pytest.raises(GeometryError, match=r"raxels \(2, 2, 3\) and bearings \(2, 3, 3\) must be on one grid"):
        decode_raxels(rays[:, :2], rays)
    with pytest.raises(GeometryError, match="one grid"):
        decode_raxels(rays[:0], rays[:0])
    for value in (np.nan, np.inf):
        spoiled = np.where(np.arange(3)[:, None] == 2, value, rays)
        for raxels, bearings in ((spoiled, rays), (rays, spoiled)):
            with pytest.raises(GeometryError, match="finite"):
                decode_raxels(raxels, bearings)


# ------------------------------------------------------------------------------------------------ amplified errors


def pose_errors(bearings: FloatArray, errors: FloatArray) -> tuple[float, float]:
    """Mean rotation, deg, and translation of what raxels of the identity decode to under each of the errors."""
    poses = decode_raxels(bearings + errors, bearings)
    angles = rotation_angle_rad(poses[:, :3, :3])
    return float(np.degrees(angles).mean()), float(np.linalg.norm(poses[:, :3, 3], axis=1).mean())


def test_smooth_errors_cost_ten_times_what_independent_ones_cost() -> None:
    """Why the loss is on the decoded pose: at 60 deg, noise of .01 costs .13 deg and .002, smooth error 2 deg and .034.

    The numbers are means over trials. Smooth: a constant and a slope along each image axis (which runs from -1 to 1),
    all nine coefficients normal with deviation .01; this does not depend on how fine the grid is. Independent: normal
    with deviation .01 on every coordinate of every ray; it falls with the root of their number, and .13 deg belongs to
    600 of them (20 rows, 30 columns). On the 12 x 16 grid of the estimator it is .23 deg and .0035.
    """
    rng = np.random.default_rng(0)
    focal = 240 / np.tan(np.radians(30))
    camera = PinholeCamera(480, 320, focal, focal, 239.5, 159.5)
    found = {}
    for rows, columns in ((20, 30), (10, 15)):
        bearings = camera.bearings(rows, columns)
        y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
        constant, across, down = 0.01 * rng.normal(size=(3, 400, 1, 1, 3))
        found[rows, "smooth"] = pose_errors(bearings, constant + across * x[..., None] + down * y[..., None])
        found[rows, "noise"] = pose_errors(bearings, 0.01 * rng.normal(size=(400, *bearings.shape)))
    np.testing.assert_allclose(found[20, "noise"], (0.13, 0.002), rtol=0.15)
    np.testing.assert_allclose(found[20, "smooth"], (2.0, 0.034), rtol=0.15)
    assert (np.divide(found[20, "smooth"], found[20, "noise"]) > 10).all()
    np.testing.assert_allclose(np.divide(found[10, "noise"], found[20, "noise"]), 2.0, rtol=0.15)
    np.testing.assert_allclose(np.divide(found[10, "smooth"], found[20, "smooth"]), 1.0, rtol=0.15)
