"""Realistic camera motions, thousands at a time: poses alone, without a scene.

The unit of length is the median depth seen by the first camera, so that baselines are comparable. The distributions of
baseline and rotation follow those of real recordings (`docs/training.md` shows both histograms).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray, interpolate_pose, inverse_pose, rotation_from_vector

KINDS = ("handheld", "forward", "sideways", "orbit", "drone", "rotation", "stop_and_go")
"""Kinds of motion."""

MAX_TURN_DEG = 40.0
"""No camera of a clip is turned further from the first: the views would hardly overlap."""

_SHARES = (0.25, 0.1, 0.08, 0.40, 0.08, 0.04, 0.05)
_STEP_MEDIAN, _STEP_SPREAD = 0.115, 0.8
_STEP_LIMITS = (0.001, 0.45)


@dataclass(frozen=True, eq=False)
class Motion:
    """Camera paths of a batch of clips.

    Attributes:
        camera_to_first: (B, N, 4, 4) optical frames, OpenCV axes; unit: median depth seen by the first camera.
        kind: (B,) index into `KINDS`.
    """

    camera_to_first: FloatArray
    kind: npt.NDArray[np.intp]


def sample_motion(generator: np.random.Generator, clips: int, frames: int) -> Motion:
    """Draw the camera paths of `clips` clips of `frames` frames.

    Half of the clips run backwards in time, like a robot that reverses.

    Raises:
        ValueError: fewer than two frames, or no clip.
    """
    if frames < 2 or clips < 1:
        raise ValueError(f"{clips} clips of {frames} frames: at least one clip, and two frames for a motion")
    kind = generator.choice(len(KINDS), clips, p=np.array(_SHARES))
    time = _times(generator, clips, frames, kind == KINDS.index("stop_and_go"))
    step = np.exp(generator.normal(np.log(_STEP_MEDIAN), _STEP_SPREAD, clips)).clip(*_STEP_LIMITS)
    step = np.where(kind == KINDS.index("rotation"), step * generator.uniform(0.0, 0.02, clips), step)
    along = _along_a_path(generator, kind, time, step)
    around = _around_a_point(generator, time, step)
    poses = np.where((kind == KINDS.index("orbit"))[:, None, None, None], around, along)
    poses = _shaken(generator, poses, step)
    backwards = generator.random(clips) < 0.5
    poses[backwards] = poses[backwards, ::-1]
    # After the reversal, because the rotation counts from the first camera.
    poses = _limit_turn(poses)
    return Motion(inverse_pose(poses[:, :1]) @ poses, kind)


def _times(
    generator: np.random.Generator, clips: int, frames: int, stops: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """(B, N) time of each frame: uneven, as with dropped frames; while the camera stands, time stands still."""
    gaps = np.exp(generator.normal(0.0, 0.15, (clips, frames - 1)))
    stands = stops[:, None] & (generator.random(gaps.shape) < 0.4)
    gaps = np.where(stands, generator.uniform(0.0, 0.05, gaps.shape), gaps)
    return np.concatenate([np.zeros((clips, 1)), np.cumsum(gaps, axis=1)], axis=1)


def _unit(generator: np.random.Generator, clips: int, stretch: tuple[float, float, float]) -> FloatArray:
    """(B, 3) random directions, biased towards the stretched axes."""
    v = generator.normal(size=(clips, 3)) * stretch
    return np.asarray(v / np.linalg.norm(v, axis=1, keepdims=True))


def _direction(generator: np.random.Generator, kind: npt.NDArray[np.intp]) -> FloatArray:
    clips = len(kind)
    by_kind = {
        "handheld": _unit(generator, clips, (1.0, 0.6, 0.6)),
        "forward": _unit(generator, clips, (0.12, 0.05, 0.0)) * 0.1 + (0.0, 0.0, 1.0),
        "sideways": _unit(generator, clips, (1.0, 0.05, 0.1)),
        "drone": _unit(generator, clips, (1.0, 0.8, 0.8)),
        "stop_and_go": _unit(generator, clips, (0.6, 0.2, 1.0)),
    }
    direction = _unit(generator, clips, (1.0, 1.0, 1.0))
    for name, value in by_kind.items():
        direction = np.where((kind == KINDS.index(name))[:, None], value, direction)
    sideways = np.abs(generator.normal(size=(clips, 1)))
    return np.asarray(direction / np.linalg.norm(direction, axis=1, keepdims=True)) * np.minimum(1.0, 0.5 + sideways)


def _along_a_path(
    generator: np.random.Generator, kind: npt.NDArray[np.intp], time: FloatArray, step: FloatArray
) -> FloatArray:
    """(B, N, 4, 4): accelerated motion with an independent rotation, and a gaze that may fixate a point."""
    clips, frames = time.shape
    velocity = _direction(generator, kind) * step[:, None]
    bend = generator.normal(size=(clips, 3)) * step[:, None] * 0.15
    position = time[..., None] * velocity[:, None] + 0.5 * time[..., None] ** 2 * bend[:, None]
    rate_deg = np.exp(generator.normal(np.log(5.5), 0.9, clips)).clip(0.0, 18.0)
    steady = np.isin(kind, [KINDS.index("sideways"), KINDS.index("forward")])
    rate_deg = np.where(steady, rate_deg * 0.15, rate_deg)
    turn = np.radians(rate_deg)[:, None] * _unit(generator, clips, (0.5, 1.0, 0.3))
    turn = time[..., None] * turn[:, None] * (1.0 + 0.2 * generator.normal(size=(clips, 1, 1)) * time[..., None])
    # People keep their subject in the middle: the camera turns back by the angle by which it moved past it.
    share = np.where(steady, 0.0, generator.beta(0.5, 0.7, clips))
    fixation = np.stack([position[..., 1], -position[..., 0], np.zeros((clips, frames))], axis=-1)
    poses = np.tile(np.eye(4), (clips, frames, 1, 1))
    poses[..., :3, :3] = rotation_from_vector(share[:, None, None] * np.arctan(fixation) + turn)
    poses[..., :3, 3] = position
    return poses


def _around_a_point(generator: np.random.Generator, time: FloatArray, step: FloatArray) -> FloatArray:
    """(B, N, 4, 4) on a circle around a point in front of the first camera, at which all cameras look."""
    clips = len(step)
    distance = generator.uniform(0.7, 1.2, clips)
    axis = _unit(generator, clips, (0.35, 1.0, 0.25))
    angle = (step / distance)[:, None] * time
    rotation = rotation_from_vector(angle[..., None] * axis[:, None])
    target = np.zeros((clips, 3))
    target[:, 2] = distance
    poses = np.tile(np.eye(4), (*time.shape, 1, 1))
    poses[..., :3, :3] = rotation
    poses[..., :3, 3] = target[:, None] - np.einsum("bnij,bj->bni", rotation, target)
    poses[..., :3, 3] += 0.1 * time[..., None] * (generator.normal(size=(clips, 3)) * step[:, None])[:, None]
    return poses


def _shaken(generator: np.random.Generator, poses: FloatArray, step: FloatArray) -> FloatArray:
    """Add the shake of a hand or of wheels: some percent of a step, and a fraction of a degree."""
    clips, frames = poses.shape[:2]
    rough = np.exp(generator.normal(np.log(0.3), 1.2, (clips, 1, 1))).clip(0.0, 3.0)
    shift = generator.normal(size=(clips, frames, 3)) * step[:, None, None] * 0.12 * rough
    turn = generator.normal(size=(clips, frames, 3)) * np.radians(1.0) * rough
    shaken = poses.copy()
    shaken[..., :3, :3] = poses[..., :3, :3] @ rotation_from_vector(turn)
    shaken[..., :3, 3] += shift
    return shaken


def _limit_turn(poses: FloatArray) -> FloatArray:
    """Slow whole clips down until no camera is turned more than `MAX_TURN_DEG` from the first."""
    relative = np.swapaxes(poses[:, :1, :3, :3], -1, -2) @ poses[..., :3, :3]
    cosine = (np.trace(relative, axis1=-2, axis2=-1) - 1.0) / 2.0
    furthest_deg = np.degrees(np.arccos(cosine.clip(-1.0, 1.0))).max(axis=1)
    for clip in np.flatnonzero(furthest_deg > MAX_TURN_DEG):
        share = MAX_TURN_DEG / furthest_deg[clip]
        poses[clip] = _slowed(poses[clip], float(share))
    return poses


def _slowed(poses: FloatArray, share: float) -> FloatArray:
    return np.array([interpolate_pose(poses[0], pose, share) for pose in poses])
