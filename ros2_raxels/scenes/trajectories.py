"""Camera paths like those of people and robots: smooth, never at constant speed, never quite steady."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, make_pose

_CENTRE_M = np.array([-1.25, 0.0, 1.35])
_REACH_M = np.array([0.8, 1.15, 0.1])
_GAZE_M = np.array([1.7, 0.0, 0.75])
_SWAY_HZ = (0.4, 2.2)


def handheld_loop(seconds: float, rate_hz: float = 30.0, seed: int = 0) -> FloatArray:
    """Poses of a camera carried once round the free half of `world.furnished_room`, ending where it began.

    It moves sideways and forward along an oval, looks at things on the other side with a wandering gaze, and sways like
    a hand (centimetres and a degree, between 0.4 and 2.2 Hz). 6 to 8 s correspond to walking pace.

    Args:
        seconds: duration of the loop.
        rate_hz: frames a second.
        seed: of gaze and sway.

    Returns:
        camera_to_world (round(seconds * rate_hz), 4, 4) of the optical frame, m.
    """
    generator = np.random.default_rng(seed)
    count = round(seconds * rate_hz)
    time_s = np.arange(count) / rate_hz
    phase = 2 * np.pi * time_s / seconds
    start = generator.uniform(0, 2 * np.pi)
    oval = np.stack([np.cos(phase + start), np.sin(phase + start), np.sin(2 * phase + start)], axis=1)
    position = _CENTRE_M + _REACH_M * oval + 0.012 * sway(generator, time_s, seconds)
    wander = np.stack([np.zeros(count), np.sin(2 * phase), np.cos(phase)], axis=1) * (0.0, 0.55, 0.2)
    gaze = _GAZE_M + wander + 0.02 * sway(generator, time_s, seconds)
    roll_rad = np.radians(1.2) * sway(generator, time_s, seconds)[:, 0]
    return look_at(position, gaze, roll_rad)


def sway(generator: np.random.Generator, time_s: FloatArray, seconds: float) -> FloatArray:
    """(N, 3) smooth random motion of about unit deviation, periodic over the duration so that a loop closes."""
    cycles = np.arange(max(1, round(_SWAY_HZ[0] * seconds)), max(2, round(_SWAY_HZ[1] * seconds)) + 1)
    weight = 1.0 / cycles
    weight /= np.sqrt((weight**2).sum() / 2)
    offset = generator.uniform(0, 2 * np.pi, (3, len(cycles)))
    waves = np.sin(2 * np.pi * cycles * time_s[:, None, None] / seconds + offset)
    return np.asarray((waves * weight).sum(axis=-1))


def look_at(position_m: FloatArray, target_m: FloatArray, roll_rad: npt.ArrayLike = 0.0) -> FloatArray:
    """camera_to_world (..., 4, 4) of cameras that look at points, neither straight up nor down, level but for the roll.

    World z is up; positions and points (..., 3) are in m, rolls (...) in rad.
    """
    roll = np.asarray(roll_rad, float)[..., None]
    forward = _unit(target_m - position_m)
    left = _unit(np.cross((0.0, 0.0, 1.0), forward))
    up = np.cross(forward, left)
    tilted_left = np.cos(roll) * left + np.sin(roll) * up
    body_to_world = np.stack([forward, tilted_left, np.cross(forward, tilted_left)], axis=-1)
    return make_pose(body_to_world @ OPTICAL_TO_BODY[:3, :3], position_m)


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector, axis=-1, keepdims=True))
