"""geometry: poses, cameras, raxels and their closed-form decoding, each against an independent reference."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.camera import PinholeCamera, unit_bearings
from ros2_raxels.geometry.poses import (
    OPTICAL_TO_BODY,
    FloatArray,
    GeometryError,
    direction_angle_rad,
    interpolate_pose,
    inverse_pose,
    make_pose,
    nearest_rotation,
    quaternion_from_rotation,
    relative_pose,
    rotation_angle_rad,
    rotation_from_quaternion,
    rotation_from_vector,
    rotation_vector,
    skew,
)
from ros2_raxels.geometry.raxels import (
    change_source,
    decode_raxels,
    encode_raxels,
    focal_from_raxels,
    raxels_in_own_frame,
)

PLUMB_BOB = (-0.28, 0.09, 0.0012, -0.0007, -0.012)
RATIONAL = (0.42, -0.11, 0.0008, -0.0005, -0.004, 0.71, -0.05, -0.006)
LENSES = pytest.mark.parametrize("distortion", [PLUMB_BOB[:4], PLUMB_BOB, RATIONAL], ids=["4", "5", "8"])

seeds = st.integers(0, 2**32 - 1)
steady = settings(max_examples=60, deadline=None, derandomize=True)


def random_pose(rng: np.random.Generator, reach: float = 3.0) -> FloatArray:
    return make_pose(Rotation.random(random_state=rng).as_matrix(), rng.uniform(-reach, reach, 3))


@st.composite
def cameras(draw: st.DrawFn, distortion: tuple[float, ...] = ()) -> PinholeCamera:
    """From a long lens (10 deg across) to a wide one (120 deg), with the principal point off the centre."""
    width, height = draw(st.integers(2, 64)), draw(st.integers(2, 64))
    focal = width / 2 / np.tan(np.radians(draw(st.floats(10, 120))) / 2)
    aspect, x, y = draw(st.floats(0.8, 1.25)), draw(st.floats(0.3, 0.7)), draw(st.floats(0.3, 0.7))
    return PinholeCamera(width, height, focal, focal * aspect, x * width, y * height, distortion)


def assert_rotation(rotation: FloatArray) -> None:
    assert np.isfinite(rotation).all()
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0, abs=1e-12)


# ---------------------------------------------------------------------------------------------------------- poses


@steady
@given(seeds)
def test_inverse_and_relative_poses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = random_pose(rng, 50), random_pose(rng, 50)
    np.testing.assert_allclose(inverse_pose(a), np.linalg.inv(a), atol=1e-12)
    point_in_b = np.append(rng.normal(size=3), 1.0)
    np.testing.assert_allclose(a @ (relative_pose(a, b) @ point_in_b), b @ point_in_b, atol=1e-11)
    many = np.array([[a, b], [b, a]])
    np.testing.assert_allclose(inverse_pose(many)[1, 0], np.linalg.inv(b), atol=1e-12)
    np.testing.assert_allclose(relative_pose(a, many)[0, 0], np.eye(4), atol=1e-12)


@steady
@given(seeds, st.one_of(st.floats(0, 1e-5), st.floats(1e-4, 1e-2), st.floats(0, 10)))
def test_rotation_vectors_agree_with_scipy(seed: int, angle: float) -> None:
    axis = np.random.default_rng(seed).normal(size=3)
    vector = axis / np.linalg.norm(axis) * angle
    expected = Rotation.from_rotvec(vector).as_matrix()
    np.testing.assert_allclose(rotation_from_vector(vector), expected, atol=1e-14)
    np.testing.assert_allclose(rotation_from_vector([[vector] * 2] * 3)[2, 1], expected, atol=1e-14)
    back = rotation_vector(expected)
    # Beyond half a turn the short way round; at half a turn either way.
    assert np.linalg.norm(back) <= np.pi + 1e-12
    np.testing.assert_allclose(rotation_from_vector(back), expected, atol=1e-12)
    if angle < 3:
        np.testing.assert_allclose(back, vector, rtol=1e-6, atol=1e-12)


@steady
@given(seeds, st.floats(-1, 2))
def test_poses_between_others(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    start = random_pose(rng)
    turn, step = rng.normal(size=(2, 3))
    turn *= rng.uniform(0, 1.5) / np.linalg.norm(turn)
    end = make_pose(start[:3, :3] @ Rotation.from_rotvec(turn).as_matrix(), start[:3, 3] + step)
    expected = make_pose(start[:3, :3] @ Rotation.from_rotvec(share * turn).as_matrix(), start[:3, 3] + share * step)
    np.testing.assert_allclose(interpolate_pose(start, end, share), expected, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-6, 1e-3, 1.0, np.pi / 2, 3.0, np.pi - 1e-6, np.pi - 1e-9])
def test_rotation_angles_keep_their_digits(angle: float) -> None:
    vectors = np.random.default_rng(1).normal(size=(50, 3))
    vectors *= angle / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = rotation_angle_rad(Rotation.from_rotvec(vectors).as_matrix())
    np.testing.assert_allclose(found, angle, rtol=1e-6 if angle < 1 else 0, atol=1e-15)


def test_half_a_turn_has_angle_pi() -> None:
    assert rotation_angle_rad(np.diag([1.0, -1.0, -1.0])) == pytest.approx(np.pi, abs=1e-15)


def test_angles_between_directions() -> None:
    assert direction_angle_rad([1, 0, 0], [1, 1e-9, 0]) == pytest.approx(1e-9, rel=1e-6)
    assert direction_angle_rad([0, 0, 2], [0, 0, -5]) == pytest.approx(np.pi)
    assert direction_angle_rad([3, 0, 0], [1, np.sqrt(3), 0]) == pytest.approx(np.pi / 3)
    assert direction_angle_rad([0, 0, 0], [1, 0, 0]) == np.pi / 2


@steady
@given(seeds)
def test_skew_is_the_cross_product(seed: int) -> None:
    a, b = np.random.default_rng(seed).normal(size=(2, 4, 3))
    np.testing.assert_allclose((skew(a) @ b[..., None])[..., 0], np.cross(a, b), atol=1e-14)


@steady
@given(seeds, st.floats(0, 0.3))
def test_nearest_rotation_is_the_polar_factor(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(random_state=rng).as_matrix()
    stretch = rng.normal(size=(3, 3))
    symmetric = np.eye(3) + noise * (stretch @ stretch.T)
    np.testing.assert_allclose(nearest_rotation(rotation @ symmetric), rotation, atol=1e-12)


def test_nearest_rotation_of_a_reflection_is_a_rotation() -> None:
    np.testing.assert_allclose(nearest_rotation(np.diag([1.0, 2.0, -0.5])), np.eye(3), atol=1e-15)
    assert_rotation(nearest_rotation(np.zeros((3, 3))))


@steady
@given(seeds, st.floats(0, np.pi))
def test_quaternions_agree_with_scipy(seed: int, angle: float) -> None:
    axis = np.random.default_rng(seed).normal(size=3)
    reference = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle)
    found = quaternion_from_rotation(reference.as_matrix())
    assert found[3] >= 0
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-14)
    expected = reference.as_quat()
    # At half a turn w is zero and both signs are the same rotation.
    sign = np.sign(expected[3]) if abs(expected[3]) > 1e-9 else np.sign(expected[:3] @ found[:3])
    np.testing.assert_allclose(found, sign * expected, atol=1e-12)
    np.testing.assert_allclose(rotation_from_quaternion(found), reference.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(rotation_from_quaternion(-1.004 * found), reference.as_matrix(), atol=1e-12)


@pytest.mark.parametrize(
    "quaternion", [[0, 0, 0, 0], [0, 0, 0, 1.02], [0.5, 0.5, 0.5, 0.4], [np.nan, 0, 0, 1], [np.inf, 0, 0, 1], [0, 0, 1]]
)
def test_bad_quaternions_are_refused_by_value(quaternion: list[float]) -> None:
    with pytest.raises(GeometryError, match="unit norm") as refused:
        rotation_from_quaternion(quaternion)
    assert str(np.asarray(quaternion, float).tolist()) in str(refused.value)


def test_optical_axes_become_body_axes() -> None:
    right, down, forward = np.eye(3)
    turn = OPTICAL_TO_BODY[:3, :3]
    np.testing.assert_array_equal([turn @ forward, turn @ -right, turn @ -down], np.eye(3))


# -------------------------------------------------------------------------------------------------------- cameras


def lens_model(plane: FloatArray, distortion: tuple[float, ...]) -> FloatArray:
    """Distorted image-plane coordinates by the formula in the documentation of OpenCV."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*distortion, *[0.0] * (8 - len(distortion)))
    x, y = plane.T
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return np.stack(
        [x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y],
        axis=1,
    )


