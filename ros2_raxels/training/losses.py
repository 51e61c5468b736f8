"""The loss: flow of rays and video, the poses that rays decode to, inliers, focal length, and the expected errors."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ros2_raxels.model.denoiser import Denoised, JointDenoiser, TrackTokens
from ros2_raxels.model.flow import LEAST_GAP, Task, blend, draw_times, sample
from ros2_raxels.model.rays import decode_rays, encode_rays, pose_error, unwhiten, whiten
from ros2_raxels.model.sweep import SweptViews
from ros2_raxels.training.batch import ClipBatch

_ENOUGH_PARALLAX_PX = 2.0
_ROUND_ROTATION_RAD = 0.01
_ROUND_TRANSLATION = 0.05
_LEAST_MISS = 0.01


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term; 0 leaves it out, for ablations."""

    flow: float = 1.0
    cosine: float = 0.5
    pose: float = 1.0
    inlier: float = 0.5
    focal: float = 0.2
    error: float = 0.05
    video: float = 4.0
    video_error: float = 0.05
    plane: float = 0.1


@dataclass
class Step:
    """Loss of a batch.

    Attributes:
        total: to be minimised, the sum of all terms.
        terms: each of them, weighted.
    """

    total: Tensor
    terms: dict[str, float] = field(default_factory=dict)


def target_poses(batch: ClipBatch) -> Tensor:
    """(B, N, 4, 4) in clip units; as parallax vanishes, positions shrink to 0, which is then the right answer."""
    poses = batch.camera_to_first.clone()
    poses[..., :3, 3] *= (batch.parallax_px / _ENOUGH_PARALLAX_PX).clamp(max=1.0)[:, None, None]
    return poses


def loss_of(
    model: JointDenoiser,
    batch: ClipBatch,
    task: Task,
    weights: LossWeights,
    generator: torch.Generator,
    with_evidence: bool = True,
) -> Step:
    """Loss of a model on a batch; the caller takes the gradient.

    Args:
        model: to train.
        batch: clips; with video where the task needs it.
        task: decides what is noise and what is clean.
        weights: of the terms.
        generator: draws noise and times.
        with_evidence: whether the model is shown the tracks.
    """
    poses = target_poses(batch)
    assumed = batch.assumed_still_rays
    clean = whiten(encode_rays(batch.still_rays, poses, model.size.pluecker), assumed)
    video_time, ray_time = draw_times(task, clean.shape[0], clean.shape[1], generator, batch.sources)
    noise = torch.randn(clean.shape, generator=generator, device=clean.device)
    noisy = blend(noise, clean, ray_time)
    evidence = _encode(model, batch) if with_evidence else None
    video = _noisy_video(batch.video, video_time, generator)
    swept = known_views(model, batch) if task is Task.VIEWS else None
    shown_time = None if video is None else video_time
    out = model(noisy, ray_time, assumed, batch.known, evidence, video, shown_time, swept, _number(batch))
    terms = _ray_terms(out, noisy, clean, ray_time, weights) if task is not Task.VIEWS else {}
    if task is Task.POSE:
        terms |= _pose_terms(out, batch, poses, ray_time, weights)
    if evidence is not None:
        terms |= _evidence_terms(evidence, batch, weights)
    if task is not Task.POSE and batch.video is not None:
        terms |= _video_terms(out, batch.video, video_time, weights)
    if swept is not None and swept.planes is not None and batch.plane is not None and weights.plane:
        terms["plane"] = weights.plane * plane_loss(swept.planes, batch.plane)
    total = torch.stack(list(terms.values())).sum()
    return Step(total, {name: float(term.detach()) for name, term in terms.items()})


def known_views(model: JointDenoiser, batch: ClipBatch) -> SweptViews | None:
    """What the sweep says of all N frames: nothing of the sources, which are known anyway."""
    if model.sweep is None or batch.swept is None:
        return None
    views: SweptViews = model.sweep(batch.swept, None if batch.votes is None else batch.votes.float())

    def of_all(value: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(value[:, :1]).repeat(1, batch.sources, *(1,) * (value.ndim - 2)), value], 1)

    return SweptViews(of_all(views.colour), of_all(views.gate), of_all(views.log_error), views.given, views.planes)


