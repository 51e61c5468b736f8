"""Whether two sets of engines give the same poses and views, on synthetic clips that are always the same."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.engine import Engine
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.estimation.learned_prior import DenoiseSettings, LearnedDenoiser
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, inverse_pose, make_pose, rotation_angle_rad, rotation_from_vector
from ros2_raxels.geometry.raxel_grid import clip_bearings, decode_clip
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import FLOW, KEYPOINT, Evidence
from ros2_raxels.view_synthesis.prediction import PredictionRequest
from ros2_raxels.view_synthesis.predictor import ViewPredictor

ROTATION_DEG, TRANSLATION_PERCENT = 0.1, 0.5
"""Largest difference between engines of one model: below the error of the best poses."""

GREY_LEVELS = 1.0
"""Largest mean difference of views."""

LEAST_MATCHES, LEAST_RIGHT = 100, 0.9
"""Of a picture that is matched with itself, shifted."""

CLIPS = 6

_CAMERA = PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5)
_SHIFT_PX = (24, 15)
_MISMATCHED, _NOISE_PX = 0.15, 0.5

Engines = Mapping[str, Engine]


@dataclass(frozen=True)
class Parity:
    """How far the answers of two sets of engines differ, and how long they take.

    Attributes:
        differences: by name, the unit in it.
        limits: for the same names.
        reference_ms, candidate_ms: median of a whole clip.
    """

    differences: dict[str, float]
    limits: dict[str, float]
    reference_ms: float
    candidate_ms: float

    @property
    def holds(self) -> bool:
        """Whether all differences are within their limits."""
        return all(self.differences[name] <= limit for name, limit in self.limits.items())


def compare_poses(card: ModelCard, reference: Engines, candidate: Engines, clips: int = CLIPS) -> Parity:
    """Compare poses of the denoiser alone, with nothing after it that would correct them.

    Args:
        card: of the model.
        reference, candidate: engines of "encode" and "rays".
        clips: how many are compared.
    """
    settings = DenoiseSettings(alone=True, guided=False)
    denoisers = [
        LearnedDenoiser(card, engines["encode"], engines["rays"], settings) for engines in (reference, candidate)
    ]
    differences: list[tuple[float, float]] = []
    times: list[list[float]] = [[], []]
    for seed in range(clips):
        evidence, bearings = made_up_clip(seed)
        noise = np.random.default_rng(seed).normal(size=(settings.samples, *bearings.shape))
        poses = []
        for denoiser, spent in zip(denoisers, times, strict=True):
            begun = time.perf_counter()
            raxels, _ = denoiser.sample(denoiser.judge(evidence, bearings), bearings, noise)
            spent.append((time.perf_counter() - begun) * 1e3)
            poses.append(decode_clip(bearings, raxels))
        differences.append(_pose_difference(*poses))
    rotation_deg, translation_percent = map(max, zip(*differences, strict=True))
    found = {"rotation_deg": rotation_deg, "translation_percent": translation_percent}
    limits = {"rotation_deg": ROTATION_DEG, "translation_percent": TRANSLATION_PERCENT}
    return Parity(found, limits, *(float(np.median(spent)) for spent in times))


def _pose_difference(a: FloatArray, b: FloatArray) -> tuple[float, float]:
    """Greatest rotation, deg, and distance, percent of the way of the clip, between poses (H, N, 4, 4)."""
    turn = np.swapaxes(a[..., :3, :3], -1, -2) @ b[..., :3, :3]
    reach = np.linalg.norm(a[..., :3, 3], axis=-1).max(axis=-1, keepdims=True)
    apart = np.linalg.norm(b[..., :3, 3] - a[..., :3, 3], axis=-1) / reach
    return float(np.rad2deg(rotation_angle_rad(turn).max())), float(100.0 * apart.max())


def compare_views(card: ModelCard, reference: Engines, candidate: Engines) -> Parity:
    """Compare views along a short trajectory.

    Args:
        card: of the model.
        reference, candidate: engines of "sweep" and "joint".
    """
    predictors = [ViewPredictor(card, engines["sweep"], engines["joint"]) for engines in (reference, candidate)]
    camera = _CAMERA.resized(128, 96)
    images = [_made_up_image(seed, camera) for seed in range(2)]
    poses = _made_up_trajectory(np.random.default_rng(0), 4)
    request = PredictionRequest(images, camera, poses[:2], poses[2:])
    answers, times = [], []
    for predictor in predictors:
        begun = time.perf_counter()
        answers.append(predictor.predict(request).images.astype(float))
        times.append((time.perf_counter() - begun) * 1e3)
    return Parity({"grey_levels": float(np.abs(answers[1] - answers[0]).mean())}, {"grey_levels": GREY_LEVELS}, *times)


def made_up_clip(seed: int, frames: int = 4, tracks: int = 400) -> tuple[Evidence, FloatArray]:
    """Points seen by a moving camera as a matcher would find them, with noise, mismatches and tracks that end.

    Returns:
        Evidence of P tracks over N frames, and the cameras' bearings (N, rows, columns, 3).
    """
    rng = np.random.default_rng(seed)
    poses = _made_up_trajectory(rng, frames)
    plane = rng.uniform(-0.55, 0.55, (tracks, 2)) * (1.0, 0.75)
    points = np.concatenate([plane, np.ones((tracks, 1))], axis=1) * rng.uniform(1.0, 4.0, (tracks, 1))
    world_to_camera = np.array([inverse_pose(pose) for pose in poses])
    local = np.einsum("nij,pj->pni", world_to_camera[:, :3, :3], points) + world_to_camera[:, :3, 3]
    pixels = local[..., :2] / local[..., 2:] * _CAMERA.fx + (_CAMERA.cx, _CAMERA.cy)
    pixels += rng.normal(size=pixels.shape) * _NOISE_PX
    wrong = rng.random(tracks) < _MISMATCHED
    pixels[wrong, 1:] += rng.normal(size=(int(wrong.sum()), frames - 1, 2)) * 80.0
    lost = rng.random((tracks, frames)) < 0.2
    lost[:, :2] = False
    pixels[lost] = np.nan
    seen = (~lost).astype(float)
    kind = np.where(rng.random(tracks) < 0.5, FLOW, KEYPOINT)
    score = seen * rng.uniform(0.3, 1.0, seen.shape)
    score[:, 0] = 1.0
    on_plane = (pixels - (_CAMERA.cx, _CAMERA.cy)) / _CAMERA.fx
    evidence = Evidence(
        np.zeros(tracks, np.int64), np.arange(tracks), pixels, on_plane, np.full(frames, _CAMERA.fx), seen, kind, score
    )
    return evidence, clip_bearings([_CAMERA] * frames)


def _made_up_trajectory(rng: np.random.Generator, frames: int) -> FloatArray:
    turn, move = rng.normal(size=3) * 0.03, rng.normal(size=3) * 0.1
    return np.array([make_pose(rotation_from_vector(k * turn), k * move) for k in range(frames)])


def _made_up_image(seed: int, camera: PinholeCamera) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC))


@dataclass(frozen=True)
class ShiftFound:
    """How well a matcher finds a picture in itself, some px further.

    Attributes:
        matches: number of keypoints that were matched.
        right: share of these that are where they must be.
    """

    matches: int
    right: float

    @property
    def holds(self) -> bool:
        """Whether these are as many and as right as they must be."""
        return self.matches >= LEAST_MATCHES and self.right >= LEAST_RIGHT


def shift_found(matcher: Matcher) -> ShiftFound:
    """Match a picture with itself, shifted."""
    picture = made_up_picture()
    frames = [matcher.look(picture[y : y + 240, x : x + 320]) for x, y in ((0, 0), _SHIFT_PX)]
    a, b = (matcher.keypoints(frame).pixels for frame in frames)
    index = matcher.match_all([(frames[0], frames[1])], [None])[0].keypoints
    assert index is not None
    there = index >= 0
    off = np.linalg.norm(a[there] - _SHIFT_PX - b[index[there]], axis=1)
    return ShiftFound(int(there.sum()), float((off < 1.0).mean()) if len(off) else 0.0)


def made_up_picture() -> npt.NDArray[np.uint8]:
    """(260, 350) grey: blocks of many sizes, always the same."""
    rng = np.random.default_rng(0)
    picture = np.full((260, 350), 128, np.uint8)
    for _ in range(400):
        (x, y), (w, h) = rng.integers((0, 0), (350, 260)), rng.integers(6, 40, 2)
        picture[y : y + h, x : x + w] = rng.integers(256)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.8), np.uint8)
