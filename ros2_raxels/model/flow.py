"""Time, noise, tasks and the sampler: the one place that knows them. For tensors in training, for arrays in serving.

Time runs from 0 (pure noise) to 1 (clean data), for every frame of each modality by itself:
``x_t = (1 - t) noise + t data``. The network predicts the clean data; its velocity is ``(x_hat - x_t) / (1 - t)`` with
the denominator clipped at `LEAST_GAP`, because raxels lie on a 12-dimensional family that noise and velocity do not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_Array = TypeVar("_Array", bound=Any)

LEAST_GAP = 0.05
"""Smallest ``1 - t`` that a velocity is divided by."""

_VIDEO_MEAN, _VIDEO_SPREAD = -0.8, 0.8
# A frame's raxels have six degrees of freedom in hundreds of values: at moderate noise they can be read off the noise
# itself, so rays are trained where they cannot.
_RAY_MEAN, _RAY_SPREAD = -1.6, 0.9
_PURE_NOISE = 0.4
# Joint generation takes several steps, so the prior of trajectories is trained at all noise levels.
_PRIOR_MEAN, _PRIOR_SPREAD = -0.4, 1.2


class Task(Enum):
    """What is clean and what is noise."""

    POSE = "pose"
    """Video (or evidence alone) clean, rays noise."""
    VIEWS = "views"
    """The source frames and all rays clean, the other frames noise."""
    IMAGINE = "imagine"
    """The source frames clean, everything else noise."""


def blend(noise: Tensor, data: Tensor, time: Tensor) -> Tensor:
    """``x_t``; `time` (B, N) over leading axes."""
    t = _over(time, data)
    return (1.0 - t) * noise + t * data


def velocity(clean: Tensor, noisy: Tensor, time: Tensor) -> Tensor:
    """Velocity that leads from `noisy` (B, N, ...) at `time` (B, N) to `clean`."""
    return (clean - noisy) / (1.0 - _over(time, noisy)).clamp(min=LEAST_GAP)


def _over(time: Tensor, like: Tensor) -> Tensor:
    return time.reshape(*time.shape, *(1,) * (like.ndim - time.ndim))


def draw_times(
    task: Task, clips: int, frames: int, generator: torch.Generator, sources: int = 1
) -> tuple[Tensor, Tensor]:
    """Times (B, N) of video and rays for a training step of a task whose first `sources` frames are given."""
    import torch

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=generator.device)

    def logit_normal(mean: float, spread: float) -> Tensor:
        return torch.sigmoid(mean + spread * torch.randn(clips, generator=generator, device=generator.device))

    video = logit_normal(_VIDEO_MEAN, _VIDEO_SPREAD) * (draw(clips) >= _PURE_NOISE)
    rays = logit_normal(_RAY_MEAN, _RAY_SPREAD) * (draw(clips) >= _PURE_NOISE)
    prior = logit_normal(_PRIOR_MEAN, _PRIOR_SPREAD)
    one = torch.ones_like(rays)
    video, rays = {Task.POSE: (one, rays), Task.VIEWS: (video, one), Task.IMAGINE: (video, prior)}[task]
    times_video, times_rays = (t[:, None].repeat(1, frames) for t in (video, rays))
    if task is not Task.POSE:
        times_video[:, :sources] = 1.0
    return times_video, times_rays


def schedule(steps: int) -> list[float]:
    """Times from 0 to 1 at which the sampler stands, steps + 1 of them.

    Raises:
        ValueError: no step.
    """
    if steps < 1:
        raise ValueError(f"{steps} denoising steps; take 1 or more")
    return [k / steps for k in range(steps + 1)]


def step_towards(clean: _Array, x: _Array, now: float, later: float) -> _Array:
    """``x`` at a later time, on the straight path from the noise that it and the clean data predicted imply."""
    path: _Array = clean + (1.0 - later) / max(1.0 - now, LEAST_GAP) * (x - clean)
    return path


def sample(
    predict: Callable[[_Array, float], _Array],
    noise: _Array,
    steps: int,
    after: Callable[[_Array], _Array] | None = None,
    begin: float = 0.0,
) -> _Array:
    """Clean data from noise in a few steps.

    Args:
        predict: clean data from ``(x_t, t)``.
        noise: x_0, or x at the time of `begin`.
        steps: how many predictions.
        after: changes each prediction of clean data before the next step, for example guidance.
        begin: time that is left to be gone through from; 0 is all of it.
    """
    times = [begin + (1.0 - begin) * time for time in schedule(steps)]
    x, clean = noise, noise
    for now, later in itertools.pairwise(times):
        clean = predict(x, now)
        if after is not None:
            clean = after(clean)
        x = step_towards(clean, x, now, later)
    return clean
