"""A fixed set of measurements to follow a run by: the same clips every time, from noise with a fixed seed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ros2_raxels.model.denoiser import JointDenoiser
from ros2_raxels.model.flow import Task
from ros2_raxels.model.presets import ModelSize
from ros2_raxels.training.batch import ClipBatch
from ros2_raxels.training.correspondences import sample_correspondences, sample_rig_correspondences
from ros2_raxels.training.losses import known_views, pose_errors_deg, predict_poses, predict_views
from ros2_raxels.training.pixels import PixelClips

_SEED = 987_654_321


@dataclass(frozen=True)
class Validation:
    """Fixed batches, by name, that poses and views are measured on."""

    batches: dict[str, ClipBatch]
    views: dict[str, ClipBatch] = field(default_factory=dict)

    @classmethod
    def synthetic(cls, clips: int = 128, frames: int = 4, tracks: int = 256) -> Validation:
        """On clips of correspondences that no training step draws."""
        batch = sample_correspondences(_SEED, clips, frames, tracks)
        return cls({"synthetic": batch})

    def with_rigs(self, clips: int = 128, moments: int = 2, cameras: int = 2, tracks: int = 256) -> Validation:
        """The same, and clips of rigs that no training step draws."""
        drawn = sample_rig_correspondences(_SEED, clips, moments, cameras, tracks)
        return replace(self, batches={**self.batches, "rigs": drawn})

    def with_views(self, pixels: PixelClips, size: ModelSize, batches: int = 4, clips: int = 8) -> Validation:
        """The same, and views of clips that no training step draws."""
        drawn = {
            f"views {k}": pixels.draw(np.random.default_rng([_SEED, k]), clips, Task.VIEWS, size)
            for k in range(batches)
        }
        return replace(self, views=drawn)

    @torch.no_grad()
    def measure(self, model: JointDenoiser, steps: int = 1) -> dict[str, dict[str, float]]:
        """Medians, areas under the curve and PSNR, by name of the batch and of the measure."""
        device = next(model.parameters()).device
        measured = {name: _measure(model, batch.to(device), steps) for name, batch in self.batches.items()}
        if self.views:
            values = np.array([_measure_views(model, batch.to(device), steps) for batch in self.views.values()])
            measured["views"] = dict(
                zip(("psnr_db", "sweep_db", "repeat_db"), values.mean(axis=0).tolist(), strict=True)
            )
        return measured

    def line(self, model: JointDenoiser) -> str:
        """`measure`, as one line of text."""
        parts = []
        for name, m in self.measure(model).items():
            parts.append(f"{name} " + ", ".join(f"{key} {value:.3g}" for key, value in m.items()))
        return "; ".join(parts)


def _measure(model: JointDenoiser, batch: ClipBatch, steps: int) -> dict[str, float]:
    generator = torch.Generator(batch.known.device).manual_seed(_SEED)
    poses, evidence = predict_poses(model, batch, generator, steps=steps)
    rotation, direction = pose_errors_deg(poses, batch)
    result = {"rotation_deg": float(rotation.median()), "direction_deg": float(direction.median())}
    if evidence is not None and batch.tracks is not None and batch.right is not None:
        judged = (batch.tracks.seen * (1.0 - batch.tracks.anchor)) > 0
        result["inlier_auc"] = _auc(evidence.inlier[judged], batch.right[judged] > 0)
        unknown = batch.known == 0
        miss = (evidence.log_focal - batch.focal.log())[unknown].abs()
        result["focal_percent"] = 100 * float(miss.median()) if len(miss) else float("nan")
    return result


def _measure_views(model: JointDenoiser, batch: ClipBatch, steps: int) -> tuple[float, float, float]:
    """Mean PSNR, dB: of the model's views, of the sweep alone, and of the newest source repeated."""
    generator = torch.Generator(batch.known.device).manual_seed(_SEED)
    assert batch.video is not None
    truth = batch.video[:, batch.sources :]
    made = predict_views(model, batch, generator, steps)[:, batch.sources :]
    swept = known_views(model, batch)
    colour = made if swept is None else swept.colour[:, batch.sources :]
    return _psnr_db(made, truth), _psnr_db(colour, truth), _psnr_db(batch.video[:, :1].expand_as(truth), truth)


def _psnr_db(video: Tensor, truth: Tensor) -> float:
    square = ((video - truth) / 2.0).square().flatten(2).mean(dim=-1)
    return float((-10.0 * square.clamp(min=1e-6).log10()).mean())


def _auc(score: Tensor, right: Tensor) -> float:
    """Area under the ROC curve: the chance that a right observation scores above a wrong one."""
    order = score.argsort().argsort().double()
    positive = right.double()
    wins = (order * positive).sum() - positive.sum() * (positive.sum() - 1) / 2
    return float(wins / (positive.sum() * (len(score) - positive.sum())).clamp(min=1.0))
