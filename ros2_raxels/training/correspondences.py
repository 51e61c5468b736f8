"""Clips of correspondences straight from geometry, without rendering: hundreds a second on one core.

The errors of a matcher on real frames are imitated: noise of half a pixel with heavy tails, keypoints matched to random
places, flow that slides by a few pixels, repeated texture, objects that move by themselves, gaps, and scores that
reflect all this. The numbers are those of `ros2_raxels.matching.matcher` on real clips (`docs/training.md`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS
from ros2_raxels.scenes.motion import sample_motion
from ros2_raxels.training.batch import ClipBatch, RigFrames, Tracks, grid_places
from ros2_raxels.training.solids import Solids, random_solids, rotations_of

RIGHT_PX = 2.5
"""An observation further than this from the point that the anchor sees counts as wrong; working px."""

_LONG_SIDE_PX = 340.0
_HIDDEN = 0.8
"""A point is hidden if a ray towards it meets a surface before this share of the way; surfaces are rough."""


@dataclass(frozen=True, eq=False)
class _Cameras:
    """(B,) each: half the image on the plane at z = 1, and the size of a working pixel there."""

    half_x: Tensor
    half_y: Tensor
    pixel: Tensor

    def plane(self, place: Tensor) -> Tensor:
        return place * self._half(place)

    def place(self, plane: Tensor) -> Tensor:
        return plane / self._half(plane)

    def _half(self, like: Tensor) -> Tensor:
        half = torch.stack([self.half_x, self.half_y], dim=-1)
        return half.reshape(len(half), *(1,) * (like.ndim - 2), 2)


class _Random:
    """Shorthand for draws of one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.generator.device) * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.generator.device)

    def log_normal(self, *shape: int, median: float, spread: float) -> Tensor:
        return median * torch.exp(spread * self.normal(*shape))

    def beta(self, *shape: int, a: float, b: float) -> Tensor:
        """Kumaraswamy's stand-in for the beta distribution: in closed form, so that the generator alone decides."""
        return (1.0 - (1.0 - self.uniform(*shape)) ** (1.0 / b)) ** (1.0 / a)


def sample_correspondences(
    seed: int, clips: int, frames: int, tracks: int, device: torch.device | str = "cpu", unknown_share: float = 0.25
) -> ClipBatch:
    """Draw a batch of clips of one camera.

    Args:
        seed: the same seed gives the same batch on the same device.
        clips, frames, tracks: B, N, P; clips hold a random part of P tracks.
        device: where it is drawn.
        unknown_share: share of clips whose intrinsics the model is not told.
    """
    return _drawn(seed, clips, frames, tracks, device, unknown_share, 1)


def sample_rig_correspondences(
    seed: int, clips: int, moments: int, cameras: int, tracks: int, device: torch.device | str = "cpu"
) -> ClipBatch:
    """Draw a batch of clips of a rig: the images of all its cameras at some moments, those of a moment side by side.

    Some of the rigs look one way, and see the same at one moment; some look apart, by up to 100 degrees. Their
    intrinsics and mounts are known, lengths are in m, and the world is the base at the first moment.

    Args:
        seed: the same seed gives the same batch on the same device.
        clips, moments, cameras, tracks: B, M, C, P; a clip has N = M C frames.
        device: where it is drawn.
    """
    return _drawn(seed, clips, moments, tracks, device, 0.0, cameras)


def _drawn(
    seed: int,
    clips: int,
    moments: int,
    tracks: int,
    device: torch.device | str,
    unknown_share: float,
    rig_cameras: int,
) -> ClipBatch:
    generator = torch.Generator(device).manual_seed(seed)
    draw = _Random(generator)
    motion = sample_motion(np.random.default_rng(seed), clips, moments).camera_to_first
    base = torch.as_tensor(motion, dtype=torch.float32, device=device).clone()
    cameras = _draw_cameras(draw, clips)
    world = random_solids(generator, clips)
    depth = _median_depth(world, cameras)
    base[..., :3, 3] *= depth[:, None, None]
    rig = _draw_rig(draw, depth, moments, rig_cameras) if rig_cameras > 1 else None
    poses = base if rig is None else rig.camera_poses(base)
    is_flow, anchor, place = _draw_anchors(draw, clips, poses.shape[1], tracks)
    points = _hit(draw, world, cameras, poses, anchor, place)
    seen_at, depth = _project(points, poses)
    visible = _visible(world, poses, points, depth, cameras.place(seen_at))
    parallax = _parallax_px(cameras, poses, points, seen_at, anchor, visible)
    observed, right = _observe(draw, cameras, seen_at, anchor, is_flow)
    found = _found(draw, cameras, observed, anchor, is_flow, poses) & visible
    batch = _assemble(draw, cameras, poses, is_flow, anchor, observed, found, right, parallax, unknown_share)
    return batch if rig is None else rig.told_of(batch, base)


