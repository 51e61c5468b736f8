"""A fixed table to watch a run by: the same clips every time, from noise with a fixed seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ros2_raxels.model.denoiser import JointDenoiser
from ros2_raxels.training.batch import ClipBatch
from ros2_raxels.training.correspondences import sample_correspondences
from ros2_raxels.training.losses import pose_errors_deg, predict_poses

_SEED = 987_654_321


@dataclass(frozen=True)
class Validation:
    """Fixed batches by name."""

    batches: dict[str, ClipBatch]

    @classmethod
    def synthetic(cls, clips: int = 128, frames: int = 4, tracks: int = 256) -> Validation:
        """Clips of correspondences that no training step draws."""
        batch = sample_correspondences(_SEED, clips, frames, tracks)
        return cls({"synthetic": batch})

    def measure(self, model: JointDenoiser, steps: int = 1) -> dict[str, dict[str, float]]:
        """Medians and shares by batch."""
        device = next(model.parameters()).device
        return {name: _measure(model, batch.to(device), steps) for name, batch in self.batches.items()}

    def line(self, model: JointDenoiser) -> str:
        """`measure` in a line."""
        parts = []
        for name, m in self.measure(model).items():
            parts.append(f"{name} " + ", ".join(f"{key} {value:.3g}" for key, value in m.items()))
        return "; ".join(parts)


def _measure(model: JointDenoiser, batch: ClipBatch, steps: int) -> dict[str, float]:
    generator = torch.Generator(batch.known.device).manual_seed(_SEED)
    poses, evidence = predict_poses(model, batch, generator, steps=steps)
    rotation, direction = pose_errors_deg(poses, batch)
    result = {"rotation_deg": float(rotation.median()), "direction_deg": float(direction.median())}
    if evidence is not None:
        judged = (batch.tracks.seen * (1.0 - batch.tracks.anchor)) > 0
        result["inlier_auc"] = _auc(evidence.inlier[judged], batch.right[judged] > 0)
        unknown = batch.known == 0
        miss = (evidence.log_focal - batch.focal.log())[unknown].abs()
        result["focal_percent"] = 100 * float(miss.median()) if len(miss) else float("nan")
    return result


def _auc(score: Tensor, right: Tensor) -> float:
    """Chance that a right observation scores above a wrong one."""
    order = score.argsort().argsort().double()
    positive = right.double()
    wins = (order * positive).sum() - positive.sum() * (positive.sum() - 1) / 2
    return float(wins / (positive.sum() * (len(score) - positive.sum())).clamp(min=1.0))
