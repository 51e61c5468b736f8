"""The data of a training step, correspondences or clips with pixels, from the number of the step alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ros2_raxels.model.flow import Task
from ros2_raxels.model.presets import ModelSize
from ros2_raxels.training.correspondences import sample_correspondences, sample_rig_correspondences
from ros2_raxels.training.loop import Draw
from ros2_raxels.training.pixels import PixelClips

_FRAMES = (2, 3, 4, 4, 4, 5)
_RIG_FRAMES = ((2, 2), (2, 2), (3, 2), (2, 3))
"""Moments and cameras of a clip of a rig."""

_TRACKS = (96, 160, 224)
_PIXEL_SHARE = 0.9
"""Share of the steps, where there are clips with pixels; the rest are correspondences, so that poses stay learned."""
_PIXEL_TASKS, _PIXEL_TASK_SHARES = (Task.VIEWS, Task.IMAGINE, Task.POSE), (0.88, 0.08, 0.04)


@dataclass(frozen=True, eq=False)
class Draws:
    """Data of a step from its number alone, so that a resumed run goes on with the same data.

    Attributes:
        seed: of everything.
        clips: of correspondences a step. Steps with pixels have fewer, so that they cost as much.
        device: that correspondences are drawn on.
        pixels: clips with pixels; None without.
        size: of the model.
        rig_share: of the steps with correspondences, how many are of rigs.
    """

    seed: int
    clips: int
    device: str
    pixels: PixelClips | None = None
    size: ModelSize | None = None
    rig_share: float = 0.0

    def __call__(self, step: int, rank: int) -> Draw:
        """Data of one step of one process."""
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, step, rank]))
        if self.pixels is not None and self.size is not None and generator.random() < _PIXEL_SHARE:
            task = _PIXEL_TASKS[generator.choice(len(_PIXEL_TASKS), p=_PIXEL_TASK_SHARES)]
            clips = max(2, self.clips // (6 if task is Task.VIEWS else 2))
            return Draw(self.pixels.draw(generator, clips, task, self.size), task, with_evidence=False)
        frames, tracks = int(generator.choice(_FRAMES)), int(generator.choice(_TRACKS))
        seed = int(generator.integers(2**62))
        if self.rig_share and generator.random() < self.rig_share:
            moments, cameras = _RIG_FRAMES[generator.choice(len(_RIG_FRAMES))]
            return Draw(sample_rig_correspondences(seed, self.clips, moments, cameras, tracks, self.device), Task.POSE)
        return Draw(sample_correspondences(seed, self.clips, frames, tracks, self.device), Task.POSE)