@dataclass(frozen=True, eq=False)
class _Rig:
    """(B, N, 4, 4) mounts of the cameras of all frames, in units of the world; m of those (B,); and their numbers."""

    mounts: Tensor
    metres: Tensor
    moment: Tensor
    camera: Tensor

    def camera_poses(self, base: Tensor) -> Tensor:
        """(B, N, 4, 4) by those of the base (B, M, 4, 4)."""
        return base[:, self.moment] @ self.mounts

    def told_of(self, batch: ClipBatch, base: Tensor) -> ClipBatch:
        """The batch with the rig, in m."""
        clips = len(base)
        moment, camera = (number.float()[None].expand(clips, -1) for number in (self.moment, self.camera))
        rig = RigFrames(_scaled(self.mounts, self.metres), moment, camera)
        return replace(batch, camera_to_first=_scaled(base[:, self.moment], self.metres), rig=rig)


def _draw_rig(draw: _Random, depth: Tensor, moments: int, cameras: int) -> _Rig:
    """Cameras side by side in the axes of a camera that looks ahead, the base; some of them look apart."""
    clips, device = len(depth), depth.device
    metres = draw.log_normal(clips, median=2.5, spread=0.5) / depth
    aside = torch.arange(cameras, device=device) - (cameras - 1) / 2
    apart = torch.where(draw.uniform(clips, 1) < 0.5, 0.0, torch.deg2rad(draw.uniform(clips, 1, low=30.0, high=100.0)))
    turn = 0.02 * draw.normal(clips, cameras, 3)
    turn[..., 1] += apart * aside / max(cameras - 1, 1)
    arm = draw.log_normal(clips, 1, median=0.12, spread=0.4) / metres[:, None]
    place = 0.1 * draw.normal(clips, cameras, 3)
    place[..., 0] += aside
    mounts = torch.eye(4, device=device).repeat(clips, cameras, 1, 1)
    mounts[..., :3, :3], mounts[..., :3, 3] = rotations_of(turn), place * arm[..., None]
    frame = torch.arange(moments * cameras, device=device)
    moment, camera = frame // cameras, frame % cameras
    return _Rig(mounts[:, camera], metres, moment, camera)


def _draw_cameras(draw: _Random, clips: int) -> _Cameras:
    fov_deg = draw.log_normal(clips, median=58.0, spread=0.28).clamp(25.0, 95.0)
    half_long = torch.tan(torch.deg2rad(fov_deg) / 2)
    aspect = draw.uniform(clips, low=0.56, high=1.0)
    upright = draw.uniform(clips) < 0.15
    half_short = half_long * aspect
    pixels = draw.uniform(clips, low=0.9, high=1.15) * _LONG_SIDE_PX
    return _Cameras(
        torch.where(upright, half_short, half_long), torch.where(upright, half_long, half_short), 2 * half_long / pixels
    )


def _median_depth(world: Solids, cameras: _Cameras) -> Tensor:
    """(B,) median z-depth that the first camera sees."""
    places = grid_places(cameras.pixel.device)[::2, ::2].reshape(1, -1, 2).expand(len(cameras.pixel), -1, -1)
    plane = cameras.plane(places)
    rays = torch.cat([plane, torch.ones_like(plane[..., :1])], dim=-1)
    return world.depth(torch.zeros_like(rays), rays).median(dim=1).values.clamp(0.05, 100.0)


