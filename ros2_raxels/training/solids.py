"""Batches of worlds made of a room and solids, for casting rays: they have depth, but no appearance.

Each clip has its own world: the inside of a box of any proportions (distant walls make it open), boxes and balls.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_FAR = 1e4
_NEAR = 1e-4


@dataclass(frozen=True, eq=False)
class Solids:
    """B worlds. Axes of the first camera (x right, y down, z forward); any unit.

    Attributes:
        room: (B, 3, 3) rotation of its axes into the world; `room_low`, `room_high` (B, 3) its sides along them.
        box: (B, K, 3, 3) rotations; `box_centre` (B, K, 3), `box_half` (B, K, 3).
        ball_centre: (B, S, 3); `ball_radius` (B, S).
    """

    room: Tensor
    room_low: Tensor
    room_high: Tensor
    box: Tensor
    box_centre: Tensor
    box_half: Tensor
    ball_centre: Tensor
    ball_radius: Tensor

    def depth(self, origin: Tensor, direction: Tensor) -> Tensor:
        """(B, R) distance from `origin` (B, R, 3) to the first surface, in lengths of `direction` (B, R, 3)."""
        nearest = _leave(
            torch.einsum("bji,brj->bri", self.room, origin),
            torch.einsum("bji,brj->bri", self.room, direction),
            self.room_low[:, None],
            self.room_high[:, None],
        )
        offset = origin[:, :, None] - self.box_centre[:, None]
        local = torch.einsum("bkji,brkj->brki", self.box, offset)
        along = torch.einsum("bkji,brj->brki", self.box, direction)
        nearest = torch.minimum(nearest, _enter(local, along, self.box_half[:, None]).amin(dim=-1))
        return torch.minimum(nearest, _meet_balls(origin, direction, self.ball_centre, self.ball_radius))


def _safe(direction: Tensor) -> Tensor:
    return torch.where(direction.abs() < 1e-9, torch.full_like(direction, 1e-9), direction)


def _leave(origin: Tensor, direction: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Distance to the sides of a box around the origin; far for an origin outside."""
    # The sign is that of the divisor: a ray parallel to a side never meets it.
    along = _safe(direction)
    step = torch.where(along > 0, high - origin, low - origin) / along
    distance = step.amin(dim=-1)
    return torch.where(distance > _NEAR, distance, torch.full_like(distance, _FAR))


def _enter(origin: Tensor, direction: Tensor, half: Tensor) -> Tensor:
    """Distance to boxes from outside; far where they are missed."""
    inverse = 1.0 / _safe(direction)
    low, high = (-half - origin) * inverse, (half - origin) * inverse
    enter = torch.minimum(low, high).amax(dim=-1)
    leave = torch.maximum(low, high).amin(dim=-1)
    return torch.where((enter < leave) & (enter > _NEAR), enter, torch.full_like(enter, _FAR))


def _meet_balls(origin: Tensor, direction: Tensor, centre: Tensor, radius: Tensor) -> Tensor:
    offset = origin[:, :, None] - centre[:, None]
    a = (direction * direction).sum(-1)[..., None]
    b = (offset * direction[:, :, None]).sum(-1)
    c = (offset * offset).sum(-1) - radius[:, None] ** 2
    root = b * b - a * c
    distance = (-b - root.clamp(min=0).sqrt()) / a
    return torch.where((root > 0) & (distance > _NEAR), distance, torch.full_like(distance, _FAR)).amin(dim=-1)


def random_solids(generator: torch.Generator, clips: int, boxes: int = 6, balls: int = 3) -> Solids:
    """Draw worlds; nearby solids lie in front of the first camera, at depths around 1."""
    device = generator.device

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device) * (high - low) + low

    def log_uniform(*shape: int, low: float, high: float) -> Tensor:
        return torch.exp(uniform(*shape) * (torch.tensor(high / low).log().item())) * low

    open_side = (uniform(clips, 6) < 0.35) * log_uniform(clips, 6, low=5.0, high=100.0) + 1.0
    side = log_uniform(clips, 6, low=0.5, high=3.0) * open_side
    # There is never a wall right in front of the camera.
    side[:, 5] = side[:, 5].clamp(min=0.8)
    centre = _ahead(uniform(clips, boxes + balls, 3), depth=log_uniform(clips, boxes + balls, low=0.5, high=4.0))
    size = log_uniform(clips, boxes + balls, low=0.05, high=0.7)
    # Some worlds are crowded, some empty: solids that are not wanted are put far behind.
    absent = uniform(clips, boxes + balls) > uniform(clips, 1)
    centre = torch.where(absent[..., None], torch.tensor([0.0, 0.0, -_FAR], device=device), centre)
    half = size[:, :boxes, None] * log_uniform(clips, boxes, 3, low=0.15, high=1.5)
    return Solids(
        rotations_of(uniform(clips, 1, 3, low=-1.0, high=1.0) * torch.tensor([0.4, 3.1, 0.15], device=device))[:, 0],
        -side[:, :3],
        side[:, 3:],
        rotations_of(uniform(clips, boxes, 3, low=-1.0, high=1.0) * torch.tensor([0.5, 3.1, 0.5], device=device)),
        centre[:, :boxes],
        half,
        centre[:, boxes:],
        size[:, boxes:] * 0.6,
    )


def _ahead(share: Tensor, depth: Tensor) -> Tensor:
    spread = torch.stack([(share[..., 0] - 0.5) * 1.6, (share[..., 1] - 0.4) * 1.2, torch.ones_like(depth)], dim=-1)
    return spread * depth[..., None]


def rotations_of(vectors: Tensor) -> Tensor:
    """(..., 3, 3) from rotation vectors (..., 3)."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*x.shape, 3, 3)
    rotations: Tensor = torch.linalg.matrix_exp(skew)
    return rotations
