"""Long closed paths of a handheld camera through random rooms."""

from __future__ import annotations

import cv2
import numpy as np

from ros2_raxels.geometry.camera import Camera, PinholeCamera, ordinary_camera
from ros2_raxels.geometry.poses import FloatArray, relative_pose, rotation_angle_rad
from ros2_raxels.scenes.clips import probe_of, well_lit
from ros2_raxels.scenes.film import Film, Progress
from ros2_raxels.scenes.procedural import ProceduralWorld, random_world
from ros2_raxels.scenes.random_textures import texture_pool
from ros2_raxels.scenes.renderer import depth_map, render
from ros2_raxels.scenes.rigs import rig_of
from ros2_raxels.scenes.trajectories import look_at, sway

SHAPES = ("loop", "eight")
"""Shapes of a round from above: an oval, or a figure of eight that crosses itself in the middle."""

CLEARANCE_M = 0.25
"""No surface comes closer to the camera."""

MOST_TURN_DEG_S = 75.0
"""The camera never turns faster."""

_FOCAL_PER_WIDTH = 0.8
_ROUND_S = {"loop": 15.0, "eight": 25.0}
_LEAST_ROUNDS = {"loop": 2, "eight": 1}
_SPEED_M_S = (0.35, 0.9)
_EYE_M = (1.1, 1.8)
_WORLDS, _WAYS = 25, 8
"""Two of five rooms have space for one of so many paths, so that one seed in a million finds none."""

_LOOKED_AT = 24
_LEAST_MEDIAN_M = 0.7
_DARKEST, _BRIGHTEST = 25.0, 215.0
_CORNERS, _CONTRAST, _MISSED_SHARE = 60, 12, 0.15


class NoRoomError(RuntimeError):
    """No room had space for the path; practically impossible."""


def rounds_film(
    shape: str,
    frames: int,
    width: int,
    height: int,
    seed: int,
    rate_hz: float = 30.0,
    progress: Progress = lambda done, total: None,
    lens: Camera | None = None,
    rig: str = "",
    with_depth: bool = False,
) -> Film:
    """A film of rounds through a random room; every seed has its own room and path.

    Args:
        shape: one of `SHAPES`.
        frames: in all; after the last one the first would follow again.
        width, height: px.
        seed: of everything.
        rate_hz: frames a second.
        progress: called for every room that was tried in vain, with the most rooms that will be tried.
        lens: the camera that films; None is an ordinary one of this size. Room and path are the same for all.
        rig: one of `rigs.RIGS`, of cameras with this lens; empty for one camera.
        with_depth: whether a depth sensor films as well; not with a rig or a lens that distorts.

    Raises:
        ValueError: an unknown shape, or so few frames that the camera would move at a run.
        NoRoomError: no room had space for the path.
    """
    if shape not in SHAPES:
        raise ValueError(f"{shape!r} is no shape of a round; choose from {', '.join(SHAPES)}")
    least = round(rate_hz * _ROUND_S[shape] * _LEAST_ROUNDS[shape] * 2 / 3)
    if frames < least:
        raise ValueError(f"{frames} frames at {rate_hz:g} Hz are too few for a {shape}; give {least} or more")
    generator, pool = np.random.default_rng([seed, SHAPES.index(shape)]), texture_pool(seed)
    camera = ordinary_camera(width, height, _FOCAL_PER_WIDTH)
    for number in range(_WORLDS):
        progress(number, _WORLDS)
        world = random_world(generator, pool, "room")
        for _ in range(_WAYS):
            poses = _way(generator, world, shape, frames / rate_hz, rate_hz)
            if _is_calm(poses, rate_hz) and _is_clear(world, poses):
                lit = well_lit(generator, world, camera, poses[0])
                if _sees_enough(lit, probe_of(camera), poses):
                    films = lens or camera
                    cameras = rig_of(rig, films) if rig else None
                    return Film(f"{shape}_{seed}", lit, films, poses, rate_hz, cameras, with_depth)
    raise NoRoomError(f"none of {_WORLDS} rooms has space for a {shape} of {frames} frames; give another seed")