def _draw_anchors(draw: _Random, clips: int, frames: int, tracks: int) -> tuple[Tensor, Tensor, Tensor]:
    """Kind (B, P), anchor frame (B, P) and place in it (B, P, 2): keypoints in clusters, flow on what is textured."""
    is_flow = draw.uniform(clips, tracks) < draw.beta(clips, 1, a=2.0, b=2.0).clamp(0.0, 1.0)
    # A keypoint track starts where it is first seen, a flow track in any frame.
    first = (draw.uniform(clips, tracks) ** 2 * (frames - 1)).long().clamp(max=frames - 2)
    anchor = torch.where(is_flow, (draw.uniform(clips, tracks) * frames).long().clamp(max=frames - 1), first)
    anywhere = draw.uniform(clips, tracks, 2, low=-0.97, high=0.97)
    centre = draw.uniform(clips, 4, 2, low=-0.9, high=0.9)
    which = (draw.uniform(clips, tracks) * 4).long().clamp(max=3)
    spread = draw.log_normal(clips, 4, 1, median=0.25, spread=0.5)
    pick = which[..., None].expand(-1, -1, 2)
    clustered = centre.gather(1, pick) + draw.normal(clips, tracks, 2) * spread.expand(-1, -1, 2).gather(1, pick)
    in_clusters = draw.uniform(clips, tracks, 1) < draw.beta(clips, 1, 1, a=1.0, b=1.0)
    return is_flow, anchor, torch.where(in_clusters, clustered.clamp(-0.97, 0.97), anywhere)


def _of_anchor(poses: Tensor, anchor: Tensor) -> Tensor:
    return poses.gather(1, anchor[..., None, None].expand(-1, -1, 4, 4))


def _hit(draw: _Random, world: Solids, cameras: _Cameras, poses: Tensor, anchor: Tensor, place: Tensor) -> Tensor:
    """(B, P, 3) what each anchor ray meets; small clutter makes surfaces rough."""
    plane = cameras.plane(place)
    rays = torch.cat([plane, torch.ones_like(plane[..., :1])], dim=-1)
    pose = _of_anchor(poses, anchor)
    direction = (pose[..., :3, :3] @ rays[..., None])[..., 0]
    origin = pose[..., :3, 3]
    clutter = draw.normal(*place.shape[:2]) * draw.log_normal(len(place), 1, median=0.02, spread=1.0).clamp(max=0.2)
    depth = world.depth(origin, direction) * torch.exp(-clutter.abs())
    return origin + direction * depth[..., None]


def _project(points: Tensor, poses: Tensor) -> tuple[Tensor, Tensor]:
    """Plane coordinates (B, P, N, 2) and z-depth (B, P, N) of points (B, P, 3) in every camera."""
    offset = points[:, :, None] - poses[:, None, :, :3, 3]
    local = torch.einsum("bnji,bpnj->bpni", poses[..., :3, :3], offset)
    depth = local[..., 2]
    return local[..., :2] / depth.clamp(min=1e-3)[..., None], depth


def _visible(world: Solids, poses: Tensor, points: Tensor, depth: Tensor, place: Tensor) -> Tensor:
    """(B, P, N) in front, in the image and not hidden."""
    clips, tracks, frames = depth.shape
    inside = (depth > 0.02) & (place.abs() < 1.0).all(dim=-1)
    origin = poses[:, None, :, :3, 3].expand(-1, tracks, -1, -1).reshape(clips, -1, 3)
    direction = points[:, :, None].expand(-1, -1, frames, -1).reshape(clips, -1, 3) - origin
    return inside & (world.depth(origin, direction).reshape(depth.shape) > _HIDDEN)


def _parallax_px(
    cameras: _Cameras, poses: Tensor, points: Tensor, seen_at: Tensor, anchor: Tensor, visible: Tensor
) -> Tensor:
    """(B,) median image motion due to translation, over visible points, in the frame where it is largest."""
    turned = poses.clone()
    turned[..., :3, 3] = 0.0
    from_anchor = points - _of_anchor(poses, anchor)[..., :3, 3]
    without, _ = _project(from_anchor, turned)
    moved_px = (seen_at - without).norm(dim=-1) / cameras.pixel[:, None, None]
    moved_px = torch.where(visible, moved_px, torch.full_like(moved_px, float("nan")))
    return moved_px.nanmedian(dim=1).values.nan_to_num(0.0).amax(dim=-1)


