"""From a plane sweep to a view: a small U-Net weighs depths and visibility, and says where it cannot know."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

_LUMA = (0.299, 0.587, 0.114)
_SHARPNESS = 400.0
"""Weight of photo-consistency in the choice of depth, per squared grey level of 0 to 1."""
_UNSEEN_COST, _ALONE_COST = 0.05, 0.02
_UNKNOWN = 4.0
_MOST = 16.0
"""Limit of the network's outputs. On scenes unlike its training they exceed it a hundredfold in places."""
_TRUST, _LEAST_VOTE = 4.0, 0.05
"""A frame that votes for a plane makes it ``(1 + 1 / _LEAST_VOTE) ** _TRUST`` times as likely."""


class SweptViews(NamedTuple):
    """What the context frames say about views, before the joint blocks.

    Attributes:
        colour: (B, T, 3, H, W) -1 to 1, as far as it was seen.
        gate: (B, T, H, W) logit that a pixel must be made up.
        log_error: (B, T, H, W) log of the expected error of the colour.
        given: (B,) 1 where there was a sweep; 0 where there was none, and the other fields mean nothing.
        planes: (B, T, D, H, W) log of the probability that a pixel lies on each plane; None where nothing was swept.
        weights: (B, T, K, H, W) how much each context frame counts; None where nothing was swept.
    """

    colour: Tensor
    gate: Tensor
    log_error: Tensor
    given: Tensor
    planes: Tensor | None = None
    weights: Tensor | None = None

    @staticmethod
    def nothing(video: Tensor) -> SweptViews:
        """For video (B, N, 3, H, W), where nothing was swept."""
        empty = torch.zeros_like(video[:, :, 0])
        return SweptViews(torch.zeros_like(video), empty, empty, torch.zeros_like(video[:, 0, 0, 0, 0]))


class SweepEncoder(nn.Module):
    """What context frames, swept into target cameras, tell about the views; independent of the noise.

    It starts as classical plane-sweep stereo, the depth at which the context agrees best, and learns what to change.

    Args:
        depths: planes of the sweep, see `ros2_raxels.view_synthesis.plane_sweep`.
        contexts: frames at most, newest first.
        width: channels at full resolution.
    """

    def __init__(self, depths: int, contexts: int, width: int) -> None:
        super().__init__()
        self.depths, self.contexts = depths, contexts
        self.net = _UNet(2 * depths + 4, width, depths + contexts + 2)
        # Newer frames are closer to the target.
        recency = torch.linspace(1.0, 0.3, contexts).log()
        self.bias = nn.Parameter(torch.cat([torch.zeros(depths), recency, torch.tensor([-_UNKNOWN, -2.0])]))

    def forward(self, swept: Tensor, votes: Tensor | None = None) -> SweptViews:
        """Views of what the context frames show.

        Args:
            swept: (B, T, K, 4, D, H, W) uint8: RGB times how much it is seen, and that; K contexts, D planes. Fewer
                contexts than the model has will do.
            votes: (B, T, D, H, W) how many frames are known to show something there, 0 or more; None where they were
                not counted. They weigh the planes directly, and are no input of the network.
        """
        shape = swept.shape[:2]
        frames = swept.flatten(0, 1)
        prior, inputs = self._agreement(frames)
        out = self.net(inputs).float() + self.bias[:, None, None]
        depth, visible, gate, log_error = out.clamp(-_MOST, _MOST).split([self.depths, self.contexts, 1, 1], dim=1)
        logits = prior + depth
        if votes is not None:
            logits = logits + _TRUST * torch.log1p(votes.flatten(0, 1) / _LEAST_VOTE)
        planes = torch.log_softmax(logits, dim=1)
        there = _blended(frames, planes.exp())
        seen = there[:, :, 3]
        weight = torch.softmax(visible[:, : seen.shape[1]] + (seen + 1e-4).log(), dim=1)
        colour = (weight[:, :, None] * there[:, :, :3] / (seen[:, :, None] + 1e-4)).sum(dim=1) * 2.0 - 1.0
        colour, gate, log_error, planes, weight = (
            v.reshape(*shape, *v.shape[1:]) for v in (colour, gate[:, 0], log_error[:, 0], planes, weight)
        )
        return SweptViews(colour, gate, log_error, torch.ones_like(gate[:, 0, 0, 0]), planes, weight)

    def _agreement(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of each depth (M, D, H, W) from photo-consistency, and what the network looks at."""
        with torch.no_grad():
            seen = frames[:, :, 3].float() / 255.0
            red, green, blue = (frames[:, :, k].float() * (share / 255.0) for k, share in enumerate(_LUMA))
            grey = red + green + blue
            count = seen.sum(dim=1)
            mean = grey.sum(dim=1) / (count + 1e-4)
            cost = (grey.square().sum(dim=1) / (count + 1e-4) - mean.square()).clamp(min=0.0)
            cost = cost + _ALONE_COST * (count < 1.5) + _UNSEEN_COST * (count < 0.5)
            prior = -_SHARPNESS * (0.7 * _box(cost, 7) + 0.3 * _box(cost, 3))
            newest = _blended(frames[:, :1], torch.softmax(prior, dim=1))[:, 0]
            inputs = torch.cat([4.0 * (cost + 1e-6).sqrt(), count / self.contexts, newest], dim=1)
        return prior, inputs


def _box(x: Tensor, side: int) -> Tensor:
    """Mean over the part of a window that lies inside the image."""
    x = F.avg_pool2d(x, (side, 1), 1, (side // 2, 0), count_include_pad=False)
    return F.avg_pool2d(x, (1, side), 1, (0, side // 2), count_include_pad=False)


def _blended(frames: Tensor, chosen: Tensor) -> Tensor:
    """(M, K, 4, H, W), 0 to 1, of (M, K, 4, D, H, W) uint8 and the share (M, D, H, W) of each depth.

    One channel of one frame at a time: all at once would be written to memory and read back.
    """
    share = chosen / 255.0
    blended = [
        torch.stack([(frames[:, k, c].float() * share).sum(dim=1) for c in range(4)], dim=1)
        for k in range(frames.shape[1])
    ]
    return torch.stack(blended, dim=1)


class _UNet(nn.Module):
    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        half, quarter = 2 * width, 3 * width
        self.down_1 = _Pair(inputs, width)
        self.down_2 = _Pair(width, half, stride=2)
        self.down_4 = _Pair(half, quarter, stride=2)
        self.down_8 = _Pair(quarter, quarter, stride=2)
        self.to_4, self.up_4 = nn.Conv2d(quarter, quarter, 1), _Pair(quarter, quarter)
        self.to_2, self.up_2 = nn.Conv2d(quarter, half, 1), _Pair(half, half)
        self.to_1, self.up_1 = nn.Conv2d(half, width, 1), _Pair(width, width)
        # Zero at the start, so that the sweep speaks for itself.
        self.out = nn.Parameter(torch.zeros(outputs, width, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(M, outputs, H, W); H and W are multiples of 8."""
        full = self.down_1(x.contiguous(memory_format=torch.channels_last))
        half = self.down_2(full)
        quarter = self.down_4(half)
        quarter = self.up_4(quarter + _doubled(self.to_4(self.down_8(quarter))))
        half = self.up_2(half + _doubled(self.to_2(quarter)))
        return F.conv2d(self.up_1(full + _doubled(self.to_1(half))), self.out, padding=1)


class _Pair(nn.Module):
    """Two 3x3 convolutions, the second beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3 if stride == 1 else 4, stride, 1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.first(x))
        return x + F.silu(self.second(x))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
