"""Rays of posed cameras as the network sees them, and what their errors mean for a pose. Tensors, any device."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

_Function = TypeVar("_Function", bound=Callable[..., Any])

RAY_SPREAD = 0.4
"""Rays are divided by this after those of an unmoved camera are subtracted; the model card holds it."""

_DAMPING = 1e-6


def _exact(function: _Function) -> _Function:
    """Poses matter to hundredths of a degree, bfloat16 resolves tenths: geometry opts out of mixed precision."""

    @wraps(function)
    def run(rays: Tensor, *others: Any, **named: Any) -> Any:
        with torch.autocast(rays.device.type, enabled=False):
            return function(rays.float() if rays.dtype == torch.bfloat16 else rays, *others, **named)

    return cast(_Function, run)


@_exact
def encode_rays(bearings: Tensor, poses: Tensor, pluecker: bool = False) -> Tensor:
    """Raxels (..., rows, columns, 3) of poses (..., 4, 4): `geometry.encode_raxels` for tensors.

    With `pluecker` (..., 6): direction and moment ``t x d``, for comparison.
    """
    direction = torch.einsum("...ij,...rcj->...rci", poses[..., :3, :3], bearings)
    position = poses[..., None, None, :3, 3]
    if pluecker:
        return torch.cat([direction, torch.cross(position.expand_as(direction), direction, dim=-1)], dim=-1)
    return direction + position


def whiten(rays: Tensor, bearings: Tensor) -> Tensor:
    """Difference from the rays of an unmoved camera of known or assumed intrinsics, at about unit variance."""
    return (rays - _unmoved(rays, bearings)) / RAY_SPREAD


def unwhiten(rays: Tensor, bearings: Tensor) -> Tensor:
    """Inverse of `whiten`."""
    return rays * RAY_SPREAD + _unmoved(rays, bearings)


def _unmoved(rays: Tensor, bearings: Tensor) -> Tensor:
    if rays.shape[-1] == 3:
        return bearings
    return torch.cat([bearings, torch.zeros_like(bearings)], dim=-1)


@_exact
def pose_error(rays: Tensor, bearings: Tensor, poses: Tensor) -> tuple[Tensor, Tensor]:
    """First-order errors of the poses that rays decode to; they are linear in the rays, which suits a loss.

    Args:
        rays: (..., rows, columns, C) predicted, not whitened.
        bearings: (..., rows, columns, 3) true.
        poses: (..., 4, 4) true.

    Returns:
        Rotation vectors (..., 3), rad, and translations (..., 3) of the least-squares rigid motion that takes the true
        rays to the predicted ones (Procrustes, linearised at the truth).
    """
    true = encode_rays(bearings, poses, pluecker=rays.shape[-1] == 6)
    miss = (rays - true).flatten(-3, -2)
    direction = torch.einsum("...ij,...rcj->...rci", poses[..., :3, :3], bearings).flatten(-3, -2)
    turn, shift = -_skew(direction), torch.eye(3, device=rays.device).expand(*direction.shape, 3)
    jacobian = torch.cat([turn, shift], dim=-1)
    if rays.shape[-1] == 6:
        about = _skew(poses[..., None, :3, 3]) @ turn
        moment = torch.cat([about, -_skew(direction)], dim=-1)
        jacobian = torch.cat([torch.cat([turn, torch.zeros_like(turn)], dim=-1), moment], dim=-2)
    normal = torch.einsum("...rki,...rkj->...ij", jacobian, jacobian) + _DAMPING * torch.eye(6, device=rays.device)
    right = torch.einsum("...rki,...rk->...i", jacobian, miss)
    solution = torch.linalg.solve(normal, right)
    return solution[..., :3], solution[..., 3:]


def _skew(v: Tensor) -> Tensor:
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*x.shape, 3, 3)


@_exact
def decode_rays(rays: Tensor, bearings: Tensor) -> Tensor:
    """Poses (..., 4, 4) that rays (..., rows, columns, C) decode to; raxels by Procrustes, as `geometry.decode_raxels`.

    For Pluecker rays the rotation comes from the directions, and the position from the moments by least squares.
    """
    flat, bearing = rays.flatten(-3, -2), bearings.flatten(-3, -2)
    direction = flat[..., :3]
    pluecker = flat.shape[-1] == 6
    from_, to = bearing, direction
    if not pluecker:
        from_, to = bearing - bearing.mean(-2, keepdim=True), direction - direction.mean(-2, keepdim=True)
    u, _, vt = torch.linalg.svd(to.transpose(-1, -2) @ from_)
    flip = torch.ones(*u.shape[:-2], 3, device=rays.device, dtype=rays.dtype)
    flip[..., 2] = torch.linalg.det(u @ vt).sign()
    rotation = (u * flip[..., None, :]) @ vt
    turned = torch.einsum("...ij,...rj->...ri", rotation, bearing)
    if pluecker:
        jacobian = -_skew(turned)
        normal = torch.einsum("...rki,...rkj->...ij", jacobian, jacobian)
        position = torch.linalg.solve(normal, torch.einsum("...rki,...rk->...i", jacobian, flat[..., 3:]))
    else:
        position = (direction - turned).mean(dim=-2)
    pose = torch.eye(4, device=rays.device, dtype=rays.dtype).repeat(*rotation.shape[:-2], 1, 1)
    pose[..., :3, :3], pose[..., :3, 3] = rotation, position
    return pose