def wide_camera(distortion: tuple[float, ...]) -> PinholeCamera:
    return PinholeCamera(640, 480, 520.0, 515.0, 322.3, 236.1, distortion)


@LENSES
def test_projection_undoes_bearings(distortion: tuple[float, ...]) -> None:
    camera = wide_camera(distortion)
    pixels = np.stack(np.meshgrid(np.arange(640.0), np.arange(480.0)), axis=-1)
    found = camera.project(7.3 * camera.bearings().reshape(-1, 3)).reshape(480, 640, 2)
    np.testing.assert_allclose(found, pixels, atol=1e-6)


@LENSES
def test_lenses_agree_with_the_formula_and_with_opencv(distortion: tuple[float, ...]) -> None:
    camera = wide_camera(distortion)
    rng = np.random.default_rng(2)
    points = np.column_stack([rng.uniform(-0.5, 0.5, (400, 2)), np.ones(400)]) * rng.uniform(0.5, 9, (400, 1))
    expected = lens_model(points[:, :2] / points[:, 2:], distortion) * (520.0, 515.0) + (322.3, 236.1)
    np.testing.assert_allclose(camera.project(points), expected, atol=1e-9)
    by_opencv = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix, np.array(distortion))[0]
    np.testing.assert_allclose(camera.project(points), by_opencv[:, 0], atol=1e-9)
    back = cv2.undistortPoints(expected[:, None], camera.matrix, np.array(distortion))[:, 0]
    # OpenCV's default is five steps of the same iteration, so it is the less exact of the two.
    np.testing.assert_allclose(camera.normalise(expected), back, atol=2e-3)
    np.testing.assert_allclose(camera.normalise(expected), points[:, :2] / points[:, 2:], atol=1e-9)


