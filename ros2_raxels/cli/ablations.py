"""How much each part of the method contributes: ``python -m ros2_raxels.cli.ablations REPORT.json [PIXEL_DIR]``.

Small models, the same data, the same number of steps; one part left out at a time.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ros2_raxels.evaluation.machine.machine import machine
from ros2_raxels.model.presets import PRESETS, ModelSize
from ros2_raxels.training.checkpoint import Progress
from ros2_raxels.training.draws import Draws
from ros2_raxels.training.loop import Trainer, TrainSettings
from ros2_raxels.training.losses import LossWeights
from ros2_raxels.training.pixels import PixelClips
from ros2_raxels.training.validation import Validation
from ros2_raxels.utils.files import write_json

STEPS, CLIPS = 1200, 32
SIZE = replace(PRESETS["compact"], width=64, heads=4, evidence_blocks=2, joint_blocks=2, sweep_width=16)

POSES: dict[str, tuple[ModelSize, LossWeights]] = {
    "as shipped": (SIZE, LossWeights()),
    "without the cosine term": (SIZE, LossWeights(cosine=0.0)),
    "without the pose loss": (SIZE, LossWeights(pose=0.0)),
    "Pluecker rays": (replace(SIZE, pluecker=True), LossWeights()),
}
"""Trained on correspondences alone: there the ray branch works by itself."""

PIXELS: dict[str, tuple[ModelSize, LossWeights]] = {
    "decoupled attention": (SIZE, LossWeights()),
    "joined attention": (replace(SIZE, decoupled=False), LossWeights()),
}
"""Trained on pixels too: only there do the branches meet."""


def measure(size: ModelSize, weights: LossWeights, pixels: PixelClips | None, check: Validation) -> dict[str, Any]:
    """Train one variant and measure it on clips that it has not seen."""
    settings = TrainSettings(minutes=1e6, steps=STEPS, weights=weights)
    with tempfile.TemporaryDirectory() as folder:
        draw = Draws(0, CLIPS, "cpu", pixels, size)
        trainer = Trainer(size, draw, Path(folder), settings, Progress(preset="ablation"))
        progress = trainer.run()
        return {**check.measure(trainer.averaged()), "steps": progress.step, "minutes": progress.trained_s / 60}


def main(arguments: Sequence[str]) -> int:
    """Train and measure all variants, and write the report after each."""
    if not 1 <= len(arguments) <= 2:
        print("usage: python -m ros2_raxels.cli.ablations REPORT.json [PIXEL_DIR]", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    report: dict[str, Any] = {"machine": machine(), "clips": CLIPS, "size": asdict(SIZE), "variants": {}}
    check = Validation.synthetic(clips=512)
    for name, (size, weights) in POSES.items():
        report["variants"][name] = measure(size, weights, None, check)
        write_json(Path(arguments[0]), report, indent=1)
    for name, (size, weights) in PIXELS.items() if len(arguments) > 1 else ():
        folder = Path(arguments[1])
        views = check.with_views(PixelClips([folder], SIZE.video_size_px[1], held_out=True), size)
        report["variants"][name] = measure(size, weights, PixelClips([folder], SIZE.video_size_px[1]), views)
        write_json(Path(arguments[0]), report, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
