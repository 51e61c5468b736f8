"""The joint denoiser of video and rays: decoupled self-cross attention over two branches, with optional evidence.

After "Rays as Pixels" (arXiv 2604.09429): every block attends inside each modality and then from each to the other, so
that ``log p(z, r) = log p(z) + log p(r | z) = log p(r) + log p(z | r)``. New here, because the model is small: tracks
between the frames enter the ray branch as tokens, and a plane sweep of known frames enters the video branch (both are
optional); clean data is predicted; rays have an affine head beside the dense one; pixels are blended with swept ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS
from ros2_raxels.model.attention import Branch, EvidenceBlock, Modulation, RMSNorm, Stream, rotations
from ros2_raxels.model.presets import ModelSize
from ros2_raxels.model.sweep import SweepEncoder, SweptViews

_TRACK_FEATURES = 16
_TIME_CHANNELS = 64
_MASKED = -1e4
_PLACE_OCTAVES = 4

CAMERA_STEP = 0.25
"""Between the numbers of two cameras at one moment, where one moment is 1 from the next: for up to four cameras."""


class TrackTokens(NamedTuple):
    """Evidence after the encoder's blocks.

    Attributes:
        tokens: (B, P, width).
        turn: rotary angles of each.
        mask: (B, 1, 1, P) added to attention logits.
        inlier: (B, P, N) logit that an observation is right.
        log_focal: (B,) log of the true focal length over the one that the planes assume.
    """

    tokens: Tensor
    turn: Tensor
    mask: Tensor
    inlier: Tensor
    log_focal: Tensor


@dataclass
class Denoised:
    """Prediction of clean data.

    Attributes:
        rays: (B, N, rows, columns, C).
        log_error: (B, N, rows, columns) log of the expected distance of each ray from the truth.
        video: (B, N, 3, H, W), or None without video.
        video_log_error: (B, N, H, W) log of the expected error of a pixel (root of the mean over channels).
        made_up: (B, N, H, W) share of a pixel that no known frame has shown.
    """

    rays: Tensor
    log_error: Tensor
    video: Tensor | None = None
    video_log_error: Tensor | None = None
    made_up: Tensor | None = None


class TimeEmbedding(nn.Module):
    """(B, N) times to (B, N, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(_TIME_CHANNELS, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor) -> Tensor:
        """Embed."""
        steps = torch.arange(_TIME_CHANNELS // 2, device=time.device) / (_TIME_CHANNELS // 2)
        angle = time[..., None] * 1000.0 * torch.exp(-math.log(10_000.0) * steps)
        embedded: Tensor = self.mlp(torch.cat([angle.cos(), angle.sin()], dim=-1))
        return embedded


class EvidenceEncoder(nn.Module):
    """Tracks to tokens; independent of the noise, so all hypotheses and steps of a clip share the result."""

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        width = size.width
        self.heads, self.head_width = size.heads, width // size.heads
        self.observation = nn.Sequential(nn.Linear(_TRACK_FEATURES, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(EvidenceBlock(width, size.heads) for _ in range(size.evidence_blocks))
        self.norm = RMSNorm(width)
        self.judge_track, self.judge_observation = nn.Linear(width, width), nn.Linear(width, width)
        self.judge = nn.Linear(width, 1)
        self.focal = nn.Linear(width, 1)
        nn.init.zeros_(self.focal.weight)
        nn.init.zeros_(self.focal.bias)

    def forward(
        self,
        plane: Tensor,
        place: Tensor,
        seen: Tensor,
        anchor: Tensor,
        is_flow: Tensor,
        score: Tensor,
        pixel: Tensor,
        known: Tensor,
        number: Tensor | None = None,
    ) -> TrackTokens:
        """Arguments as in `training.batch.Tracks`, without gradients.

        `known` (B,) is 1 where intrinsics are known; `number` (B, N) as in `JointDenoiser.forward`.
        """
        number = _counted(anchor) if number is None else number
        features = observation_features(plane, place, seen, anchor, is_flow, score, pixel, known, number)
        observation = self.observation(features) * (seen * (1.0 - anchor))[..., None].to(features.dtype)
        count = (seen * (1.0 - anchor)).sum(dim=2, keepdim=True).clamp(min=1.0)
        x = observation.sum(dim=2) / count.sqrt().to(observation.dtype)
        start, began = (place * anchor[..., None]).sum(dim=2), (anchor * number[:, None]).sum(dim=2)
        turn = rotations(torch.stack([began, start[..., 1], start[..., 0]], dim=-1), self.head_width)
        valid = anchor.sum(dim=2)
        mask = ((1.0 - valid) * _MASKED)[:, None, None]
        for block in self.blocks:
            x = block(x, turn, mask)
        x = self.norm(x)
        judged = torch.nn.functional.silu(self.judge_track(x)[:, :, None] + self.judge_observation(observation))
        weight = (valid / valid.sum(dim=1, keepdim=True).clamp(min=1.0))[..., None].to(x.dtype)
        log_focal = self.focal((x * weight).sum(dim=1))[:, 0]
        return TrackTokens(x, turn, mask, self.judge(judged)[..., 0].float(), log_focal.float())


def observation_features(
    plane: Tensor,
    place: Tensor,
    seen: Tensor,
    anchor: Tensor,
    is_flow: Tensor,
    score: Tensor,
    pixel: Tensor,
    known: Tensor,
    number: Tensor,
) -> Tensor:
    """(B, P, N, features): start and end of an observation, its motion, and that less the mean between its frames."""
    start = (plane * anchor[..., None]).sum(dim=2, keepdim=True)
    start_place = (place * anchor[..., None]).sum(dim=2, keepdim=True)
    moved = (plane - start) * seen[..., None]
    of_pair = torch.einsum("bpa,bpnc->banc", anchor, moved)
    many = torch.einsum("bpa,bpn->ban", anchor, seen).clamp(min=1.0)
    apart = moved - torch.einsum("bpa,banc->bpnc", anchor, of_pair / many[..., None])
    moved_px = moved / pixel[:, None, :, None]
    each = number.to(plane.dtype)[:, None]
    later = each - (anchor * each).sum(dim=2, keepdim=True)
    like = torch.ones_like(score)
    parts = [
        start.expand_as(plane),
        start_place.expand_as(plane),
        plane,
        4.0 * moved,
        4.0 * apart,
        0.25 * moved_px.sign() * torch.log1p(moved_px.abs()),
        score[..., None],
        torch.stack([is_flow[..., None] * like, known[:, None, None] * like, 0.5 * later], dim=-1),
    ]
    return torch.cat(parts, dim=-1)


class Seams(nn.Module):
    """Smooths the seams between patches with three convolutions, which add nothing at the start."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(inputs, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, outputs, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(M, outputs, H, W)."""
        silu = torch.nn.functional.silu
        changed: Tensor = self.last(silu(self.second(silu(self.first(x)))))
        return changed.float()


class JointBlock(nn.Module):
    """One step of decoupled self-cross attention; without video only the ray branch runs."""

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        self.rays = Branch(size.width, size.heads, evidence=size.evidence_blocks > 0)
        self.video = Branch(size.width, size.heads, evidence=False)
        self.decoupled = size.decoupled

    def forward(self, rays: Stream, video: Stream | None, evidence: TrackTokens | None) -> tuple[Stream, Stream | None]:
        """Both streams after the block."""
        by_ray_time = self.rays.modulate(rays.time)
        if video is None:
            rays = self.rays.after_self_attention(rays, by_ray_time)
            return self.rays.after_feed_forward(self._after_evidence(rays, evidence), by_ray_time), None
        by_video_time = self.video.modulate(video.time)
        if self.decoupled:
            rays = self.rays.after_self_attention(rays, by_ray_time)
            video = self.video.after_self_attention(video, by_video_time)
            # Symmetric: each looks at the other as it was before either looked.
            rays, video = self.rays.after_cross_attention(rays, video), self.video.after_cross_attention(video, rays)
        else:
            rays, video = self._after_joined_attention(rays, by_ray_time, video, by_video_time)
        rays = self._after_evidence(rays, evidence)
        return self.rays.after_feed_forward(rays, by_ray_time), self.video.after_feed_forward(video, by_video_time)

    def _after_evidence(self, rays: Stream, evidence: TrackTokens | None) -> Stream:
        if evidence is None or self.rays.evidence is None or self.rays.evidence_norm is None:
            return rays
        query = self.rays.evidence_norm(rays.tokens)
        change = self.rays.evidence(query, rays.turn, evidence.tokens, evidence.turn, evidence.mask)
        return replace(rays, tokens=rays.tokens + change)

    def _after_joined_attention(
        self, rays: Stream, by_ray_time: Modulation, video: Stream, by_video_time: Modulation
    ) -> tuple[Stream, Stream]:
        """The ablation: each attends to all tokens of both at once, and there is no cross-attention."""
        ray_query, video_query = self.rays.normed(rays, by_ray_time), self.video.normed(video, by_video_time)
        context, turn = torch.cat([ray_query, video_query], dim=1), torch.cat([rays.turn, video.turn], dim=3)
        to_rays = (1.0 + by_ray_time.gate) * self.rays.attention(ray_query, rays.turn, context, turn)
        to_video = (1.0 + by_video_time.gate) * self.video.attention(video_query, video.turn, context, turn)
        return replace(rays, tokens=rays.tokens + to_rays), replace(video, tokens=video.tokens + to_video)


class JointDenoiser(nn.Module):
    """Clean rays and video of a clip from noisy ones; the clip may have any number N of frames.

    All shapes are in `forward`. The world is the frame of the first camera, which can be any, since clips may be given
    in any order.
    """

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        self.size = size
        width, patch = size.width, size.raxel_patch
        self.ray_shape = (RAXEL_ROWS // patch, RAXEL_COLUMNS // patch)
        ray_values = patch * patch * size.ray_channels
        pixels = size.video_patch_px**2
        self.encoder = EvidenceEncoder(size) if size.evidence_blocks else None
        self.sweep = (
            SweepEncoder(size.sweep_depths, size.sweep_contexts, size.sweep_width) if size.sweep_depths else None
        )
        self.ray_in = nn.Linear(ray_values + patch * patch * 3 + 2, width)
        self.video_in = nn.Linear(pixels * (7 if size.sweep_depths else 3) + 2, width)
        self.ray_place = nn.Parameter(0.02 * torch.randn(self.ray_shape[0] * self.ray_shape[1], width))
        self.video_place = nn.Linear(4 * _PLACE_OCTAVES, width)
        self.ray_time, self.video_time = TimeEmbedding(width), TimeEmbedding(width)
        self.blocks = nn.ModuleList(JointBlock(size) for _ in range(size.joint_blocks))
        self.ray_norm, self.video_norm = RMSNorm(width), RMSNorm(width)
        self.ray_out = nn.Linear(width, ray_values + patch * patch)
        self.affine = nn.Linear(width, 4 * size.ray_channels)
        self.video_out = nn.Linear(width, pixels * 5)
        self.video_seams = Seams(9, 24, 5)
        for layer in (self.ray_out, self.affine, self.video_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def encode(self, *tracks: Tensor | None) -> TrackTokens | None:
        """Evidence tokens, by the arguments of `EvidenceEncoder.forward`; None for a model without evidence."""
        return None if self.encoder is None else self.encoder(*tracks)

    def forward(
        self,
        rays: Tensor,
        ray_time: Tensor,
        bearings: Tensor,
        known: Tensor,
        evidence: TrackTokens | None = None,
        video: Tensor | None = None,
        video_time: Tensor | None = None,
        swept: SweptViews | None = None,
        number: Tensor | None = None,
    ) -> Denoised:
        """Predict the clean clip.

        Args:
            rays: (B, N, rows, columns, C) whitened: noise at time 0, see `rays.whiten`.
            ray_time: (B, N).
            bearings: (B, N, rows, columns, 3) of the known or assumed camera. Of a rig they are the raxels of the
                camera on its base, m, so that every ray token carries its camera; the world is the base of the first
                moment then, and what is predicted are raxels in that.
            known: (B,) 1 where `bearings` are the true ones.
            evidence: of `encode`; None without.
            video: (B, N, 3, H, W), -1 to 1, of any size that divides into patches; None without.
            video_time: (B, N).
            swept: of `sweep`, for all N frames; None without.
            number: (B, N) place of each frame in the clip: its moment, and `CAMERA_STEP` for each camera of a rig
                before its own. None counts the frames.

        Returns:
            Whitened rays, as given; and video.
        """
        number = _counted(ray_time[:1]) if number is None else number
        stream = self._ray_stream(rays, ray_time, bearings, known, number)
        pictures = None
        if video is not None and video_time is not None:
            swept = SweptViews.nothing(video) if swept is None else swept
            pictures = self._video_stream(video, video_time, swept, number)
        for block in self.blocks:
            stream, pictures = block(stream, pictures, evidence)
        clean, log_error = self._read_rays(stream, bearings)
        if pictures is None or video is None or swept is None:
            return Denoised(clean, log_error)
        return Denoised(clean, log_error, *self._read_video(pictures, video.shape, swept))

    # -- rays

    def _ray_stream(self, rays: Tensor, time: Tensor, bearings: Tensor, known: Tensor, number: Tensor) -> Stream:
        clips, frames = rays.shape[:2]
        patches = _patches(torch.cat([rays, bearings], dim=-1), self.size.raxel_patch)
        flags = torch.stack([known[:, None].expand(clips, frames), _first(number).expand(clips, -1)], dim=-1)
        flags = flags[:, :, None].expand(-1, -1, patches.shape[2], -1)
        tokens = self.ray_in(torch.cat([patches, flags], dim=-1)) + self.ray_place
        return self._stream(tokens, self.ray_time(time), self.ray_shape, number)

    def _read_rays(self, stream: Stream, bearings: Tensor) -> tuple[Tensor, Tensor]:
        clips, frames = bearings.shape[:2]
        patch = self.size.raxel_patch
        x = self.ray_norm(stream.tokens).reshape(clips, frames, -1, self.size.width)
        values = _unpatched(self.ray_out(x), patch, self.ray_shape).float()
        dense, log_error = values[..., :-1], values[..., -1]
        matrix = self.affine(x.mean(dim=2)).float().reshape(clips, frames, self.size.ray_channels, 4)
        family = torch.einsum("bnck,bnijk->bnijc", matrix[..., :3], bearings) + matrix[..., None, None, :, 3]
        return dense + family, log_error

    # -- video

    def _video_stream(self, video: Tensor, time: Tensor, swept: SweptViews, number: Tensor) -> Stream:
        size = self.size
        pictures = video.movedim(2, -1)
        if size.sweep_depths:
            known = torch.cat([swept.colour, torch.sigmoid(swept.gate)[:, :, None]], dim=2)
            known = known * swept.given[:, None, None, None, None]
            pictures = torch.cat([pictures, known.movedim(2, -1)], dim=-1)
        patches = _patches(pictures, size.video_patch_px)
        flags = torch.stack([swept.given[:, None].expand_as(time), _first(number).expand_as(time)], dim=-1)
        flags = flags[:, :, None].expand(-1, -1, patches.shape[2], -1)
        shape = (video.shape[3] // size.video_patch_px, video.shape[4] // size.video_patch_px)
        place = self.video_place(_waves(cell_centres(*shape, video.device).flatten(0, 1)))
        tokens = self.video_in(torch.cat([patches, flags], dim=-1)) + place
        return self._stream(tokens, self.video_time(time), shape, number)

    def _read_video(self, stream: Stream, shape: torch.Size, swept: SweptViews) -> tuple[Tensor, Tensor, Tensor]:
        """Colours, the log of their expected error, and the share that is made up."""
        patch = self.size.video_patch_px
        x = self.video_norm(stream.tokens).reshape(shape[0], shape[1], -1, self.size.width)
        values = _unpatched(self.video_out(x), patch, (shape[3] // patch, shape[4] // patch)).float().movedim(-1, 2)
        given = swept.given[:, None, None, None]
        known = torch.cat([swept.colour, swept.gate[:, :, None]], dim=2) * given[:, None]
        values = values + self.video_seams(torch.cat([values, known], dim=2).flatten(0, 1)).reshape(values.shape)
        own, gate, log_error = values[:, :, :3], values[:, :, 3], values[:, :, 4]
        made_up = 1.0 - given * (1.0 - torch.sigmoid(gate + swept.gate))
        share = made_up[:, :, None]
        return (1.0 - share) * swept.colour + share * own, log_error + given * swept.log_error, made_up

    def _stream(self, tokens: Tensor, time: Tensor, shape: tuple[int, ...], number: Tensor) -> Stream:
        clips, frames, places, width = tokens.shape
        turn = rotations(token_positions(number, (shape[0], shape[1])), width // self.size.heads)
        per_token = time[:, :, None].expand(-1, -1, places, -1).reshape(clips, frames * places, width)
        return Stream(tokens.reshape(clips, frames * places, width), turn, per_token)


def token_positions(number: Tensor, shape: tuple[int, int]) -> Tensor:
    """(1 or B, N * rows * columns, 3): number of the frame (1 or B, N), y and x of token centres, -1 to 1."""
    clips, frames = number.shape
    places = cell_centres(*shape, number.device)[None, None].expand(clips, frames, -1, -1, -1)
    of_frame = number[..., None, None, None].expand_as(places[..., :1])
    return torch.cat([of_frame, places], dim=-1).reshape(clips, -1, 3)


def cell_centres(rows: int, columns: int, device: torch.device | str | None = None) -> Tensor:
    """(rows, columns, 2) centres of the cells of a grid over the image, -1 to 1 from edge to edge: y, x."""
    y = (torch.arange(rows, device=device) + 0.5) / rows * 2 - 1
    x = (torch.arange(columns, device=device) + 0.5) / columns * 2 - 1
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1)


def _waves(place: Tensor) -> Tensor:
    """(L, 4 octaves) of places (L, 2), -1 to 1: absolute position, which rotary angles do not have."""
    octave = torch.exp2(torch.arange(_PLACE_OCTAVES, device=place.device)) * (math.pi / 2)
    angle = (place[..., None] * octave).flatten(-2)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def _counted(frames: Tensor) -> Tensor:
    """(1, N) numbers of frames, counted along the last axis of a tensor."""
    return torch.arange(frames.shape[-1], device=frames.device, dtype=torch.float32)[None]


def _first(number: Tensor) -> Tensor:
    """(1 or B, N) 1 for the frames of the first moment, in whose camera or base the world is told."""
    return (number < 1.0).to(number.dtype)


def _patches(image: Tensor, patch: int) -> Tensor:
    """(B, N, H, W, C) to (B, N, tokens, patch * patch * C)."""
    b, n, h, w, c = image.shape
    blocks = image.reshape(b, n, h // patch, patch, w // patch, patch, c).transpose(3, 4)
    return blocks.reshape(b, n, (h // patch) * (w // patch), patch * patch * c)


def _unpatched(tokens: Tensor, patch: int, shape: tuple[int, ...]) -> Tensor:
    """Inverse of `_patches` for tokens of a grid of this shape."""
    b, n = tokens.shape[:2]
    blocks = tokens.reshape(b, n, shape[0], shape[1], patch, patch, -1).transpose(3, 4)
    return blocks.reshape(b, n, shape[0] * patch, shape[1] * patch, -1)
