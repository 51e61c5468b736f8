"""shutter_check: readout times of keyframes whose rows were read one after the other, and of those that were not."""

from __future__ import annotations

import re

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.transform import Rotation

from ros2_raxels.estimation.bundle_adjustment import RefineSettings, refine
from ros2_raxels.factory import make_tracker
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.lens_rays import see_through
from ros2_raxels.matching.tracks import FLOW, Evidence
from ros2_raxels.tracking.shutter_check import ShutterCheck, readout_time

CAMERA = PinholeCamera(320, 240, 260.0, 260.0, 160.0, 120.0)
TIMES_S = np.arange(7) * 0.25
READOUT_S = 0.025


def poses_at(seconds: FloatArray) -> FloatArray:
    """(N, 4, 4) of a hand that carries a camera sideways, and shakes."""
    seconds = np.asarray(seconds, float)
    t = np.stack([seconds, 1.3 * seconds + 1.0, 0.7 * seconds + 2.0], axis=-1)
    poses = np.tile(np.eye(4), (*seconds.shape, 1, 1))
    poses[..., :3, :3] = Rotation.from_rotvec(0.08 * np.sin(5.0 * t)).as_matrix()
    poses[..., :3, 3] = 0.03 * np.sin(6.0 * t)
    poses[..., 0, 3] += 0.3 * seconds
    return poses


def velocity_at(seconds: float) -> FloatArray:
    """By differences: turn, rad/s, and translation, 1/s, about the camera's axes."""
    step_s = 1e-4
    before, after = poses_at(np.array([seconds - step_s, seconds + step_s]))
    turn = Rotation.from_matrix(before[:3, :3].T @ after[:3, :3]).as_rotvec()
    return np.concatenate([turn, before[:3, :3].T @ (after - before)[:3, 3]]) / (2.0 * step_s)


def seen_at(points: FloatArray, seconds: float, readout_s: float) -> FloatArray:
    """Where points (P, 3) are in an image, by iteration: their rows say when they were seen."""
    pixels = np.full((len(points), 2), (CAMERA.cx, CAMERA.cy))
    for _ in range(20):
        poses = poses_at(seconds + readout_s * (pixels[:, 1] / CAMERA.height - 0.5))
        pixels = CAMERA.project(np.einsum("nij,ni->nj", poses[:, :3, :3], points - poses[:, :3, 3]))
    return pixels


def tracks(readout_s: float, noise_px: float, seed: int, count: int = 300) -> Evidence:
    rng = np.random.default_rng(seed)
    points = rng.uniform((-1.5, -1.2, 1.5), (2.0, 1.2, 4.0), (count, 3))
    pixels = np.stack([seen_at(points, t, readout_s) for t in TIMES_S], axis=1)
    pixels += rng.normal(0.0, noise_px, pixels.shape)
    inside = ((pixels > 0) & (pixels < (CAMERA.width, CAMERA.height))).all(axis=2)
    pixels[~inside] = np.nan
    pixels = pixels[inside.sum(axis=1) > 2]
    seen = np.isfinite(pixels[..., 0])
    plane, focal_px, lens = see_through(pixels, [CAMERA] * len(TIMES_S))
    anchor, number = seen.argmax(axis=1), np.arange(len(pixels))
    weight, kind = np.ones(seen.shape), np.full(len(pixels), FLOW)
    return Evidence(anchor, number, pixels, plane, focal_px, weight, kind, seen.astype(float), lens)


def adjusted(evidence: Evidence) -> tuple[FloatArray, FloatArray]:
    """Poses and inverse depths after bundle adjustment, two cameras held."""
    poses = poses_at(TIMES_S)
    settings = RefineSettings(widths_px=(2.0, 1.0, 0.6), iterations=12)
    found = refine(evidence, poses[None], settings, fixed=np.arange(len(poses)) < 2)
    return found.camera_to_first[0], found.inverse_depth[0]