def plane_loss(planes: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy between log probabilities (B, T, D, H, W) of planes and the number of the true one, (B, T, H, W).

    A surface between two planes is shared by both. Pixels whose truth is NaN, or nearer than all planes, do not count.
    """
    last = planes.shape[2] - 1
    counts = truth <= last
    place = torch.where(counts, truth, 0.0)
    below = place.floor().clamp(max=last - 1).long()
    above_share = place - below
    at = planes.gather(2, torch.stack([below, below + 1], dim=2))
    likelihood = (1.0 - above_share) * at[:, :, 0] + above_share * at[:, :, 1]
    return -(likelihood * counts).sum() / counts.sum().clamp(min=1)


def _encode(model: JointDenoiser, batch: ClipBatch) -> TrackTokens | None:
    t = batch.tracks
    if t is None:
        return None
    seen = (t.plane, t.place, t.seen, t.anchor, t.is_flow, t.score, t.pixel, batch.known)
    return model.encode(*seen, _number(batch))


def _number(batch: ClipBatch) -> Tensor | None:
    return None if batch.rig is None else batch.rig.number


def _noisy_video(video: Tensor | None, time: Tensor, generator: torch.Generator) -> Tensor | None:
    if video is None:
        return None
    return blend(torch.randn(video.shape, generator=generator, device=video.device), video, time)


def _velocity_loss(clean: Tensor, noisy: Tensor, truth: Tensor, time: Tensor) -> Tensor:
    """Mean squared error of the velocity; frames that were given clean do not count."""
    gap = (1.0 - time).clamp(min=LEAST_GAP)
    error = ((clean - truth) ** 2).flatten(2).mean(dim=-1) / gap**2
    counts = (time < 1.0).float()
    return (error * counts).sum() / counts.sum().clamp(min=1.0)


def _video_terms(out: Denoised, truth: Tensor, time: Tensor, w: LossWeights) -> dict[str, Tensor]:
    """Squared error of the predicted pixels, and how well the model foresees it.

    Not the error of the velocity: near clean data, the noise left to predict is finer than a token can represent.
    """
    if out.video is None or out.video_log_error is None:
        return {}
    square = (out.video - truth).square().mean(dim=2)
    counts = (time < 1.0).float()[..., None, None].expand_as(square)
    total = counts.sum().clamp(min=1.0)
    terms = {"video": w.video * (square * counts).sum() / total}
    if w.video_error:
        miss = (square.detach() + _LEAST_MISS**2).sqrt()
        likelihood = miss * torch.exp(-out.video_log_error.clamp(-8, 4)) + out.video_log_error
        terms["video_error"] = w.video_error * (likelihood * counts).sum() / total
    return terms


def _ray_terms(out: Denoised, noisy: Tensor, clean: Tensor, time: Tensor, w: LossWeights) -> dict[str, Tensor]:
    terms = {"flow": w.flow * _velocity_loss(out.rays, noisy, clean, time)}
    if w.cosine:
        cosine = F.cosine_similarity((out.rays - noisy).flatten(1), (clean - noisy).flatten(1), dim=-1)
        terms["cosine"] = w.cosine * (1.0 - cosine).mean()
    if w.error:
        miss = (out.rays - clean).detach().norm(dim=-1)
        # Laplace: the best log_error is the log of the expected distance.
        terms["error"] = w.error * (miss * torch.exp(-out.log_error.clamp(-8, 4)) + out.log_error).mean()
    return terms


def _pose_terms(out: Denoised, batch: ClipBatch, poses: Tensor, time: Tensor, w: LossWeights) -> dict[str, Tensor]:
    if not w.pose:
        return {}
    turn, shift = pose_error(unwhiten(out.rays, batch.assumed_still_rays), batch.still_rays, poses)
    rotation = (turn.square().sum(-1) + _ROUND_ROTATION_RAD**2).sqrt() - _ROUND_ROTATION_RAD
    position = (shift.square().sum(-1) + _ROUND_TRANSLATION**2).sqrt() - _ROUND_TRANSLATION
    # Close to clean data the pose can be read off the input.
    gain = (1.0 - time) * (1.0 + batch.known[:, None]) / 2
    return {"pose": w.pose * ((8.0 * rotation + position) * gain).mean()}


def _evidence_terms(evidence: TrackTokens, batch: ClipBatch, w: LossWeights) -> dict[str, Tensor]:
    terms: dict[str, Tensor] = {}
    if batch.tracks is None or batch.right is None:
        return terms
    if w.inlier:
        judged = batch.tracks.seen * (1.0 - batch.tracks.anchor)
        entropy = F.binary_cross_entropy_with_logits(evidence.inlier, batch.right, reduction="none")
        terms["inlier"] = w.inlier * (entropy * judged).sum() / judged.sum().clamp(min=1.0)
    if w.focal:
        unknown = 1.0 - batch.known
        miss = F.smooth_l1_loss(evidence.log_focal, batch.focal.log(), reduction="none", beta=0.05)
        terms["focal"] = w.focal * (miss * unknown).sum() / unknown.sum().clamp(min=1.0)
    return terms


@torch.no_grad()
def predict_views(model: JointDenoiser, batch: ClipBatch, generator: torch.Generator, steps: int = 1) -> Tensor:
    """Video (B, N, 3, H, W), -1 to 1: sources as given, the frames after them from pure noise, all cameras known."""
    if batch.video is None:
        raise ValueError("a batch without pixels has no source frames to make views from")
    assumed = batch.assumed_bearings
    rays = whiten(encode_rays(batch.bearings, target_poses(batch), model.size.pluecker), assumed)
    ones = torch.ones(rays.shape[:2], device=rays.device)
    known = torch.zeros_like(ones)
    known[:, : batch.sources] = 1.0
    swept = known_views(model, batch)
    sources = batch.video * known[..., None, None, None]
    noise = torch.randn(batch.video.shape, generator=generator, device=rays.device)

    def with_sources(video: Tensor) -> Tensor:
        return sources + video * (1.0 - known)[..., None, None, None]

    def predict(x: Tensor, time: float) -> Tensor:
        times = known + (1.0 - known) * time
        out: Denoised = model(rays, ones, assumed, batch.known, None, with_sources(x), times, swept)
        assert out.video is not None
        return out.video

    *_, video = sample(predict, noise, steps)
    return with_sources(video)


@torch.no_grad()
def predict_poses(
    model: JointDenoiser, batch: ClipBatch, generator: torch.Generator, with_evidence: bool = True, steps: int = 1
) -> tuple[Tensor, TrackTokens | None]:
    """Poses (B, N, 4, 4) relative to the first one, from pure noise; and the evidence as the model judges it."""
    assumed = batch.assumed_still_rays
    evidence = _encode(model, batch) if with_evidence else None
    shape = (*assumed.shape[:-1], model.size.ray_channels)
    noise = torch.randn(shape, generator=generator, device=assumed.device)
    ones = torch.ones(shape[:2], device=assumed.device)

    def predict(x: Tensor, time: float) -> Tensor:
        video_time = None if batch.video is None else ones
        number = _number(batch)
        out: Denoised = model(x, time * ones, assumed, batch.known, evidence, batch.video, video_time, number=number)
        return out.rays

    *_, rays = sample(predict, noise, steps)
    poses = decode_rays(unwhiten(rays, assumed), batch.still_rays)
    return torch.linalg.inv(poses[:, :1]) @ poses, evidence


def pose_errors_deg(found: Tensor, batch: ClipBatch) -> tuple[Tensor, Tensor]:
    """Errors of rotation and direction, deg, of all frames after the first moment; of direction only with parallax."""
    later = 1 if batch.rig is None else int((batch.rig.moment[0] < 1).sum())
    truth, found = batch.camera_to_first[:, later:], found[:, later:]
    relative = found[..., :3, :3].transpose(-1, -2) @ truth[..., :3, :3]
    sine = torch.stack(
        [
            relative[..., 2, 1] - relative[..., 1, 2],
            relative[..., 0, 2] - relative[..., 2, 0],
            relative[..., 1, 0] - relative[..., 0, 1],
        ],
        dim=-1,
    ).norm(dim=-1)
    rotation = torch.atan2(sine, relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1.0)
    moved = batch.parallax_px > _ENOUGH_PARALLAX_PX
    direction = F.cosine_similarity(found[..., :3, 3], truth[..., :3, 3], dim=-1).clamp(-1, 1).acos()
    return torch.rad2deg(rotation).flatten(), torch.rad2deg(direction[moved]).flatten()