def _observe(draw: _Random, cameras: _Cameras, truth: Tensor, anchor: Tensor, is_flow: Tensor) -> tuple[Tensor, Tensor]:
    """Plane coordinates (B, P, N, 2) as a matcher would find them, and which are right (B, P, N)."""
    clips, tracks, frames = truth.shape[:3]
    pixel = cameras.pixel[:, None, None, None]
    noise_px = torch.where(
        is_flow,
        draw.log_normal(clips, 1, median=0.35, spread=0.45),
        draw.log_normal(clips, 1, median=0.22, spread=0.45),
    )[..., None] * draw.log_normal(clips, tracks, frames, median=1.0, spread=0.5)
    # The median of a two-dimensional error is 1.18 of its standard deviation along an axis.
    observed = truth + draw.normal(clips, tracks, frames, 2) * (noise_px / 1.18)[..., None] * pixel
    observed = observed + _slide(draw, clips, tracks, frames, is_flow) * pixel
    observed = _move_alone(draw, cameras, observed, anchor)
    observed = _mismatch(draw, cameras, observed, is_flow)
    at_anchor = _one_hot(anchor, frames).bool()
    # A track starts where its anchor says, whatever noise that has: the error is that of the others.
    observed = torch.where(at_anchor[..., None], truth, observed)
    wrong_px = (observed - truth).norm(dim=-1) / cameras.pixel[:, None, None]
    return observed, wrong_px < RIGHT_PX


def _one_hot(anchor: Tensor, frames: int) -> Tensor:
    return torch.nn.functional.one_hot(anchor, frames).float()


def _slide(draw: _Random, clips: int, tracks: int, frames: int, is_flow: Tensor) -> Tensor:
    """(B, P, N, 2) px by which flow is dragged along an edge, or by an object in front of the point."""
    share = 0.5 * draw.beta(clips, 1, 1, a=0.8, b=5.0)
    slides = (draw.uniform(clips, tracks, frames) < share) & is_flow[..., None]
    length_px = draw.log_normal(clips, tracks, frames, median=3.5, spread=0.6)
    angle = draw.uniform(clips, 1, 1, high=6.283) + 0.7 * draw.normal(clips, tracks, frames)
    step = torch.stack([angle.cos(), angle.sin()], dim=-1) * length_px[..., None]
    return step * slides[..., None]


def _move_alone(draw: _Random, cameras: _Cameras, observed: Tensor, anchor: Tensor) -> Tensor:
    """In every fifth clip, an object that moves by itself."""
    clips, _, frames = observed.shape[:3]
    place = cameras.place(observed[:, :, 0])
    centre, radius = draw.uniform(clips, 1, 2, low=-0.7, high=0.7), draw.uniform(clips, 1, low=0.15, high=0.6)
    inside = ((place - centre).norm(dim=-1) < radius) & (draw.uniform(clips, 1) < 0.2)
    velocity = draw.normal(clips, 1, 1, 2) * 0.06
    since = torch.arange(frames, device=observed.device) - anchor[..., None]
    moved: Tensor = observed + inside[..., None, None] * cameras.plane(since[..., None] * velocity)
    return moved


def _mismatch(draw: _Random, cameras: _Cameras, observed: Tensor, is_flow: Tensor) -> Tensor:
    """Keypoints matched to another one: anywhere in the image, or one period away where texture repeats."""
    clips, tracks, frames = observed.shape[:3]
    share = draw.beta(clips, 1, 1, a=1.1, b=4.0).clamp(max=0.75)
    wrong = (draw.uniform(clips, tracks, frames) < share) & ~is_flow[..., None]
    anywhere = cameras.plane(draw.uniform(clips, tracks, frames, 2, low=-1.0, high=1.0))
    period = cameras.plane(draw.normal(clips, 1, 1, 2) * 0.12)
    count = torch.where(draw.uniform(clips, tracks, frames, 1) < 0.5, -1.0, 1.0)
    repeats = draw.uniform(clips, 1, 1, 1) < 0.2
    return torch.where(wrong[..., None], torch.where(repeats, observed + count * period, anywhere), observed)


