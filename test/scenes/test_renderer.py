"""The renderer: depth is exact, and colours belong to the depth."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import inverse_pose, make_pose, rotation_from_vector
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.textures import TILE_PX, TextureAtlas
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import Boxes, Light, Planes, Spheres, World, furnished_room

CAMERA = PinholeCamera(160, 120, 130.0, 131.0, 79.5, 59.5)


@pytest.fixture(scope="module")
def room() -> World:
    return furnished_room(3)


@pytest.fixture(scope="module")
def grey() -> TextureAtlas:
    return TextureAtlas.build([np.full((TILE_PX, TILE_PX, 3), 128, np.uint8)])


def world_of(atlas: TextureAtlas, *, planes: bool = False, box: bool = False, sphere: bool = False) -> World:
    """A wall at z = 4, a box turned by 30 degrees and a sphere, all in front of a camera at the origin."""
    turn = rotation_from_vector(np.radians([[0.0, 30.0, 0.0]]))
    index = np.zeros(1, np.intp)
    return World(
        Planes(np.array([[0.0, 0.0, -1.0]]), np.array([-4.0]), np.array([[1.0, 0.0, 0.0]]), index)
        if planes
        else Planes(np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3)), index[:0]),
        Boxes(np.array([[-0.6, 0.1, 3.0]]), np.array([[0.4, 0.3, 0.2]]), turn, index)
        if box
        else Boxes(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3, 3)), index[:0]),
        Spheres(np.array([[0.5, -0.2, 2.0]]), np.array([0.4]), index)
        if sphere
        else Spheres(np.zeros((0, 3)), np.zeros(0), index[:0]),
        Light((0.0, 0.0, 0.0), corner_shade=0.0),
        atlas,
    )


def pixel_rays(camera: PinholeCamera) -> np.ndarray:
    """(H, W, 3) of z = 1."""
    bearings = camera.bearings()
    return bearings / bearings[..., 2:]


@pytest.mark.parametrize("camera", [CAMERA, PinholeCamera(160, 120, 130, 131, 79.5, 59.5, (-0.2, 0.05, 0.001, 0.0))])
def test_depth_of_a_plane_is_analytic(grey: TextureAtlas, camera: PinholeCamera) -> None:
    pose = make_pose(rotation_from_vector([0.3, -0.4, 0.1]), [0.2, -0.1, 0.5])
    _, depth = render(world_of(grey, planes=True), camera, pose)
    rays = pixel_rays(camera) @ pose[:3, :3].T
    expected = (4.0 - 0.5) / rays[..., 2]
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, expected, rtol=2e-6)


def test_depth_of_a_sphere_is_analytic(grey: TextureAtlas) -> None:
    _, depth = render(world_of(grey, sphere=True), CAMERA, np.eye(4))
    rays = pixel_rays(CAMERA)
    centre, squared = np.array([0.5, -0.2, 2.0]), (rays**2).sum(axis=2)
    along = rays @ centre
    inside = along**2 - squared * (centre @ centre - 0.4**2)
    expected = np.where(inside > 0, (along - np.sqrt(np.maximum(inside, 0))) / squared, np.inf)
    clear = np.abs(inside) > 1e-4
    assert np.isfinite(expected[clear]).sum() > 1000
    np.testing.assert_allclose(depth[clear], expected[clear], rtol=2e-5)


def test_points_on_a_box_lie_on_its_surface_and_all_of_its_outline_is_filled(grey: TextureAtlas) -> None:
    world = world_of(grey, box=True)
    _, depth = render(world, CAMERA, np.eye(4))
    hit = np.isfinite(depth)
    points = (pixel_rays(CAMERA) * np.where(hit, depth, 0)[..., None])[hit]
    local = (points - world.boxes.centre_m[0]) @ world.boxes.box_to_world[0]
    np.testing.assert_allclose(np.abs(local / world.boxes.half_size_m[0]).max(axis=1), 1.0, atol=1e-5)
    hull = cv2.convexHull(CAMERA.project(world.boxes.corners_m[0]).astype(np.float32))
    assert hit.sum() == pytest.approx(cv2.contourArea(hull), rel=0.03)


def test_a_camera_inside_or_beside_things_sees_no_ghosts(grey: TextureAtlas) -> None:
    world = world_of(grey, planes=True, box=True, sphere=True)
    turned = make_pose(rotation_from_vector([0.0, np.pi, 0.0]), [0.0, 0.0, 0.0])
    rgb, depth = render(world, CAMERA, turned)
    assert np.isinf(depth).all()
    assert len(np.unique(rgb.reshape(-1, 3), axis=0)) == 1
    inside = make_pose(np.eye(3), [0.5, -0.2, 2.0])
    np.testing.assert_allclose(render(world, CAMERA, inside)[1].min(), 2.0, rtol=1e-5)


def test_a_lamp_lights_as_lambert_says(grey: TextureAtlas) -> None:
    rgb, _ = render(world_of(grey, planes=True), CAMERA, np.eye(4))
    light = world_of(grey).light
    rays = pixel_rays(CAMERA) * 4.0
    squared = (rays**2).sum(axis=2)
    lit = light.ambient + light.diffuse * 4.0 / np.sqrt(squared) / (1 + squared / light.fade_m**2)
    np.testing.assert_allclose(rgb[..., 1], 128 * lit, atol=1.0)


def test_two_views_agree_where_their_depth_says_they_must(room: World) -> None:
    """Warp one frame into another by its exact depth: colours agree wherever the point is seen by both."""
    camera = PinholeCamera(320, 240, 256.0, 256.0, 159.5, 119.5)
    poses = handheld_loop(7.0, seed=1)[[20, 32]]
    (first, depth), (second, second_depth) = (render(room, camera, pose) for pose in poses)
    points = pixel_rays(camera) * depth[..., None]
    moved = inverse_pose(poses[1]) @ poses[0]
    there = points.reshape(-1, 3) @ moved[:3, :3].T + moved[:3, 3]
    place = camera.project(there).astype(np.float32).reshape(240, 320, 2)
    seen = cv2.remap(second.astype(np.float32), place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderValue=np.nan)
    other = cv2.remap(second_depth, place[..., 0], place[..., 1], cv2.INTER_NEAREST, borderValue=np.nan)
    both = (np.abs(other / there[:, 2].reshape(240, 320) - 1) < 0.01) & np.isfinite(seen).all(axis=2)
    assert both.mean() > 0.7
    assert np.linalg.norm(moved[:3, 3]) > 0.15
    error = np.abs(seen - first).mean(axis=2)[both]
    unmoved = np.abs(second.astype(float) - first).mean(axis=2)[both]
    assert np.median(error) < 2.0
    assert error.mean() < 0.2 * unmoved.mean()


def test_features_track_to_a_fraction_of_a_pixel(room: World) -> None:
    camera = PinholeCamera(320, 240, 256.0, 256.0, 159.5, 119.5)
    poses = handheld_loop(7.0, seed=1)[[60, 62]]
    (first, depth), (second, _) = (render(room, camera, pose) for pose in poses)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
    corners = cv2.goodFeaturesToTrack(grey[0], 300, 0.01, 5)
    assert len(corners) > 200
    found, ok, _ = cv2.calcOpticalFlowPyrLK(*grey, corners, None)
    spots = corners[:, 0].round().astype(int)
    points = (pixel_rays(camera) * depth[..., None])[spots[:, 1], spots[:, 0]]
    points = np.column_stack([camera.normalise(corners[:, 0]), np.ones(len(corners))]) * points[:, 2:]
    moved = inverse_pose(poses[1]) @ poses[0]
    expected = camera.project(points @ moved[:3, :3].T + moved[:3, 3])
    # A window across an outline has no one motion.
    window = np.ones((15, 15), np.uint8)
    relief = (cv2.dilate(depth, window) / cv2.erode(depth, window))[spots[:, 1], spots[:, 0]]
    miss = np.linalg.norm(found[:, 0] - expected, axis=1)[(ok.ravel() == 1) & (relief < 1.12)]
    assert len(miss) > 100
    assert np.median(miss) < 0.12


def test_outlines_are_smooth_and_the_rest_is_untouched_by_it(grey: TextureAtlas) -> None:
    rgb, depth = render(world_of(grey, sphere=True), CAMERA, np.eye(4))
    rim = np.isfinite(depth) ^ cv2.dilate(np.isfinite(depth).astype(np.uint8), np.ones((3, 3))).astype(bool)
    inside, outside = rgb[np.isfinite(depth)].mean(), rgb[0, 0].mean()
    between = rgb[rim].mean(axis=1)
    assert ((between > outside + 3) & (between < inside - 3)).mean() > 0.25


def test_rendering_is_quick(room: World) -> None:
    camera = PinholeCamera(320, 240, 256.0, 256.0, 159.5, 119.5)
    poses = handheld_loop(7.0)[::70]
    render(room, camera, poses[0])
    begun = time.process_time()
    for pose in poses:
        render(room, camera, pose)
    # Twice what it takes alone on one core: others may share it.
    assert (time.process_time() - begun) / len(poses) < 0.12
