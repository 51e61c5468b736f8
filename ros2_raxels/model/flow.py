"""Time, noise, tasks and the sampler: the one place that knows them. Training passes tensors, serving arrays.

Time runs from 0 (pure noise) to 1 (clean data), for every frame of each modality by itself:
``x_t = (1 - t) noise + t data``. The network predicts the clean data; its velocity is ``(x_hat - x_t) / (1 - t)`` with
the denominator clipped at `LEAST_GAP`. Data, because raxels lie on a 12-dimensional family; noise and velocity do not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_Array = TypeVar("_Array", bound=Any)
_Prediction = TypeVar("_Prediction")

LEAST_GAP = 0.05
"""Smallest ``1 - t`` that anything is divided by."""

_VIDEO_MEAN, _VIDEO_SPREAD = -0.8, 0.8
# A frame's raxels have six degrees of freedom in hundreds of values. At moderate noise a pose can be read off the noisy
# rays themselves, so rays are mostly trained at higher noise.
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
    """``x_t``, with `time` (B, N) along the leading axes of the data."""
    t = _over(time, data)
    return (1.0 - t) * noise + t * data


def _over(time: Tensor, like: Tensor) -> Tensor:
    return time.reshape(*time.shape, *(1,) * (like.ndim - time.ndim))


def draw_times(
    task: Task, clips: int, frames: int, generator: torch.Generator, sources: int = 1
) -> tuple[Tensor, Tensor]:
    """Times (B, N) of video and of rays for one training step of a task, whose first `sources` frames are given."""
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
    """The steps + 1 times, evenly spaced from 0 to 1, between which the sampler steps.

    Raises:
        ValueError: fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"{steps} denoising steps; take 1 or more")
    return [k / steps for k in range(steps + 1)]


def step_towards(clean: _Array, x: _Array, now: float, later: float) -> _Array:
    """``x`` at a later time, on the straight path from the noise that it and the predicted clean data imply.

    A tuple of arrays, say rays and video, moves part by part.
    """
    path: Any
    if isinstance(x, tuple):
        path = tuple(step_towards(c, part, now, later) for c, part in zip(clean, x, strict=True))
    else:
        path = clean + (1.0 - later) / max(1.0 - now, LEAST_GAP) * (x - clean)
    return cast(_Array, path)


def sample(
    predict: Callable[[_Array, float], _Prediction],
    noise: _Array,
    steps: int,
    clean: Callable[[_Prediction], _Array] | None = None,
    begin: float = 0.0,
) -> Iterator[_Prediction]:
    """Denoise in a few steps, and yield what is predicted at each; the last one is the sample.

    Steps are taken as they are asked for, so whoever stops asking has cancelled the rest:
    ``*_, sampled = sample(...)`` takes them all.

    Args:
        predict: what the model says of ``(x_t, t)``, and whatever is done to it before the next step, such as guidance.
        noise: x_0, or x at the time of `begin`. An array, or a tuple of arrays that are denoised side by side.
        steps: number of predictions.
        clean: the part of a prediction that is the clean data, shaped like `noise`; None where it is that itself.
        begin: time at which `noise` stands; the steps divide what is left of the way to 1.

    Raises:
        ValueError: fewer than one step.
    """
    times = [begin + (1.0 - begin) * time for time in schedule(steps)]

    def walk() -> Iterator[_Prediction]:
        x = noise
        for now, later in itertools.pairwise(times):
            prediction = predict(x, now)
            yield prediction
            end: Any = prediction if clean is None else clean(prediction)
            x = step_towards(end, x, now, later)

    return walk()