def _way(
    generator: np.random.Generator, world: ProceduralWorld, shape: str, seconds: float, rate_hz: float
) -> FloatArray:
    """camera_to_world (N, 4, 4) of a path that fits between the walls at walking pace."""
    rounds = max(_LEAST_ROUNDS[shape], round(seconds / _ROUND_S[shape]))
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * rounds * time_s / seconds + generator.uniform(0, 2 * np.pi)
    room = (world.eye_high_m - world.eye_low_m)[:2] / 2
    reach = np.minimum(room * generator.uniform(0.4, 0.9, 2), _reach_of_pace(generator, seconds / rounds))
    centre = generator.uniform(-1, 1, 2) * np.maximum(room - reach, 0) * 0.5
    across, along = (np.sin(phase), np.cos(phase)) if shape == "loop" else (0.8 * np.sin(2 * phase), np.cos(phase))
    level = generator.uniform(*_EYE_M) + 0.08 * np.sin(2 * np.pi * time_s / seconds + generator.uniform(0, 6))
    path = np.column_stack([centre[0] + reach[0] * along, centre[1] + reach[1] * across, level])
    gaze = _gaze(generator, path, phase, shape)
    shake, position = sway(generator, time_s, seconds), path + 0.012 * sway(generator, time_s, seconds)
    yaw, pitch, roll = (gaze + np.radians((1.0, 0.8, 1.2)) * shake).T
    ahead = np.column_stack([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    return look_at(position, position + ahead, roll)


def _reach_of_pace(generator: np.random.Generator, round_s: float) -> float:
    """Radius of a circle that is walked in one round, m."""
    return float(generator.uniform(*_SPEED_M_S)) * round_s / (2 * np.pi)


def _gaze(generator: np.random.Generator, path: FloatArray, phase: FloatArray, shape: str) -> FloatArray:
    """Yaw, pitch and roll (N, 3), rad, of a gaze ahead or to one side that wanders."""
    velocity = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    aside = float(generator.uniform(-1.2, 0.2)) if shape == "loop" else float(generator.uniform(-0.4, 0.4))
    heading = np.arctan2(velocity[:, 1], velocity[:, 0])
    yaw = heading + aside + 0.25 * np.sin(2 * phase + generator.uniform(0, 2 * np.pi))
    pitch = float(generator.uniform(-0.25, 0.0)) + 0.08 * np.sin(phase + 1.0)
    return np.column_stack([yaw, pitch, np.zeros(len(path))])


def _is_clear(world: ProceduralWorld, poses: FloatArray) -> bool:
    return bool(world.clearance_m(poses[:, :3, 3]).min() > CLEARANCE_M)


def _is_calm(poses: FloatArray, rate_hz: float) -> bool:
    turned = relative_pose(poses, np.roll(poses, -1, axis=0))
    return bool(np.degrees(rotation_angle_rad(turned[:, :3, :3])).max() * rate_hz < MOST_TURN_DEG_S)


def _sees_enough(world: ProceduralWorld, probe: PinholeCamera, poses: FloatArray) -> bool:
    """Whether no frame is filled by a wall or badly exposed, and nearly all have enough corners to track."""
    looks = poses[np.linspace(0, len(poses) - 1, _LOOKED_AT).round().astype(int)]
    if min(np.median(depth_map(world, probe, pose)) for pose in looks) < _LEAST_MEDIAN_M:
        return False
    larger, detector = probe.resized(4 * probe.width, 4 * probe.height), cv2.FastFeatureDetector_create(_CONTRAST)
    missed = 0
    for pose in looks:
        grey = cv2.cvtColor(render(world, larger, pose)[0], cv2.COLOR_RGB2GRAY)
        if not _DARKEST < grey.mean() < _BRIGHTEST:
            return False
        missed += len(detector.detect(grey)) < _CORNERS
        if missed > _MISSED_SHARE * len(looks):
            return False
    return True
