"""Checkpoint to ONNX: the graphs that serving runs, their weights, and the card that says what they are."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from ros2_raxels.engine.model_card import MIXED, Graph, ModelCard, sha256
from ros2_raxels.engine.onnx_file import write_onnx
from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS
from ros2_raxels.model.denoiser import JointDenoiser
from ros2_raxels.model.graphs import (
    JOINT_INPUTS,
    JOINT_OUTPUTS,
    RAY_INPUTS,
    RAY_OUTPUTS,
    SWEEP_INPUTS,
    SWEEP_OUTPUTS,
    TOKEN_OUTPUTS,
    TRACK_INPUTS,
    EncodeGraph,
    JointGraph,
    RayGraph,
    SweepGraph,
)
from ros2_raxels.model.presets import ModelSize
from ros2_raxels.model.rays import RAY_SPREAD
from ros2_raxels.training import checkpoint
from ros2_raxels.training.correspondences import sample_correspondences
from ros2_raxels.training.validation import Validation
from ros2_raxels.utils.files import FileError, write_json


@dataclass(frozen=True)
class Parts:
    """Which graphs of a model are exported.

    Attributes:
        poses: the graphs of tracks and rays.
        views: those of the sweep and of rays and video together.
        mixed: each of them in half precision too, for GPUs.
    """

    poses: bool = True
    views: bool = True
    mixed: bool = True


def export(
    run: Path, folder: Path, name: str, validation: Validation | None = None, parts: Parts | None = None
) -> ModelCard:
    """Export the averaged weights of a checkpoint.

    Args:
        run: a checkpoint file.
        folder: where ``NAME.json``, its graphs and its weights go.
        name: of the model.
        validation: what to measure for the card, as numbers to expect.
        parts: what to export; None is all that the checkpoint was trained for.

    Raises:
        FileError: the checkpoint cannot be read, the folder cannot be written, or views are asked for and the
            checkpoint was trained without pixels.
    """
    size, progress, tensors = checkpoint.load(run)
    model = JointDenoiser(size)
    model.load_state_dict(checkpoint.part(tensors, "average"))
    model.eval()
    parts = parts or Parts(views=progress.has_pixels)
    if parts.views and (model.sweep is None or not progress.has_pixels):
        raise FileError(
            f"{run} was trained without pixels and makes no views; export poses alone, or train on --pixels"
        )
    graphs = _graphs(model, folder, name, parts)
    if parts.views and model.sweep is not None:
        graphs["sweep"] = _sweep_graph(SweepGraph(model.sweep), size, folder / f"{name}_sweep.onnx")
        if parts.mixed:
            for_gpus = SweepGraph(model.sweep, numbers_first=True)
            graphs[f"sweep{MIXED}"] = _sweep_graph(for_gpus, size, folder / f"{name}_mixed_sweep.onnx")
    for role, graph in _graphs(_mixed(model), folder, f"{name}_mixed", parts).items() if parts.mixed else ():
        graphs[f"{role}{MIXED}"] = replace(graph, precision="mixed")
    trained = {key: value for key, value in asdict(progress).items() if key != "preset"}
    expected = {} if validation is None else validation.measure(model)
    weights = folder / f"{name}.safetensors"
    checkpoint.save_weights(weights, size, checkpoint.part(tensors, "average"), progress)
    card = ModelCard(
        name,
        progress.preset,
        graphs,
        RAY_SPREAD,
        trained,
        expected=expected,
        size=size.record(),
        weights=Graph(weights.name, sha256(weights), "half"),
    )
    write_json(folder / f"{name}.json", card.record(), indent=1)
    return card


def _graphs(model: JointDenoiser, folder: Path, name: str, parts: Parts) -> dict[str, Graph]:
    graphs = {}
    if parts.poses:
        graphs["encode"] = _encode_graph(model, folder / f"{name}_encode.onnx")
        graphs["rays"] = _ray_graph(model, folder / f"{name}_rays.onnx")
    if parts.views:
        graphs["joint"] = _joint_graph(model, folder / f"{name}_joint.onnx")
    return graphs


class _HalfLinear(nn.Module):
    """A matrix product in half precision. What its result is added to decides the precision from there on."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.half(), requires_grad=False)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.half(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., outputs)."""
        return nn.functional.linear(x.half(), self.weight, self.bias)


