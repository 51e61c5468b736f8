"""focal_check: focal lengths that are wrong, of cameras that turn, and those that are right."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.transform import Rotation

from ros2_raxels.estimation.bundle_adjustment import RefineSettings, refine
from ros2_raxels.factory import make_tracker
from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.lens_rays import see_through
from ros2_raxels.matching.tracks import FLOW, Evidence
from ros2_raxels.tracking.focal_check import FocalCheck, FocalTold, told_of_focal

PINHOLE = PinholeCamera(320, 240, 260.0, 260.0, 160.0, 120.0)
BENT = replace(PINHOLE, distortion=(-0.2, 0.05, 0.0, 0.0))
FISHEYE = FisheyeCamera(320, 240, 150.0, 150.0, 160.0, 120.0, (0.01, 0.0, 0.0, 0.0))
FRAMES = 7


def turning(degrees: float) -> FloatArray:
    """(N, 4, 4) of a camera that goes in a curve and turns by so much from frame to frame."""
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    step = np.arange(FRAMES)
    poses[:, :3, :3] = Rotation.from_rotvec(np.radians(degrees) * np.outer(step, (0.2, 1.0, 0.1))).as_matrix()
    poses[:, 0, 3], poses[:, 2, 3] = 0.08 * step, 0.03 * step
    return poses


def forward() -> FloatArray:
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 2, 3] = 0.1 * np.arange(FRAMES)
    return poses


def tracks(camera: Camera, poses: FloatArray, used: Camera, noise_px: float = 0.2) -> Evidence:
    """What a camera sees, looked at through another one."""
    rng = np.random.default_rng(5)
    points = rng.uniform((-3.0, -2.0, 1.5), (3.0, 2.0, 5.0), (1200, 3))
    seen_from = [np.einsum("ji,nj->ni", pose[:3, :3], points - pose[:3, 3]) for pose in poses]
    pixels = np.stack([camera.project(seen) for seen in seen_from], axis=1)
    pixels += rng.normal(0.0, noise_px, pixels.shape)
    with np.errstate(invalid="ignore"):
        inside = ((pixels > 0) & (pixels < (camera.width, camera.height))).all(axis=2)
    inside &= np.stack([seen[:, 2] > 0.3 for seen in seen_from], axis=1)
    pixels[~inside] = np.nan
    pixels = pixels[inside.sum(axis=1) > 2]
    seen = np.isfinite(pixels[..., 0])
    plane, focal_px, lens = see_through(pixels, [used] * FRAMES)
    anchor, number = seen.argmax(axis=1), np.arange(len(pixels))
    weight, kind = np.ones(seen.shape), np.full(len(pixels), FLOW)
    return Evidence(anchor, number, pixels, plane, focal_px, weight, kind, seen.astype(float), lens)


def told(camera: Camera, poses: FloatArray, too_long: float) -> FocalTold | None:
    """By a bundle that was adjusted with a focal length that is too long by a factor."""
    used = camera.zoomed(too_long)
    evidence = tracks(camera, poses, used)
    settings = RefineSettings(widths_px=(6.0, 4.0, 2.0, 1.0), iterations=20)
    found = refine(evidence, poses[None], settings)
    return told_of_focal(
        range(FRAMES),
        evidence,
        found.camera_to_first[0],
        found.inverse_depth[0],
        found.residual_px[0],
        [used] * FRAMES,
    )


@pytest.mark.parametrize("camera", [PINHOLE, BENT, FISHEYE], ids=["pinhole", "distorted", "fisheye"])
@pytest.mark.parametrize("too_long", [1.0, 1.05, 0.95])
def test_a_camera_that_turns_tells_its_focal_length(camera: Camera, too_long: float) -> None:
    found = told(camera, turning(5.0), too_long)
    assert found is not None
    assert found.information**-0.5 < 0.012
    assert found.log_scale == pytest.approx(-np.log(too_long), rel=0.4, abs=0.01)
    for _ in range(2):
        too_long *= float(np.exp(found.log_scale))
        found = told(camera, turning(5.0), too_long)
        assert found is not None
    assert too_long * np.exp(found.log_scale) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("too_long", [1.0, 1.05])
def test_one_that_goes_straight_on_says_nothing(too_long: float) -> None:
    assert told(PINHOLE, forward(), too_long) is None


def test_what_is_told_twice_counts_once() -> None:
    first, again = FocalTold((0, 1, 2, 3), -0.05, 1e4), FocalTold((1, 2, 3, 4), -0.04, 2e4)
    weaker, apart = FocalTold((2, 3, 4, 5), 0.1, 1e4), FocalTold((4, 5, 6, 7), -0.046, 2e4)
    check = FocalCheck().seen(first).seen(again).seen(weaker)
    assert check.told == (again,)
    off, sigma = check.seen(apart).off
    assert off == pytest.approx(-0.043)
    assert sigma == pytest.approx(0.005)
    assert check.seen(None) == check


def test_what_is_surely_wrong_is_named_with_what_it_should_be() -> None:
    check = FocalCheck((FocalTold((0, 1, 2, 3), -0.05, 1e4),))
    assert check.is_wrong
    assert check.trouble(525.0).startswith(
        "the focal length is stated as fx 525 px, the images say 499 +- 5 px (-4.9 %), which is not used; calibrate"
    )
    assert "which is used" in check.corrected(-0.05).trouble(525.0)
    assert not check.corrected(-0.05).is_wrong
    assert check.trouble(None) == ""


@pytest.mark.parametrize("told_so_far", [FocalTold((0, 1), -0.05, 2e3), FocalTold((0, 1), -0.014, 1e7)])
def test_what_may_be_chance_and_what_is_small_is_not_named(told_so_far: FocalTold) -> None:
    check = FocalCheck((told_so_far,))
    assert not check.is_wrong
    assert check.trouble(525.0) == ""


def test_a_stated_focal_length_may_be_mistaken_until_the_images_have_spoken() -> None:
    nothing = FocalCheck()
    assert np.sqrt(nothing.mean_square(is_stated=True)) == pytest.approx(0.0081, abs=1e-4)
    assert np.sqrt(nothing.mean_square(is_stated=False)) == pytest.approx(0.05)
    right = FocalCheck((FocalTold((0, 1, 2, 3), 0.0, 1e4),))
    assert np.sqrt(right.mean_square(is_stated=True)) < 0.004
    assert np.sqrt(right.mean_square(is_stated=False)) == pytest.approx(0.01, rel=0.05)
    wrong = FocalCheck((FocalTold((0, 1, 2, 3), -0.05, 1e4),))
    assert np.sqrt(wrong.mean_square(is_stated=True)) == pytest.approx(0.05, rel=0.1)
    assert np.sqrt(wrong.corrected(-0.05).mean_square(is_stated=True)) == pytest.approx(0.01, rel=0.1)


def room(pose: FloatArray, texture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """From within a cube with pictures on its walls."""
    rows, columns = np.mgrid[: PINHOLE.height, : PINHOLE.width]
    rays = PINHOLE.rays(np.column_stack([columns.ravel(), rows.ravel()])) @ pose[:3, :3].T
    rays += 1e-9
    reach = (np.sign(rays) * (3.0, 1.5, 3.0) - pose[:3, 3]) / rays
    wall = reach.argmin(axis=1)
    hit = pose[:3, 3] + reach[np.arange(len(rays)), wall, None] * rays
    side = wall + 3 * (np.take_along_axis(rays, wall[:, None], axis=1)[:, 0] > 0)
    across = np.where(wall == 0, hit[:, 2], hit[:, 0])
    down = np.where(wall == 1, hit[:, 2], hit[:, 1])
    at = (np.stack([across, down], axis=1) * 200.0 + 171.0 * side[:, None]) % 1024.0
    at = at.astype(np.float32).reshape(PINHOLE.height, PINHOLE.width, 2)
    return cv2.remap(texture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


@pytest.fixture(scope="module")
def drive() -> list[npt.NDArray[np.uint8]]:
    """A curve in a room."""
    noise = np.random.default_rng(0).normal(0.0, 1.0, (1024, 1024))
    texture = np.sum([cv2.GaussianBlur(noise, (0, 0), size) * size for size in (2, 5, 12)], axis=0)
    grey = np.clip(128 + 45 * texture / texture.std(), 0, 255).astype(np.uint8)
    images = []
    for k in range(75):
        angle = 0.02 * k
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec([0.0, angle, 0.0]).as_matrix()
        pose[:3, 3] = 0.4 * (1.0 - np.cos(angle)) - 0.5, 0.0, 0.4 * np.sin(angle)
        images.append(room(pose, grey))
    return images


@pytest.mark.parametrize("too_long", [1.0, 1.05])
def test_the_tracker_corrects_a_wrong_focal_length_and_names_it(
    drive: list[npt.NDArray[np.uint8]], too_long: float
) -> None:
    tracker, stated = make_tracker("none"), PINHOLE.zoomed(too_long)
    for k, image in enumerate(drive):
        answer = tracker.track(image, round(k * 1e9 / 15.0), stated)
        tracker.improve()
    assert tracker.camera is not None
    assert tracker.camera.fx == pytest.approx(PINHOLE.fx, rel=0.012)
    found = re.search(r"fx 273 px, the images say (\d+) \+- (\d+) px", tracker.lens_trouble)
    assert (found is not None) == (too_long != 1.0)
    turned = Rotation.from_matrix(answer.camera_to_world[:3, :3]).magnitude()
    sigma_rad = float(np.sqrt(np.linalg.eigvalsh(answer.covariance[3:, 3:]).max()))
    assert turned == pytest.approx(0.02 * 74, abs=3.0 * sigma_rad)
    assert sigma_rad < 0.03