@steady
@given(cameras(), seeds)
def test_projection_without_distortion(camera: PinholeCamera, seed: int) -> None:
    points = np.random.default_rng(seed).uniform((-2, -2, 0.1), (2, 2, 8), (20, 3))
    homogeneous = points @ np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]]).T
    np.testing.assert_allclose(camera.project(points), homogeneous[:, :2] / homogeneous[:, 2:], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(camera.normalise(camera.project(points)), points[:, :2] / points[:, 2:], atol=1e-10)


@pytest.mark.parametrize("distortion", [(), PLUMB_BOB])
def test_points_behind_the_camera_have_no_pixel(distortion: tuple[float, ...]) -> None:
    camera = wide_camera(distortion)
    found = camera.project([[0.1, 0.2, 1.0], [0.1, 0.2, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    np.testing.assert_array_equal(np.isnan(found).all(axis=1), [False, True, True, False])
    np.testing.assert_allclose(found[3], (322.3, 236.1), atol=1e-9)
    assert camera.project(np.zeros((0, 3))).shape == camera.normalise(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("distortion", [(), PLUMB_BOB, RATIONAL])
@pytest.mark.parametrize(("rows", "columns"), [(12, 16), (9, 16), (48, 64), (1, 1)])
def test_a_coarse_grid_is_the_resized_camera(distortion: tuple[float, ...], rows: int, columns: int) -> None:
    camera = wide_camera(distortion)
    expected = camera.resized(columns, rows).bearings()
    assert expected.shape == (rows, columns, 3)
    np.testing.assert_allclose(camera.bearings(rows, columns), expected, atol=1e-9)


def test_a_coarse_ray_is_the_centre_of_its_cell() -> None:
    camera = PinholeCamera(64, 48, 50.0, 55.0, 31.5, 23.5)
    fine = (camera.bearings() / camera.bearings()[..., 2:])[..., :2]
    cells = fine.reshape(12, 4, 16, 4, 2).mean(axis=(1, 3))
    coarse = camera.bearings(12, 16)
    np.testing.assert_allclose((coarse / coarse[..., 2:])[..., :2], cells, atol=1e-12)


@steady
@given(cameras(), st.integers(1, 200), st.integers(1, 200), seeds)
def test_resizing_keeps_rays(camera: PinholeCamera, width: int, height: int, seed: int) -> None:
    small = camera.resized(width, height)
    assert (small.width, small.height) == (width, height)
    pixels = np.random.default_rng(seed).uniform(0, (camera.width, camera.height), (10, 2)) - 0.5
    # An area-preserving resampling keeps the image's outer edge, half a pixel outside the first and last centre.
    moved = (pixels + 0.5) * (width / camera.width, height / camera.height) - 0.5
    np.testing.assert_allclose(small.normalise(moved), camera.normalise(pixels), atol=1e-10)
    assert small.horizontal_fov_rad == pytest.approx(camera.horizontal_fov_rad, abs=1e-12)


@pytest.mark.parametrize("degrees", [25.0, 60.0, 110.0])
def test_field_of_view_is_between_the_outer_edges(degrees: float) -> None:
    focal = 160 / np.tan(np.radians(degrees) / 2)
    camera = PinholeCamera(320, 240, focal, focal, 159.5, 119.5)
    assert np.degrees(camera.horizontal_fov_rad) == pytest.approx(degrees, abs=1e-9)


@pytest.mark.parametrize(
    ("field", "value", "names"),
    [
        ("fx", np.nan, "fx = nan"),
        ("fy", np.inf, "fy = inf"),
        ("cx", np.nan, "cx = nan"),
        ("cy", -np.inf, "cy = -inf"),
        ("fx", 0.0, "fx = 0.0"),
        ("fy", -3.5, "fy = -3.5"),
        ("width", 0, "size 0x240"),
        ("height", -1, "size 320x-1"),
        ("distortion", (0.1, 0.2, 0.3), "distortion [0.1, 0.2, 0.3]"),
        ("distortion", (0.1,) * 12, "distortion [0.1, 0.1"),
        ("distortion", (0.0, 0.0, np.nan, 0.0), "distortion [0.0, 0.0, nan"),
    ],
)
def test_impossible_cameras_are_refused_by_name_and_value(field: str, value: object, names: str) -> None:
    good = {"width": 320, "height": 240, "fx": 250.0, "fy": 250.0, "cx": 159.5, "cy": 119.5, "distortion": ()}
    PinholeCamera(**good)
    with pytest.raises(GeometryError) as refused:
        PinholeCamera(**(good | {field: value}))
    assert names in str(refused.value)


# --------------------------------------------------------------------------------------------------------- raxels


@steady
@given(cameras(), seeds, st.integers(0, 3))
def test_raxels_round_trip_for_any_source_frame(camera: PinholeCamera, seed: int, source: int) -> None:
    rng = np.random.default_rng(seed)
    to_world = np.array([random_pose(rng) for _ in range(4)])
    in_source = change_source(to_world, to_world[source])
    np.testing.assert_allclose(in_source, np.linalg.inv(to_world[source]) @ to_world, atol=1e-12)
    bearings = camera.bearings()
    for pose, world_pose in zip(in_source, to_world, strict=True):
        raxels = encode_raxels(bearings, pose)
        np.testing.assert_allclose(np.linalg.norm(raxels - pose[:3, 3], axis=-1), 1.0, atol=1e-12)
        decoded = decode_raxels(raxels, bearings)
        np.testing.assert_allclose(decoded.camera_to_source, pose, atol=1e-9)
        np.testing.assert_allclose(to_world[source] @ decoded.camera_to_source, world_pose, atol=2e-9)
        assert decoded.residual < 1e-12
        assert not decoded.degenerate
        np.testing.assert_allclose(raxels_in_own_frame(raxels, pose), bearings, atol=1e-12)


def test_a_raxel_is_the_point_at_unit_distance() -> None:
    pose = make_pose(Rotation.from_euler("y", 90, degrees=True).as_matrix(), [1.0, 2.0, 3.0])
    ray = unit_bearings([0.0, 0.75])
    np.testing.assert_allclose(ray, [0.0, 0.6, 0.8], atol=1e-15)
    np.testing.assert_allclose(encode_raxels(ray, pose), [1.8, 2.6, 3.0], atol=1e-15)


@steady
@given(seeds, st.floats(0.001, 0.3))
def test_decoding_agrees_with_scipy(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    bearings = PinholeCamera(8, 6, 7.0, 7.0, 3.5, 2.5).bearings().reshape(-1, 3)
    raxels = encode_raxels(bearings, random_pose(rng)) + noise * rng.normal(size=bearings.shape)
    weights = rng.uniform(0, 2, len(bearings)) * (rng.random(len(bearings)) < 0.8)
    centre_from, centre_to = (np.average(points, axis=0, weights=weights) for points in (bearings, raxels))
    reference, distance = Rotation.align_vectors(raxels - centre_to, bearings - centre_from, weights)
    decoded = decode_raxels(raxels, bearings, weights)
    np.testing.assert_allclose(decoded.camera_to_source[:3, :3], reference.as_matrix(), atol=1e-7)
    np.testing.assert_allclose(decoded.camera_to_source[:3, 3], centre_to - reference.apply(centre_from), atol=1e-7)
    assert decoded.residual == pytest.approx(distance / np.sqrt(weights.sum()), rel=1e-7)


@steady
@given(seeds)
def test_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bearings = PinholeCamera(6, 5, 6.0, 6.0, 2.5, 2.0).bearings()
    raxels = encode_raxels(bearings, random_pose(rng)) + 0.02 * rng.normal(size=bearings.shape)
    weights = rng.uniform(0.1, 1, bearings.shape[:2])
    removed = rng.random(weights.shape) < 0.3
    kept = decode_raxels(raxels[~removed], bearings[~removed], weights[~removed])
    spoiled = np.where(removed[..., None], np.nan, raxels)
    zeroed = decode_raxels(spoiled, bearings, np.where(removed, 0.0, weights))
    np.testing.assert_allclose(zeroed.camera_to_source, kept.camera_to_source, atol=1e-12)
    scaled = decode_raxels(raxels, bearings, 1e6 * weights)
    np.testing.assert_allclose(scaled.camera_to_source, decode_raxels(raxels, bearings, weights).camera_to_source)
    alike = decode_raxels(raxels, bearings, np.full(weights.shape, 0.3))
    np.testing.assert_allclose(alike.camera_to_source, decode_raxels(raxels, bearings).camera_to_source, atol=1e-12)
    assert not np.allclose(zeroed.camera_to_source, decode_raxels(raxels, bearings).camera_to_source, atol=1e-6)


def test_weight_on_exact_raxels_wins_over_wrong_ones() -> None:
    bearings = PinholeCamera(8, 6, 7.0, 7.0, 3.5, 2.5).bearings().reshape(-1, 3)
    truth = random_pose(np.random.default_rng(4))
    wrong = np.arange(len(bearings)) % 3 == 0
    raxels = encode_raxels(bearings, truth) + wrong[:, None] * (0.5, 0.0, 0.0)
    error = {
        w: np.abs(decode_raxels(raxels, bearings, np.where(wrong, w, 1.0)).camera_to_source - truth).max()
        for w in (1.0, 1e-3, 0.0)
    }
    assert error[1.0] > 0.1
    assert error[1e-3] < 1e-3
    assert error[0.0] < 1e-12


LINE = np.linspace(-1, 1, 7)[:, None] * [0.3, -0.2, 0.1] + [0.1, 0.2, 1.0]


@pytest.mark.parametrize(
    "rays",
    [
        np.zeros((0, 3)),
        unit_bearings([[0.1, 0.2]]),
        unit_bearings([[0.1, 0.2], [-0.3, 0.4]]),
        np.repeat(unit_bearings([[0.3, -0.1]]), 9, axis=0),
        LINE,
    ],
    ids=["none", "one", "two", "identical", "collinear"],
)
@pytest.mark.parametrize("seed", range(5))
def test_rays_that_do_not_fix_a_rotation_are_flagged(rays: FloatArray, seed: int) -> None:
    pose = random_pose(np.random.default_rng(seed))
    raxels = encode_raxels(rays, pose)
    decoded = decode_raxels(raxels, rays)
    assert decoded.degenerate
    assert_rotation(decoded.camera_to_source[:3, :3])
    # What is seen is explained all the same; nothing is invented where no ray tells.
    assert decoded.residual < 1e-7
    np.testing.assert_allclose(encode_raxels(rays, decoded.camera_to_source), raxels, atol=1e-6)
    assert rotation_angle_rad(decoded.camera_to_source[:3, :3]) <= rotation_angle_rad(pose[:3, :3]) + 1e-6
    if len(np.unique(rays.round(12), axis=0)) < 2:
        np.testing.assert_array_equal(decoded.camera_to_source[:3, :3], np.eye(3))


def test_rays_turned_about_their_line_by_half_a_turn() -> None:
    """The smallest rotation that turns a line round is half a turn across it, not a reflection."""
    line = np.linspace(-1, 1, 5)[:, None] * [0.0, 1.0, 0.0]
    decoded = decode_raxels(-line, line)
    assert_rotation(decoded.camera_to_source[:3, :3])
    np.testing.assert_allclose(line @ decoded.camera_to_source[:3, :3].T, -line, atol=1e-12)


def test_one_row_of_rays_is_enough() -> None:
    bearings = PinholeCamera(64, 1, 60.0, 60.0, 31.5, 0.0).bearings()
    pose = random_pose(np.random.default_rng(7))
    decoded = decode_raxels(encode_raxels(bearings, pose), bearings)
    assert not decoded.degenerate
    np.testing.assert_allclose(decoded.camera_to_source, pose, atol=1e-9)


@pytest.mark.parametrize("mirror", [(-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)])
def test_mirrored_raxels_never_give_a_reflection(mirror: tuple[int, int, int]) -> None:
    bearings = PinholeCamera(8, 6, 7.0, 7.0, 3.2, 2.7).bearings().reshape(-1, 3)
    raxels = encode_raxels(bearings * mirror, random_pose(np.random.default_rng(3)))
    decoded = decode_raxels(raxels, bearings)
    assert_rotation(decoded.camera_to_source[:3, :3])
    reference, distance = Rotation.align_vectors(raxels - raxels.mean(axis=0), bearings - bearings.mean(axis=0))
    np.testing.assert_allclose(decoded.camera_to_source[:3, :3], reference.as_matrix(), atol=1e-9)
    assert decoded.residual == pytest.approx(distance / np.sqrt(len(bearings)), rel=1e-9)
    assert decoded.residual > 0.05


def test_decoding_refuses_what_it_cannot_weigh() -> None:
    rays = unit_bearings(np.random.default_rng(0).uniform(-1, 1, (6, 2)))
    with pytest.raises(GeometryError, match="5 raxels, 6 bearings and 6 weights"):
        decode_raxels(rays[:5], rays)
    with pytest.raises(GeometryError, match="6 raxels, 6 bearings and 4 weights"):
        decode_raxels(rays, rays, np.ones(4))
    for weight in (-1.0, np.nan, np.inf):
        with pytest.raises(GeometryError, match="finite and not negative"):
            decode_raxels(rays, rays, [weight, 1, 1, 1, 1, 1])
    with pytest.raises(GeometryError, match="weight 0"):
        decode_raxels(np.where(np.arange(6)[:, None] == 2, np.nan, rays), rays)
    nothing = decode_raxels(np.full((6, 3), np.nan), rays, np.zeros(6))
    assert nothing.degenerate
    np.testing.assert_array_equal(nothing.camera_to_source, np.eye(4))


# ---------------------------------------------------------------------------------------------------------- focal


def raxels_and_offsets(camera: PinholeCamera) -> tuple[FloatArray, FloatArray]:
    bearings = camera.bearings()
    pixels = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1)
    return bearings, pixels - (camera.cx, camera.cy)


@steady
@given(cameras(), seeds)
def test_focal_from_raxels_is_exact(camera: PinholeCamera, seed: int) -> None:
    bearings, offsets = raxels_and_offsets(camera)
    pose = random_pose(np.random.default_rng(seed))
    own = raxels_in_own_frame(encode_raxels(bearings, pose), pose)
    np.testing.assert_allclose(focal_from_raxels(own, offsets), (camera.fx, camera.fy), rtol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_focal_is_robust_to_a_fifth_of_outliers(seed: int) -> None:
    camera = PinholeCamera(32, 24, 27.0, 31.0, 15.5, 11.5)
    rng = np.random.default_rng(seed)
    raxels, offsets = raxels_and_offsets(camera)
    wrong = rng.permutation(24 * 32) < 24 * 32 // 5
    # All wrong in the same sense, which is the worst for a median.
    spoiled = np.where(wrong.reshape(24, 32, 1), raxels * (3.0, 3.0, 1.0), raxels)
    np.testing.assert_allclose(focal_from_raxels(spoiled, offsets), (27.0, 31.0), rtol=1e-9)
    noisy = spoiled + 0.005 * rng.normal(size=raxels.shape)
    np.testing.assert_allclose(focal_from_raxels(noisy, offsets), (27.0, 31.0), rtol=0.02)


def test_no_focal_from_raxels_behind_or_on_the_axis() -> None:
    raxels, offsets = raxels_and_offsets(PinholeCamera(8, 6, 7.0, 7.0, 3.5, 2.5))
    with pytest.raises(GeometryError, match="focal length cannot be read"):
        focal_from_raxels(raxels * (1, 1, -1), offsets)
    with pytest.raises(GeometryError, match="focal length cannot be read"):
        focal_from_raxels(-raxels, offsets)
    with pytest.raises(GeometryError, match="focal length cannot be read"):
        focal_from_raxels([[0.0, 0.0, 1.0]], [[0.0, 0.0]])


# ------------------------------------------------------------------------------------------------ amplified errors


def pose_errors(bearings: FloatArray, errors: FloatArray) -> tuple[float, float]:
    """Mean rotation, deg, and translation of what raxels of the identity decode to under each of the errors."""
    poses = np.array([decode_raxels(bearings + e, bearings).camera_to_source for e in errors])
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