def _mixed(model: JointDenoiser) -> JointDenoiser:
    """A copy with matrix products in half precision; norms, softmax, convolutions and residual sums stay in single."""
    copy = deepcopy(model)
    for module in list(copy.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, _HalfLinear(child))
    return copy


def _encode_graph(model: JointDenoiser, path: Path) -> Graph:
    tracks = sample_correspondences(0, 1, 4, 300).tracks
    arguments = (*(getattr(tracks, name) for name in TRACK_INPUTS[:-1]), torch.ones(1))
    p, n = Dim("tracks", min=2, max=4096), Dim("frames", min=2, max=64)
    both, per_track = {1: p, 2: n}, {1: p}
    shapes: tuple[dict[int, Any], ...] = (both, both, both, both, per_track, both, {1: n}, {})
    return write_onnx(EncodeGraph(model).eval(), arguments, TRACK_INPUTS, TOKEN_OUTPUTS, shapes, path)


def _ray_graph(model: JointDenoiser, path: Path) -> Graph:
    size = model.size
    head = size.width // size.heads
    arguments = (
        torch.randn(3, 4, RAXEL_ROWS, RAXEL_COLUMNS, size.ray_channels),
        torch.zeros(3, 4),
        torch.randn(1, 4, RAXEL_ROWS, RAXEL_COLUMNS, 3),
        torch.ones(1),
        torch.randn(1, 300, size.width),
        torch.randn(2, 1, 1, 300, head // 2),
        torch.zeros(1, 1, 1, 300),
    )
    h, n, p = Dim("hypotheses", min=1, max=256), Dim("frames", min=2, max=64), Dim("tracks", min=2, max=4096)
    shapes: tuple[dict[int, Any], ...] = ({0: h, 1: n}, {0: h, 1: n}, {1: n}, {}, {1: p}, {3: p}, {3: p})
    return write_onnx(RayGraph(model).eval(), arguments, RAY_INPUTS, RAY_OUTPUTS, shapes, path)


def _sweep_graph(graph: SweepGraph, size: ModelSize, path: Path) -> Graph:
    shape = (2, size.sweep_contexts, 4, size.sweep_depths, 48, 64)
    arguments = (torch.randint(255, shape, dtype=torch.uint8), torch.rand(shape[0], *shape[3:]))
    t = Dim("views", min=1, max=64)
    h, w = 16 * Dim("rows_16", min=1, max=32), 16 * Dim("columns_16", min=1, max=32)
    shapes: tuple[dict[int, Any], ...] = ({0: t, 4: h, 5: w}, {0: t, 2: h, 3: w})
    return write_onnx(graph.eval(), arguments, SWEEP_INPUTS, SWEEP_OUTPUTS, shapes, path)


def _joint_graph(model: JointDenoiser, path: Path) -> Graph:
    size, frames, shape = model.size, 4, (48, 64)
    grid = (1, frames, RAXEL_ROWS, RAXEL_COLUMNS)
    video = torch.randn(1, frames, 3, *shape)
    plain = torch.randn(1, frames, *shape)
    time = torch.rand(1, frames)
    rays, bearings = torch.randn(*grid, size.ray_channels), torch.randn(*grid, 3)
    one = torch.ones(1)
    arguments = (rays, time, bearings, one, video, time.clone(), video.clone(), plain, plain.clone(), one.clone())
    n = Dim("frames", min=2, max=64)
    h, w = size.video_patch_px * Dim("rows", min=1, max=64), size.video_patch_px * Dim("columns", min=1, max=64)
    pictures, planes = {1: n, 3: h, 4: w}, {1: n, 2: h, 3: w}
    per_frame: dict[int, Any] = {1: n}
    shapes: tuple[dict[int, Any], ...] = (
        per_frame,
        per_frame,
        per_frame,
        {},
        pictures,
        per_frame,
        pictures,
        planes,
        planes,
        {},
    )
    return write_onnx(JointGraph(model).eval(), arguments, JOINT_INPUTS, JOINT_OUTPUTS, shapes, path)
