"""closed loop and variants: agreement by hand, clips that are the same every time, and what the variants are."""

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
from ros2_raxels.evaluation.clips.closed_loop import Loop, agreement, procedural_clips
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.geometry.raxel_grid import clip_bearings
from ros2_raxels.geometry.raxels import encode_raxels
from ros2_raxels.view_synthesis.predictor import ViewPredictor


def turned(turns_deg: list[float], bearings_deg: list[float], lengths: list[float] | None = None) -> FloatArray:
    """The identity, then cameras turned about y by so much, at a place that lies in this direction in the x-z plane."""
    poses: list[FloatArray] = [np.eye(4)]
    for turn, bearing, length in zip(turns_deg, bearings_deg, lengths or [1.0] * len(turns_deg), strict=True):
        angle = np.radians(bearing)
        rotation = rotation_from_vector([0.0, np.radians(turn), 0.0])
        poses.append(make_pose(rotation, length * np.array([np.sin(angle), 0.0, np.cos(angle)])))
    return np.array(poses)


# --------------------------------------------------------------------------------------------------------- agreement


def test_agreement_is_the_median_over_all_cameras_but_the_first() -> None:
    loops = [
        Loop(turned([10, 20, 30], [0, 10, 20]), turned([11, 22, 34], [5, 17, 31], [2.0, 0.5, 7.0])),
        Loop(turned([-40, -50], [80, 90]), turned([-48, -66], [93, 107])),
    ]
    # Turns: 1 2 4 8 16; directions: 5 7 11 13 17. The other clip's, up to its length: 58 86 51 72 and 93 97 75 73.
    found = agreement(loops)
    assert found["clips"] == 2
    assert found["loop"] == pytest.approx({"rotation_deg": 4.0, "direction_deg": 11.0})
    assert found["shuffled"] == pytest.approx({"rotation_deg": 65.0, "direction_deg": 84.0})


def test_poses_that_come_back_as_they_were_agree_and_those_of_another_clip_do_not() -> None:
    poses = [turned([k * 5.0, k * 9.0], [40.0 * k, 60.0 * k]) for k in range(1, 4)]
    found = agreement([Loop(p, p.copy()) for p in poses])
    assert found["loop"] == pytest.approx({"rotation_deg": 0.0, "direction_deg": 0.0}, abs=1e-6)
    # 1 to 2, 2 to 3 and 3 to 1 differ by 5 9, 5 9 and 10 18 in turn, by 40 60, 40 60 and 80 120 in direction.
    assert found["shuffled"] == pytest.approx({"rotation_deg": 9.0, "direction_deg": 60.0})


def test_turns_count_about_every_axis_and_sizes_do_not() -> None:
    asked = turned([5.0], [30.0])
    found = asked.copy()
    found[1, :3, :3] = asked[1, :3, :3] @ rotation_from_vector(np.radians(7.0) * np.array([0.6, 0.0, 0.8]))
    found[1, :3, 3] *= 9.0
    assert agreement([Loop(asked, found)])["loop"] == pytest.approx(
        {"rotation_deg": 7.0, "direction_deg": 0.0}, abs=1e-6
    )
    found[1, :3, 3] *= -1.0
    assert agreement([Loop(asked, found)])["loop"]["direction_deg"] == pytest.approx(180.0)


def test_procedural_clips_are_the_same_every_time_and_differ() -> None:
    clips = procedural_clips(2, 2)
    (images, camera), (others, other_camera) = clips
    again, same_camera = procedural_clips(1, 2)[0]
    assert camera == same_camera != other_camera
    assert (camera.width, camera.height) == (320, 240)
    assert len(images) == len(again) == len(others) == 2
    assert all(image.shape == (240, 320, 3) and image.dtype == np.uint8 and image.std() > 5 for image in images)
    np.testing.assert_array_equal(images, again)
    assert np.abs(images[0].astype(int) - others[0]).mean() > 5


# ---------------------------------------------------------------------------------------------------------- variants


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
    truth = turned([4.0, 9.0], [20.0, 50.0], [0.4, 1.0])
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
