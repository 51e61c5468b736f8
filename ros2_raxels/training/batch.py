"""Batches of training: clips with their ground truth, as tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS
from ros2_raxels.model.denoiser import CAMERA_STEP, cell_centres
from ros2_raxels.model.rays import encode_rays


@dataclass(frozen=True, eq=False)
class Tracks:
    """Evidence of B clips of N frames, P tracks each: the batch of `ros2_raxels.matching.tracks.Evidence`.

    Attributes:
        plane: (B, P, N, 2) on the image plane at z = 1; 0 where not seen.
        place: (B, P, N, 2) in the image, -1 to 1 from edge to edge; 0 where not seen.
        seen: (B, P, N) 1 where the track was found (and at its anchor), else 0.
        anchor: (B, P, N) one-hot; all 0 for tracks that only pad the batch.
        is_flow: (B, P).
        score: (B, P, N) of the matcher.
        pixel: (B, N) size of a pixel of the working image on the plane, 1 / focal_px.
    """

    plane: Tensor
    place: Tensor
    seen: Tensor
    anchor: Tensor
    is_flow: Tensor
    score: Tensor
    pixel: Tensor


@dataclass(frozen=True, eq=False)
class RigFrames:
    """By which cameras of a rig, and when, the N frames of B clips were taken.

    Attributes:
        camera_to_base: (B, N, 4, 4) of the camera of each frame, m.
        moment, camera: (B, N) their numbers, from 0.
    """

    camera_to_base: Tensor
    moment: Tensor
    camera: Tensor

    @property
    def number(self) -> Tensor:
        """(B, N) place of a frame in the clip, as the model is told it; see `JointDenoiser.forward`."""
        return self.moment + CAMERA_STEP * self.camera


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """B clips of N frames, and the ground truth about them.

    Attributes:
        bearings: (B, N, rows, columns, 3) unit rays in each camera's own frame.
        camera_to_first: (B, N, 4, 4), furthest camera from the first at distance 1. Of a rig those of its base, m.
        focal: (B,) true focal length over the one that `tracks.plane` assumes; 1 where intrinsics are known.
        known: (B,) 1 where intrinsics are known.
        parallax_px: (B,) median image motion due to translation, working px; without it positions cannot be observed.
        tracks: evidence; None where none was looked for.
        right: (B, P, N) 1 where an observation is of the point that the anchor saw, else 0.
        video: (B, N, 3, H, W) -1 to 1, or None: clips without pixels.
        sources: how many of the first frames are given where others are to be generated.
        swept: (B, N - sources, K, 4, D, H, W) uint8, these frames swept into the others
            (`ros2_raxels.view_synthesis.plane_sweep`); None where no views are asked for.
        votes: (B, N - sources, D, H, W) float16, of points that the sources show
            (`ros2_raxels.view_synthesis.dense_points`); None where nothing was swept.
        plane: (B, N - sources, H, W) number of the sweep's plane that each pixel lies on, with fractions between two;
            NaN where unknown. None where nothing was swept.
        rig: where frames are those of several cameras; None of one camera.
    """

    bearings: Tensor
    camera_to_first: Tensor
    focal: Tensor
    known: Tensor
    parallax_px: Tensor
    tracks: Tracks | None = None
    right: Tensor | None = None
    video: Tensor | None = None
    sources: int = 1
    swept: Tensor | None = None
    votes: Tensor | None = None
    plane: Tensor | None = None
    rig: RigFrames | None = None

    def to(self, device: torch.device | str) -> ClipBatch:
        """The same on another device."""
        return _moved(self, device)

    @property
    def assumed_bearings(self) -> Tensor:
        """(B, N, rows, columns, 3) of the camera that the model is told: `bearings`, or those of the assumed focal."""
        scale = torch.stack([self.focal, self.focal, torch.ones_like(self.focal)], dim=-1)
        rays = self.bearings * scale[:, None, None, None]
        return torch.nn.functional.normalize(rays, dim=-1)

    @property
    def still_rays(self) -> Tensor:
        """(B, N, rows, columns, 3) raxels of each frame where its base has not moved: of one camera its `bearings`."""
        return self._mounted(self.bearings)

    @property
    def assumed_still_rays(self) -> Tensor:
        """The same of `assumed_bearings`."""
        return self._mounted(self.assumed_bearings)

    def _mounted(self, bearings: Tensor) -> Tensor:
        return bearings if self.rig is None else encode_rays(bearings, self.rig.camera_to_base)


_Record = TypeVar("_Record", bound="ClipBatch | Tracks | RigFrames")


def _moved(record: _Record, device: torch.device | str) -> _Record:
    """A dataclass of tensors on another device, nested ones included."""
    moved: dict[str, Any] = {}
    for f in fields(record):
        value = getattr(record, f.name)
        if isinstance(value, Tensor):
            moved[f.name] = value.to(device)
        elif isinstance(value, Tracks | RigFrames):
            moved[f.name] = _moved(value, device)
    return replace(record, **moved)


def grid_places(device: torch.device | str | None = None) -> Tensor:
    """(rows, columns, 2) centres of the raxel grid in the image, -1 to 1 from edge to edge: x, y."""
    return cell_centres(RAXEL_ROWS, RAXEL_COLUMNS, device).flip(-1)
