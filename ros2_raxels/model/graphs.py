"""The graphs that serving runs, as torch modules: which part of a model each computes, and the names of its tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ros2_raxels.model.denoiser import JointDenoiser, TrackTokens
from ros2_raxels.model.sweep import SweepEncoder, SweptViews

TRACK_INPUTS = ("plane", "place", "seen", "anchor", "is_flow", "score", "pixel", "known")
TOKEN_OUTPUTS = ("tokens", "turn", "mask", "inlier", "log_focal")
RAY_INPUTS = ("rays", "ray_time", "bearings", "known", "tokens", "turn", "mask")
RAY_OUTPUTS = ("clean", "log_error")
SWEEP_INPUTS, SWEEP_OUTPUTS = ("swept", "votes"), ("colour", "gate", "log_error", "planes", "weights")
JOINT_INPUTS = (
    "rays",
    "ray_time",
    "bearings",
    "known",
    "video",
    "video_time",
    "colour",
    "gate",
    "colour_log_error",
    "given",
)
JOINT_OUTPUTS = ("clean", "log_error", "clean_video", "video_log_error", "made_up")


class EncodeGraph(nn.Module):
    """Tracks of one clip to tokens, and judgements of them; inputs and outputs are named by the tuples above."""

    def __init__(self, model: JointDenoiser) -> None:
        super().__init__()
        if model.encoder is None:
            raise ValueError("a model without evidence has no graph for it; export a preset with evidence_blocks > 0")
        self.encoder = model.encoder

    def forward(
        self,
        plane: Tensor,
        place: Tensor,
        seen: Tensor,
        anchor: Tensor,
        is_flow: Tensor,
        score: Tensor,
        pixel: Tensor,
        known: Tensor,
    ) -> tuple[Tensor, ...]:
        """`TRACK_INPUTS` to `TOKEN_OUTPUTS`."""
        return tuple(self.encoder(plane, place, seen, anchor, is_flow, score, pixel, known))


class RayGraph(nn.Module):
    """One denoising step of rays (H, ...) for hypotheses that share one clip (1, ...) and its evidence."""

    def __init__(self, model: JointDenoiser) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        rays: Tensor,
        ray_time: Tensor,
        bearings: Tensor,
        known: Tensor,
        tokens: Tensor,
        turn: Tensor,
        mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """`RAY_INPUTS` to `RAY_OUTPUTS`."""
        hypotheses = rays.shape[0]
        nothing = torch.zeros(0)
        out = self.model(
            rays,
            ray_time,
            bearings.expand(hypotheses, -1, -1, -1, -1),
            known.expand(hypotheses),
            TrackTokens(tokens, turn, mask, nothing, nothing),
        )
        return out.rays, out.log_error


class SweepGraph(nn.Module):
    """What context frames, swept into T target cameras, tell about the views; see `model.sweep`.

    Args:
        sweep: of the model.
        numbers_first: convert bytes to floats before anything else, because TensorRT does not compute with bytes. On a
            CPU this is a seventh slower, for the memory that it moves.
    """

    def __init__(self, sweep: SweepEncoder, *, numbers_first: bool = False) -> None:
        super().__init__()
        self.sweep, self.numbers_first = sweep, numbers_first

    def forward(self, swept: Tensor, votes: Tensor) -> tuple[Tensor, ...]:
        """`SWEEP_INPUTS` (T, K, 4, D, H, W) and (T, D, H, W) to `SWEEP_OUTPUTS` (T, ...)."""
        views = self.sweep((swept.float() if self.numbers_first else swept)[None], votes[None])
        assert views.planes is not None
        assert views.weights is not None
        return views.colour[0], views.gate[0], views.log_error[0], views.planes[0], views.weights[0]


class JointGraph(nn.Module):
    """One denoising step of rays and video of one clip without tracks."""

    def __init__(self, model: JointDenoiser) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        rays: Tensor,
        ray_time: Tensor,
        bearings: Tensor,
        known: Tensor,
        video: Tensor,
        video_time: Tensor,
        colour: Tensor,
        gate: Tensor,
        colour_log_error: Tensor,
        given: Tensor,
    ) -> tuple[Tensor, ...]:
        """`JOINT_INPUTS` to `JOINT_OUTPUTS`."""
        swept = SweptViews(colour, gate, colour_log_error, given)
        out = self.model(rays, ray_time, bearings, known, None, video, video_time, swept)
        return out.rays, out.log_error, out.video, out.video_log_error, out.made_up


def graph_of(model: JointDenoiser, role: str) -> tuple[nn.Module, tuple[str, ...], tuple[str, ...]]:
    """The graph of a role, and the names of its inputs and outputs.

    Raises:
        ValueError: the model has no such graph.
    """
    if role == "encode":
        return EncodeGraph(model), TRACK_INPUTS, TOKEN_OUTPUTS
    if role == "rays":
        return RayGraph(model), RAY_INPUTS, RAY_OUTPUTS
    if role == "joint":
        return JointGraph(model), JOINT_INPUTS, JOINT_OUTPUTS
    if role == "sweep" and model.sweep is not None:
        return SweepGraph(model.sweep), SWEEP_INPUTS, SWEEP_OUTPUTS
    raise ValueError(f"the model has no graph {role!r}")
