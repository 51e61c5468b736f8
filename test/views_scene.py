"""A textured plane whose views are known analytically, and tiny models that predict them."""

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
from ros2_raxels.view_synthesis.confidence import Signs
from ros2_raxels.view_synthesis.plane_sweep import inverse_depths

if TYPE_CHECKING:
    import torch

    from ros2_raxels.engine import TensorSpec
    from ros2_raxels.model.denoiser import JointDenoiser
    from ros2_raxels.training.validation import Validation
    from ros2_raxels.view_synthesis.predictor import ViewPredictor

_WAVES = np.array([[1.0, 0.2, 0.0], [0.7, 0.9, 1.7], [0.75, -0.8, 0.6], [1.9, -0.7, 2.3]])
"""Wave numbers along x and y, and phase. They have no common period, so that no two shifts look alike."""

_CONTRAST = np.array([30.0, 25.0, -18.0])
"""Grey levels of a wave in red, green and blue: one pattern for all, so that luma and colour show the same depth."""


def shifted(x: float = 0.0, y: float = 0.0, z: float = 0.0, *, turn_deg: Sequence[float] = (0, 0, 0)) -> FloatArray:
    """A camera's pose, 4x4, from its position and a rotation vector."""
    return make_pose(rotation_from_vector(np.radians(turn_deg)), (x, y, z))


@dataclass(frozen=True)
class TexturedPlane:
    """The plane ``z = depth`` of the world with smooth colours; rays that do not hit it are black.

    Attributes:
        depth: of the plane.
        unit: of length; the whole world scales with it.
        detail: radians of the longest wave across a field of 45 degrees, seen from `depth` away.
    """

    depth: float
    unit: float = 1.0
    detail: float = 12.0

    def view(self, camera: PinholeCamera, camera_to_world: FloatArray) -> ImageArray:
        """(H, W, 3) uint8 view of a camera, exact to half a grey level."""
        rays = camera.bearings() @ camera_to_world[:3, :3].T
        with np.errstate(divide="ignore"):
            far = (self.depth * self.unit - camera_to_world[2, 3]) / rays[..., 2]
        hit = camera_to_world[:2, 3] + np.where(far > 0, far, 0.0)[..., None] * rays[..., :2]
        waves = np.sin(self.detail / (self.depth * self.unit) * hit @ _WAVES[:, :2].T + _WAVES[:, 2])
        colours = 127.5 + waves.sum(axis=-1, keepdims=True) * _CONTRAST
        return np.where((far > 0)[..., None], colours.round(), 0).astype(np.uint8)

    def views(self, camera: PinholeCamera, camera_to_world: FloatArray) -> list[ImageArray]:
        """One view for each pose."""
        return [self.view(camera, pose) for pose in camera_to_world]


def depth_of_plane(camera: PinholeCamera, baseline: float, planes: int, index: int) -> float:
    """Depth of a plane of the sweep, by its index."""
    return float(1.0 / inverse_depths(camera, baseline, planes)[index])


def psnr_db(found: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Peak signal-to-noise ratio of 8-bit images."""
    error = np.asarray(found, float) - np.asarray(truth, float)
    return float(10 * np.log10(255.0**2 / np.mean(error**2)))


def signs_of(count: int, seed: int = 0) -> Signs:
    """Signs of views as models have them, drawn at random; not checked."""
    rng = np.random.default_rng(seed)
    return Signs(
        expected_error=np.exp(rng.normal(-2.3, 0.7, count)),
        made_up=rng.uniform(0, 1, count),
        agreed=rng.uniform(0, 1, count),
        spread=rng.uniform(0, 0.1, count),
    )


# --------------------------------------------------------------------------------------------------------- models


def fresh_model() -> JointDenoiser:
    """An untrained model, whose views are those of plane-sweep stereo."""
    torch = pytest.importorskip("torch")
    from ros2_raxels.model.denoiser import JointDenoiser
    from ros2_raxels.model.presets import PRESETS

    torch.manual_seed(0)
    return JointDenoiser(PRESETS["tiny"]).eval()


def perturbed_model() -> JointDenoiser:
    """A model without zero weights, so that every input counts."""
    model = fresh_model()
    perturb(model)
    return model


def perturb(module: torch.nn.Module, spread: float = 0.1) -> None:
    """Change all weights at random, the same way every time."""
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(spread * torch.randn(p.shape, generator=generator))


class TorchEngine:
    """An engine that needs no export, which takes half a minute a model. Exported graphs have a test of their own."""

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
    """Engines by role, as in a card."""
    from ros2_raxels.training import export

    assert model.sweep is not None
    return {
        "sweep": TorchEngine(export.SweepGraph(model.sweep), export.SWEEP_INPUTS, export.SWEEP_OUTPUTS),
        "joint": TorchEngine(export.JointGraph(model), export.JOINT_INPUTS, export.JOINT_OUTPUTS),
    }


def predictor_of(model: JointDenoiser) -> ViewPredictor:
    """A predictor that runs a torch model."""
    from ros2_raxels.engine.model_card import ModelCard
    from ros2_raxels.model.rays import RAY_SPREAD
    from ros2_raxels.view_synthesis.predictor import ViewPredictor

    card = ModelCard("torch", "tiny", {}, RAY_SPREAD, {}, size=model.size.record())
    engines = engines_of(model)
    return ViewPredictor(card, engines["sweep"], engines["joint"])


def exported_card(factory: pytest.TempPathFactory) -> Path:
    """The card of `perturbed_model`, exported once in a run of pytest for all test files.

    It is the averaged weights that are exported; the others in the checkpoint are those of `fresh_model`.
    """
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
        progress = checkpoint.Progress(step=12, clips=34, has_pixels=True, preset="tiny", data="nothing")
        average = perturbed_model().state_dict()
        checkpoint.save(run, model, model.size, average, torch.optim.Adam(model.parameters()), progress)
        export(run, folder, "tiny", validation_of_the_card())
    return card


def validation_of_the_card() -> Validation:
    """What the exported card was measured on."""
    from ros2_raxels.training.correspondences import sample_correspondences
    from ros2_raxels.training.validation import Validation

    return Validation({"few": sample_correspondences(0, 12, 3, 32)})