VELOCITIES = [velocity_at(t) for t in TIMES_S]
HEIGHTS = [CAMERA.height] * len(TIMES_S)


@pytest.mark.parametrize("readout_s", [READOUT_S, 0.0, -READOUT_S], ids=["rolling", "global", "from below"])
def test_the_readout_time_is_found_after_bundle_adjustment(readout_s: float) -> None:
    evidence = tracks(readout_s, 0.2, 0)
    told = readout_time(evidence, *adjusted(evidence), VELOCITIES, HEIGHTS)
    assert told is not None
    assert told[0] == pytest.approx(readout_s, abs=0.003)
    # Of noise of .2 px.
    assert 0.2 / np.sqrt(told[1]) < 0.002


def test_trouble_is_named_once_enough_keyframes_agree() -> None:
    evidence = [tracks(READOUT_S, 0.3, seed, 150) for seed in range(3)]
    check = ShutterCheck()
    for k in range(10):
        assert check.trouble == ""
        own = evidence[k % 3]
        check = check.seen(own, *adjusted(own), VELOCITIES, HEIGHTS)
    assert "rolling shutter" in check.trouble
    assert check.readout_s[0] == pytest.approx(READOUT_S, abs=0.004)


def test_a_global_shutter_is_none() -> None:
    check = ShutterCheck()
    for seed in range(4):
        own = tracks(0.0, 0.3, seed, 150)
        told = readout_time(own, *adjusted(own), VELOCITIES, HEIGHTS)
        assert told is not None
        check = ShutterCheck((*check.told, told, told, told))
    assert len(check.told) == 12
    assert check.trouble == ""


def test_where_the_motion_is_not_known_nothing_is_told() -> None:
    evidence = tracks(READOUT_S, 0.2, 0, 150)
    poses, depths = adjusted(evidence)
    assert readout_time(evidence, poses, depths, [None] * len(TIMES_S), HEIGHTS) is None
    still = [np.zeros(6)] * len(TIMES_S)
    assert ShutterCheck().seen(evidence, poses, depths, still, HEIGHTS) == ShutterCheck()


def picture(seconds: float, readout_s: float, texture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Two walls that meet in a corner, every row at its own time."""
    rows, columns = np.mgrid[: CAMERA.height, : CAMERA.width]
    poses = poses_at(seconds + readout_s * (np.arange(CAMERA.height) / CAMERA.height - 0.5))
    rays = np.stack([(columns - CAMERA.cx) / CAMERA.fx, (rows - CAMERA.cy) / CAMERA.fy, np.ones(rows.shape)], axis=-1)
    rays = np.einsum("rij,rcj->rci", poses[:, :3, :3], rays)
    centre = poses[:, None, :3, 3]
    # Walls x + z = 3.5 and z - x = 2.5.
    far = [(d - centre @ n) / (rays @ n) for n, d in ((np.array([1.0, 0, 1]), 3.5), (np.array([-1.0, 0, 1]), 2.5))]
    hit = centre + np.minimum(*far)[..., None] * rays
    on_wall = np.float32((hit[..., :2] - (0.5, 0.0)) * 220.0 % 1024.0)
    return cv2.remap(texture, on_wall[..., 0], on_wall[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def test_the_tracker_names_the_shutter_of_rendered_images() -> None:
    readout_s, noise = 0.03, np.random.default_rng(0).normal(0.0, 1.0, (1024, 1024))
    texture = np.sum([cv2.GaussianBlur(noise, (0, 0), size) * size for size in (2, 5, 12)], axis=0)
    grey = np.clip(128 + 45 * texture / texture.std(), 0, 255).astype(np.uint8)
    tracker = make_tracker("none")
    for frame in range(66):
        tracker.track(picture(frame / 15.0, readout_s, grey), round(frame * 1e9 / 15.0), CAMERA)
        tracker.improve()
    told = re.search(r"some (\d+) ms", tracker.lens_trouble)
    assert told is not None
    assert float(told[1]) == pytest.approx(1e3 * readout_s, rel=0.2)
