"""Variants of our method differ in what they leave out, and in nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from posed_sets import CAMERA

from ros2_raxels.engine import Arrays, TensorSpec
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.estimation.bundle_adjustment import RefineSettings
from ros2_raxels.estimation.learned_prior import DenoiseSettings, LearnedDenoiser, shipped_model
from ros2_raxels.evaluation.clips import variants
from ros2_raxels.evaluation.clips.clip_sets import Clip
from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.geometry.raxel_grid import clip_bearings
from ros2_raxels.geometry.raxels import encode_raxels
from ros2_raxels.view_synthesis.predictor import ViewPredictor


@pytest.fixture
def card() -> Path:
    pytest.importorskip("onnxruntime")
    path = shipped_model()
    assert path is not None, "no model in engines/"
    return path


def test_geometry_alone_has_no_denoiser_and_is_otherwise_as_shipped() -> None:
    found = variants.without_denoiser()
    assert list(found) == ["geometry alone"]
    assert found["geometry alone"]._denoiser is None
    assert found["geometry alone"].settings.refine == RefineSettings()


def test_over_steps_only_steps_and_guidance_differ(card: Path) -> None:
    denoiser = LearnedDenoiser.load(card)
    found = variants.over_steps(denoiser)
    assert variants.STEPS == (1, 2, 4, 8)
    names = [f"{kind}, {n} steps" for n in variants.STEPS for kind in ("denoiser alone", "denoiser and guidance")]
    assert list(found) == names
    for steps in variants.STEPS:
        alone, guided = found[f"denoiser alone, {steps} steps"], found[f"denoiser and guidance, {steps} steps"]
        denoisers: list[Any] = [alone._denoiser, guided._denoiser]
        assert [d.settings for d in denoisers] == [
            DenoiseSettings(samples=1, steps=steps, guided=False, alone=True),
            DenoiseSettings(samples=4, steps=steps, guided=True, alone=True),
        ]
        assert all((d._encode, d._rays) == (denoiser._encode, denoiser._rays) for d in denoisers)
        assert alone.settings.refine == RefineSettings(iterations=0)
        assert guided.settings.refine == RefineSettings()
        assert alone.settings.evidence == guided.settings.evidence


@dataclass
class Knowing:
    """A graph that knows the rays, and where it was asked at."""

    rays: npt.NDArray[np.float32]
    times: list[float] = field(default_factory=list)
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        self.times.append(float(arrays["ray_time"].max()))
        assert float(arrays["given"].max()) == 0.0
        return {"clean": self.rays[None]}

    def describe(self) -> str:
        return "knows"


def test_pixels_alone_are_asked_once_a_step_and_answer_with_their_poses(tmp_path: Path) -> None:
    turn, bearing = np.radians([4.0, 9.0]), np.radians([20.0, 50.0])
    way = np.array([[0.4], [1.0]]) * np.stack([np.sin(bearing), 0 * bearing, np.cos(bearing)], axis=1)
    moved = make_pose(rotation_from_vector(np.stack([0 * turn, turn, 0 * turn], axis=1)), way)
    truth = np.concatenate([np.eye(4)[None], moved])
    files = tuple(tmp_path / f"{k}.png" for k in range(3))
    for k, path in enumerate(files):
        assert cv2.imwrite(str(path), np.full((120, 160, 3), 40 * k, np.uint8))
    bearings = clip_bearings([CAMERA] * 3)
    spread = 0.4
    engine = Knowing(((encode_raxels(bearings, truth) - bearings) / spread).astype(np.float32))
    size = {"sweep_depths": 8, "sweep_contexts": 4}
    predictor = ViewPredictor(ModelCard("m", "tiny", {}, spread, {}, size=size), engine, engine)
    found = variants.pixels_only(predictor)
    assert list(found) == [f"pixels only, {n} steps" for n in variants.STEPS]
    intrinsics = np.array([[CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy]] * 3)
    for steps in variants.STEPS:
        engine.times.clear()
        answer = found[f"pixels only, {steps} steps"](Clip("a", "s", files, intrinsics))
        assert engine.times == pytest.approx([k / steps for k in range(steps)])
        assert answer.id == "a"
        assert answer.seconds is not None
        assert answer.seconds > 0.0
        assert answer.camera_to_first is not None
        np.testing.assert_allclose(answer.camera_to_first, truth, atol=1e-5)
    # Without intrinsics, or with several cameras, it does not answer but with what it had before.
    engine.times.clear()
    several = intrinsics + np.array([[0.0], [0.0], [5.0]])
    for unknown in (None, several):
        answer = found["pixels only, 1 steps"](Clip("b", "s", files, unknown))
        np.testing.assert_array_equal(answer.camera_to_first, np.tile(np.eye(4), (3, 1, 1)))
    assert engine.times == []
