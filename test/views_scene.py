"""A textured plane that is rendered analytically, and tiny models that make views of it: for the tests of views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.plane_sweep import inverse_depths

if TYPE_CHECKING:
    import torch

    from ros2_raxels.engine import TensorSpec
    from ros2_raxels.model.denoiser import JointDenoiser
    from ros2_raxels.view_synthesis.predictor import ViewPredictor

_WAVES = np.array([[1.0, 0.2, 0.0], [0.7, 0.9, 1.7], [0.75, -0.8, 0.6], [1.9, -0.7, 2.3]])
"""Along x and y, and phase; of no common period, so that no other shift looks alike."""

_CONTRAST = np.array([30.0, 25.0, -18.0])
"""Grey levels of a wave in red, green and blue: one pattern, so that where its luma shows a depth its colour does."""


def shifted(x: float = 0.0, y: float = 0.0, z: float = 0.0, *, turn_deg: Sequence[float] = (0, 0, 0)) -> FloatArray:
    """A camera's pose: where it is, and a rotation vector."""
    return make_pose(rotation_from_vector(np.radians(turn_deg)), (x, y, z))


@dataclass(frozen=True)
class TexturedPlane:
    """The plane ``z = depth`` of the world, smooth colours on it, black behind the camera.

    Attributes:
        depth: of it.
        unit: of length; all of the world grows with it.
        detail: radians of the longest wave for an angle of tangent one, seen from `depth` away.
    """

    depth: float
    unit: float = 1.0
    detail: float = 12.0

    def view(self, camera: PinholeCamera, camera_to_world: FloatArray) -> ImageArray:
        """(H, W, 3) what a camera sees, to half a grey level."""
        rays = camera.bearings() @ camera_to_world[:3, :3].T
        with np.errstate(divide="ignore"):
            far = (self.depth * self.unit - camera_to_world[2, 3]) / rays[..., 2]
        hit = camera_to_world[:2, 3] + np.where(far > 0, far, 0.0)[..., None] * rays[..., :2]
        waves = np.sin(self.detail / (self.depth * self.unit) * hit @ _WAVES[:, :2].T + _WAVES[:, 2])
        colours = 127.5 + waves.sum(axis=-1, keepdims=True) * _CONTRAST
        return np.where((far > 0)[..., None], colours.round(), 0).astype(np.uint8)

    def views(self, camera: PinholeCamera, camera_to_world: FloatArray) -> list[ImageArray]:
        """One for each pose."""
        return [self.view(camera, pose) for pose in camera_to_world]


def depth_of_plane(camera: PinholeCamera, baseline: float, planes: int, index: int) -> float:
    """Depth of a plane of the sweep."""
    return float(1.0 / inverse_depths(camera, baseline, planes)[index])


def psnr_db(found: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Of 8-bit images."""
    error = np.asarray(found, float) - np.asarray(truth, float)
    return float(10 * np.log10(255.0**2 / np.mean(error**2)))


# --------------------------------------------------------------------------------------------------------- models


def fresh_model() -> JointDenoiser:
    """Untrained: what it says of views is what plane-sweep stereo says."""
    torch = pytest.importorskip("torch")
    from ros2_raxels.model.denoiser import JointDenoiser
    from ros2_raxels.model.presets import PRESETS

    torch.manual_seed(0)
    return JointDenoiser(PRESETS["tiny"]).eval()


def perturbed_model() -> JointDenoiser:
    """With no weight at zero, so that every input counts."""
    model = fresh_model()
    perturb(model)
    return model


def perturb(module: torch.nn.Module, spread: float = 0.1) -> None:
    """Random changes to all weights, the same every time."""
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(spread * torch.randn(p.shape, generator=generator))


class TorchEngine:
    """An engine without export, which takes half a minute a model; that ONNX says the same is a test of its own."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def __init__(self, graph: torch.nn.Module, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        self._graph, self._inputs, self._outputs = graph.eval(), inputs, outputs

    def run(self, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        torch = pytest.importorskip("torch")
        assert arrays.keys() == set(self._inputs)
        with torch.no_grad():
            out = self._graph(*(torch.as_tensor(arrays[name]) for name in self._inputs))
        return {name: value.numpy() for name, value in zip(self._outputs, out, strict=True)}

    def describe(self) -> str:
        return "torch"


def engines_of(model: JointDenoiser) -> dict[str, TorchEngine]:
    """By role, as the graphs of a card."""
    from ros2_raxels.training import export

    assert model.sweep is not None
    return {
        "sweep": TorchEngine(export.SweepGraph(model.sweep), export.SWEEP_INPUTS, export.SWEEP_OUTPUTS),
        "joint": TorchEngine(export.JointGraph(model), export.JOINT_INPUTS, export.JOINT_OUTPUTS),
    }


def predictor_of(model: JointDenoiser) -> ViewPredictor:
    """A predictor that runs a model of torch."""
    from ros2_raxels.engine.model_card import ModelCard
    from ros2_raxels.model.rays import RAY_SPREAD
    from ros2_raxels.view_synthesis.predictor import ViewPredictor

    card = ModelCard("torch", "tiny", {}, RAY_SPREAD, {}, size=model.size.record())
    engines = engines_of(model)
    return ViewPredictor(card, engines["sweep"], engines["joint"])


def exported_card(factory: pytest.TempPathFactory) -> Path:
    """The card of `perturbed_model`, exported once in a run of pytest, for all files of tests."""
    torch = pytest.importorskip("torch")
    for module in ("onnxruntime", "onnxscript", "safetensors"):
        pytest.importorskip(module)
    from ros2_raxels.training import checkpoint
    from ros2_raxels.training.export import export

    folder = factory.getbasetemp() / "views_model"
    card = folder / "tiny.json"
    if not card.exists():
        folder.mkdir()
        model, run = fresh_model(), folder / "checkpoint.safetensors"
        progress = checkpoint.Progress(has_pixels=True, preset="tiny", data="nothing")
        average = perturbed_model().state_dict()
        checkpoint.save(run, model, model.size, average, torch.optim.Adam(model.parameters()), progress)
        export(run, folder, "tiny")
    return card
