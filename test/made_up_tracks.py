"""Cameras and the exact tracks that they see; noise and outliers on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray, direction_angle_rad, make_pose, relative_pose, rotation_angle_rad
from ros2_raxels.matching.lens_rays import see_through
from ros2_raxels.matching.tracks import KEYPOINT, Evidence

FRAMES = 4
FOCAL_PX = 260.0
HALF_PLANE = np.array([160.0, 120.0]) / FOCAL_PX


def cameras(rng: np.random.Generator) -> FloatArray:
    """(4, 4, 4): turns of up to 10 deg a frame; the last is at distance 1, the others at less than .8."""
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    for k in range(1, FRAMES):
        direction = rng.normal(size=3)
        centre = direction / np.linalg.norm(direction) * (1.0 if k == FRAMES - 1 else rng.uniform(0.3, 0.8))
        turn = rng.normal(size=3)
        turn *= rng.uniform(0.03, 0.17) / np.linalg.norm(turn)
        poses[k] = make_pose(Rotation.from_rotvec(turn).as_matrix(), centre)
    return poses


def tracks_of(rng: np.random.Generator, poses: FloatArray, count: int = 160) -> tuple[Evidence, FloatArray]:
    """Exact tracks of points at depths 2 to 8 that start in every frame, and their inverse depths."""
    anchor = rng.integers(0, FRAMES, count)
    start = rng.uniform(-HALF_PLANE, HALF_PLANE, (count, 2))
    rho = 1.0 / rng.uniform(2, 8, count)
    points = np.column_stack([start, np.ones(count), rho])
    plane = np.full((count, FRAMES, 2), np.nan)
    for j in range(FRAMES):
        there = np.einsum("pij,pj->pi", relative_pose(poses[j], poses[anchor]), points)[:, :3]
        seen = (there[:, 2] > 0.2) & (np.abs(there[:, :2] / there[:, 2:]) < HALF_PLANE).all(axis=1)
        plane[seen, j] = there[seen, :2] / there[seen, 2:]
    plane[np.arange(count), anchor] = start
    pixels = plane * FOCAL_PX + (159.5, 119.5)
    evidence = Evidence(
        anchor,
        np.arange(count),
        pixels,
        plane,
        np.full(FRAMES, FOCAL_PX),
        np.ones((count, FRAMES)),
        np.full(count, KEYPOINT),
        np.ones((count, FRAMES)),
    )
    return evidence, rho


def wide_tracks_of(
    rng: np.random.Generator, poses: FloatArray, cameras: Sequence[Camera], count: int = 200
) -> tuple[Evidence, FloatArray]:
    """Exact tracks of points in any direction through lenses of any kind, and their inverse depths."""
    anchor = rng.integers(0, len(poses), count)
    pixels = np.full((count, len(poses), 2), np.nan)
    start = rng.uniform(0, [(cameras[k].width - 1, cameras[k].height - 1) for k in anchor])
    rays = np.array([cameras[k].rays(p[None])[0] for k, p in zip(anchor, start, strict=True)])
    rho = 1.0 / rng.uniform(2, 8, count)
    for j, camera in enumerate(cameras):
        to_frame = relative_pose(poses[j], poses[anchor])
        there = np.einsum("pij,pj->pi", to_frame[:, :3, :3], rays / rho[:, None]) + to_frame[:, :3, 3]
        seen = camera.project(there)
        inside = ((seen > -0.5) & (seen < (camera.width - 0.5, camera.height - 0.5))).all(axis=1)
        pixels[inside, j] = seen[inside]
    pixels[np.arange(count), anchor] = start
    known = np.isfinite(rays).all(axis=1)
    ones, kind = np.ones((count, len(poses))), np.full(count, KEYPOINT)
    plane, focal_px, lens = see_through(pixels[known], cameras)
    index = np.arange(known.sum())
    evidence = Evidence(
        anchor[known], index, pixels[known], plane, focal_px, ones[known], kind[known], ones[known], lens
    )
    return evidence, rho[known]


def moved(evidence: Evidence, shift_px: FloatArray) -> Evidence:
    """Observations off by so much; the anchors are where a track starts and stay."""
    shift_px = shift_px.copy()
    shift_px[np.arange(len(evidence.anchor)), evidence.anchor] = 0.0
    return replace(evidence, pixels=evidence.pixels + shift_px, plane=evidence.plane + shift_px / FOCAL_PX)


def picked(evidence: Evidence, index: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Evidence:
    """Some of the tracks."""
    by_track = ("anchor", "index", "pixels", "plane", "weight", "kind", "score")
    lens = evidence.lens and replace(
        evidence.lens, ray=evidence.lens.ray[index], scale_px=evidence.lens.scale_px[index]
    )
    return replace(evidence, **{name: getattr(evidence, name)[index] for name in by_track}, lens=lens)


def rotation_error_rad(found: FloatArray, truth: FloatArray) -> float:
    return float(rotation_angle_rad(np.swapaxes(found[:, :3, :3], 1, 2) @ truth[:, :3, :3]).max())


def direction_error_rad(found: FloatArray, truth: FloatArray) -> float:
    return max(direction_angle_rad(a, b) for a, b in zip(found[1:, :3, 3], truth[1:, :3, 3], strict=True))
