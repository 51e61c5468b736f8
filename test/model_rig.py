"""Small denoisers, and cameras, rays, video and tracks for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose
from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS

torch = pytest.importorskip("torch")


from ros2_raxels.model.denoiser import Denoised, JointDenoiser, TrackTokens  # noqa: E402
from ros2_raxels.model.presets import PRESETS, ModelSize  # noqa: E402
from ros2_raxels.model.sweep import SweptViews  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

TINY = replace(PRESETS["tiny"], video_size_px=(32, 48))

TRACK_NAMES = ("plane", "place", "seen", "anchor", "is_flow", "score", "pixel", "known")


def cameras(seed: int, count: int = 6) -> tuple[FloatArray, FloatArray]:
    """Bearings (N, rows, columns, 3) of different lenses, and poses (N, 4, 4) of any rotation."""
    rng = np.random.default_rng(seed)
    bearings, poses = [], []
    for fov_deg in np.linspace(30.0, 100.0, count):
        focal = 160 / np.tan(np.radians(fov_deg) / 2)
        bearings.append(PinholeCamera(320, 240, focal, focal, 150.0, 125.0).bearings(RAXEL_ROWS, RAXEL_COLUMNS))
        poses.append(make_pose(Rotation.random(random_state=rng).as_matrix(), rng.uniform(-1, 1, 3)))
    return np.array(bearings), np.array(poses)


def model_of(size: ModelSize, seed: int = 0) -> JointDenoiser:
    """With heads and modulation that are not zero."""
    torch.manual_seed(seed)
    model = JointDenoiser(size)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    return model.eval()


def inputs_of(size: ModelSize, clips: int = 2, frames: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Rays, times, bearings and known."""
    g = torch.Generator().manual_seed(seed)
    grid = (clips, frames, RAXEL_ROWS, RAXEL_COLUMNS)
    bearings = torch.nn.functional.normalize(torch.randn(*grid, 3, generator=g), dim=-1)
    return {
        "rays": torch.randn(*grid, size.ray_channels, generator=g),
        "ray_time": torch.rand(clips, frames, generator=g),
        "bearings": bearings,
        "known": torch.tensor([1.0, 0.0] * clips)[:clips],
    }


def video_of(size: ModelSize, clips: int = 2, frames: int = 3, seed: int = 1) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "video": torch.rand(clips, frames, 3, *size.video_size_px, generator=g) * 2 - 1,
        "video_time": torch.rand(clips, frames, generator=g),
    }


def swept_of(size: ModelSize, clips: int = 2, frames: int = 3, seed: int = 4) -> SweptViews:
    g = torch.Generator().manual_seed(seed)
    colour = torch.rand(clips, frames, 3, *size.video_size_px, generator=g) * 2 - 1
    gate = torch.randn(clips, frames, *size.video_size_px, generator=g)
    return SweptViews(colour, gate, gate.flip(1), torch.ones(clips))


def tracks_of(clips: int = 2, tracks: int = 9, frames: int = 3, seed: int = 2) -> dict[str, Tensor]:
    """In the order of `TRACK_NAMES`; seen in two frames of three."""
    g = torch.Generator().manual_seed(seed)
    anchor = torch.nn.functional.one_hot(torch.randint(frames, (clips, tracks), generator=g), frames).float()
    seen = torch.maximum(anchor, (torch.rand(clips, tracks, frames, generator=g) < 0.6).float())
    return {
        "plane": (torch.rand(clips, tracks, frames, 2, generator=g) - 0.5) * seen[..., None],
        "place": (torch.rand(clips, tracks, frames, 2, generator=g) * 2 - 1) * seen[..., None],
        "seen": seen,
        "anchor": anchor,
        "is_flow": (torch.rand(clips, tracks, generator=g) < 0.5).float(),
        "score": torch.rand(clips, tracks, frames, generator=g) * seen,
        "pixel": torch.full((clips, frames), 0.004),
        "known": torch.tensor([1.0, 0.0] * clips)[:clips],
    }


def encoded(model: JointDenoiser, tracks: dict[str, Tensor]) -> TrackTokens:
    tokens = model.encode(*(tracks[name] for name in TRACK_NAMES))
    assert tokens is not None
    return tokens


@torch.no_grad()
def denoise(model: JointDenoiser, inputs: dict[str, Tensor], tracks: dict[str, Tensor] | None = None) -> Denoised:
    out: Denoised = model(**inputs, evidence=None if tracks is None else encoded(model, tracks))
    return out


def assert_alike(a: Tensor, b: Tensor, atol: float = 2e-5) -> None:
    torch.testing.assert_close(a, b, atol=atol, rtol=0.0)