def _found(
    draw: _Random, cameras: _Cameras, observed: Tensor, anchor: Tensor, is_flow: Tensor, poses: Tensor
) -> Tensor:
    """(B, P, N) whether the matcher finds it: less likely with every degree of rotation and pixel of motion."""
    clips, tracks, frames = observed.shape[:3]
    at = anchor[..., None, None].expand(-1, -1, 1, 2)
    moved_px = (observed - observed.gather(2, at)).norm(dim=-1) / cameras.pixel[:, None, None]
    rotation = _of_anchor(poses, anchor)[:, :, None, :3, :3].transpose(-1, -2) @ poses[:, None, :, :3, :3]
    cosine = (rotation.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    turned_deg = torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))
    reach_px = draw.log_normal(clips, 1, 1, median=70.0, spread=0.4)
    keypoint = draw.uniform(clips, 1, 1, low=0.35, high=0.95) * torch.exp(-turned_deg / 40.0)
    flow = draw.uniform(clips, 1, 1, low=0.5, high=1.0) * torch.sigmoid((reach_px - moved_px) / 12.0)
    found = draw.uniform(clips, tracks, frames) < torch.where(is_flow[..., None], flow, keypoint)
    return found | _one_hot(anchor, frames).bool()


def _scores(draw: _Random, right: Tensor, is_flow: Tensor) -> Tensor:
    """(B, P, N) distributed as measured, see `docs/training.md`."""
    shape = right.shape
    keypoint = torch.where(right, draw.beta(*shape, a=1.5, b=2.7), draw.beta(*shape, a=0.95, b=5.5))
    direct = draw.uniform(*shape) > torch.where(right, 0.06, 0.13)
    flow = torch.where(right, draw.beta(*shape, a=2.3, b=1.25), draw.beta(*shape, a=1.3, b=1.4))
    return torch.where(is_flow[..., None], flow, keypoint * direct)


def _assemble(
    draw: _Random,
    cameras: _Cameras,
    poses: Tensor,
    is_flow: Tensor,
    anchor: Tensor,
    observed: Tensor,
    found: Tensor,
    right: Tensor,
    parallax_px: Tensor,
    unknown_share: float,
) -> ClipBatch:
    clips, tracks, frames = found.shape
    kept = draw.uniform(clips, tracks) < draw.uniform(clips, 1, low=0.25, high=1.4)
    kept &= found.sum(dim=-1) > 1
    one_hot = _one_hot(anchor, frames) * kept[..., None]
    seen = (found & kept[..., None]).float()
    known = (draw.uniform(clips) >= unknown_share).float()
    # Where it is unknown, the model sees the plane of a camera of another focal length, and has to find the true one.
    guess = torch.exp(torch.where(known > 0, torch.zeros_like(known), 0.35 * draw.normal(clips)))
    assumed = observed * guess[:, None, None, None]
    score = torch.where(one_hot > 0, torch.ones_like(seen), _scores(draw, right, is_flow))
    evidence = Tracks(
        assumed * seen[..., None],
        cameras.place(observed).clamp(-1.5, 1.5) * seen[..., None],
        seen,
        one_hot,
        is_flow.float(),
        score * seen,
        (cameras.pixel * guess)[:, None].expand(-1, frames).contiguous(),
    )
    plane = cameras.plane(grid_places(poses.device).reshape(1, -1, 2).expand(clips, -1, -1))
    rays = torch.nn.functional.normalize(torch.cat([plane, torch.ones_like(plane[..., :1])], dim=-1), dim=-1)
    bearings = rays.reshape(clips, 1, RAXEL_ROWS, RAXEL_COLUMNS, 3).expand(-1, frames, -1, -1, -1).contiguous()
    return ClipBatch(bearings, _unit_scale(poses), guess, known, parallax_px, evidence, right.float() * seen)


def _unit_scale(poses: Tensor) -> Tensor:
    return _scaled(poses, 1.0 / poses[..., :3, 3].norm(dim=-1).amax(dim=-1).clamp(min=1e-9))


def _scaled(poses: Tensor, factor: Tensor) -> Tensor:
    """Poses (B, N, 4, 4), so many times (B,) as large."""
    scaled = poses.clone()
    scaled[..., :3, 3] *= factor[:, None, None]
    return scaled
