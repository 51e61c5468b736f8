"""ALIKED (Zhao and others 2023): keypoints and descriptors of a grey image, as one graph of standard operators.

Written for export after the authors' code (Copyright (c) 2022 Zhao Xiaoming, BSD-3-Clause), for their weights. What
they compute by deformable convolution and by sampling of patches is done here by gathering pixels, which every runtime
can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

STRIDE_PX = 32
"""Sides of the image must be multiples of this."""

ALIKED_INPUTS = ("image", "usable")
ALIKED_OUTPUTS = ("pixels", "strength", "descriptors")

_RADIUS_PX = 2
_TEMPERATURE = 0.1
_TAPS = 9


@dataclass(frozen=True)
class AlikedSize:
    """Sizes of the network; those given are the authors' "n16".

    Attributes:
        channels: of the four levels of the encoder.
        samples: pixels from which a descriptor is made.
        keypoints: how many are found.
    """

    channels: tuple[int, int, int, int] = (16, 32, 64, 128)
    samples: int = 16
    keypoints: int = 512


class Aliked(nn.Module):
    """The network. Its parameters have the names of the authors' weights.

    Args:
        size: of it.
    """

    def __init__(self, size: AlikedSize | None = None) -> None:
        super().__init__()
        self.size = size = size or AlikedSize()
        c1, c2, c3, c4 = size.channels
        quarter = c4 // 4
        self.block1 = _Block(1, c1)
        self.block2 = _Block(c1, c2, skips=True)
        self.block3 = _Block(c2, c3, skips=True, deforms=True)
        self.block4 = _Block(c3, c4, skips=True, deforms=True)
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            nn.Conv2d(channels, quarter, 1, bias=False) for channels in size.channels
        )
        self.score_head = nn.Sequential(
            nn.Conv2d(c4, 8, 1, bias=False),
            nn.SELU(),
            nn.Conv2d(8, 4, 3, padding=1, bias=False),
            nn.SELU(),
            nn.Conv2d(4, 4, 3, padding=1, bias=False),
            nn.SELU(),
            nn.Conv2d(4, 1, 3, padding=1, bias=False),
        )
        self.desc_head = _DescriptorHead(c4, size.samples)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take the authors' weights, which are for colours: a grey image has all three alike.

        Raises:
            RuntimeError: they are of another network.
        """
        weights = dict(weights)
        first = "block1.conv1.weight"
        if first in weights:
            weights[first] = weights[first].sum(dim=1, keepdim=True)
        self.load_state_dict(weights)

    def forward(self, image: Tensor, usable: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The strongest keypoints.

        Args:
            image: (H, W) uint8.
            usable: (H, W) bool, where keypoints may be.

        Returns:
            Pixels (K, 2), strengths (K,) from 0 to 1, 0 where there are no more, and descriptors (K, D) of length 1.
        """
        levels = self._levels(image[None, None].float() / 255.0)
        pixels, strength = _strongest(self._scores(levels), usable, self.size.keypoints)
        return pixels, strength, self.desc_head(_side_by_side(levels), image.shape[0], image.shape[1], pixels)

    def _levels(self, image: Tensor) -> list[Tensor]:
        """Features of full size, and at a half, an eighth and a thirty-second of it."""
        x1 = self.block1(image)
        x2 = self.block2(fn.avg_pool2d(x1, 2))
        x3 = self.block3(fn.avg_pool2d(x2, 4))
        x4 = self.block4(fn.avg_pool2d(x3, 4))
        narrow = (self.conv1, self.conv2, self.conv3, self.conv4)
        return [fn.selu(conv(x)) for conv, x in zip(narrow, (x1, x2, x3, x4), strict=True)]

    def _scores(self, levels: list[Tensor]) -> Tensor:
        """(1, 1, H, W) from 0 to 1."""
        # Before enlarging it: that is the same, with fewer channels.
        mix = self.score_head[0].weight
        assert isinstance(mix, Tensor)
        parts = mix.chunk(4, dim=1)
        first = [
            _enlarged(fn.conv2d(level, part), k) for k, (level, part) in enumerate(zip(levels, parts, strict=True))
        ]
        return torch.sigmoid(self.score_head[1:](first[0] + first[1] + first[2] + first[3]))


_FACTORS = (1, 2, 8, 32)


def _enlarged(level: Tensor, which: int) -> Tensor:
    if which == 0:
        return level
    return fn.interpolate(level, scale_factor=_FACTORS[which], mode="bilinear", align_corners=True)


def _side_by_side(levels: list[Tensor]) -> Tensor:
    """(H * W, D) features of all levels at every pixel."""
    return torch.cat([_enlarged(level, k) for k, level in enumerate(levels)], dim=1)[0].flatten(1).T


def _strongest(scores: Tensor, usable: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Pixels (K, 2) between pixels, and scores (K,), of the strongest local maxima."""
    height, width = usable.shape
    scores = scores * usable[None, None]
    row, column = torch.arange(height)[:, None], torch.arange(width)
    inner = (row >= _RADIUS_PX) & (row < height - _RADIUS_PX) & (column >= _RADIUS_PX) & (column < width - _RADIUS_PX)
    peaks = _peaks(scores)[0, 0] * inner
    index = torch.topk(peaks.flatten(), count).indices
    y = index // width
    x = index - y * width
    size = torch.arange(-_RADIUS_PX, _RADIUS_PX + 1)
    along_x, along_y = size.repeat(2 * _RADIUS_PX + 1), size.repeat_interleave(2 * _RADIUS_PX + 1)
    near = (y[:, None] + along_y).clamp(0, height - 1) * width + (x[:, None] + along_x).clamp(0, width - 1)
    around = scores.flatten()[near]
    weight = torch.softmax(around / _TEMPERATURE, dim=1)
    moved = weight @ torch.stack([along_x, along_y], dim=1).float()
    pixels = torch.stack([x, y], dim=1).float() + moved
    strength = _between(scores[0, 0].flatten()[:, None], height, width, pixels)[:, 0]
    return pixels, torch.where(peaks.flatten()[index] > 0, strength, 0.0)


def _peaks(scores: Tensor) -> Tensor:
    """The scores where they are largest around, also once those around larger ones are gone; 0 elsewhere."""

    def largest(values: Tensor) -> Tensor:
        return fn.max_pool2d(values, 2 * _RADIUS_PX + 1, stride=1, padding=_RADIUS_PX)

    kept = scores == largest(scores)
    for _ in range(2):
        gone = largest(kept.float()) > 0
        left = torch.where(gone, 0.0, scores)
        kept = kept | ((left == largest(left)) & ~gone)
    return torch.where(kept, scores, 0.0)


def _between(image: Tensor, height: int, width: int, pixels: Tensor, *, unit: bool = False) -> Tensor:
    """Values (..., C) of an image (H * W, C) at pixels (..., 2), between pixels interpolated; 0 beyond its border.

    Where they are wanted of unit length, they are so before they are interpolated.
    """
    corner = pixels.floor()
    part = pixels - corner
    x, y = corner[..., 0].long(), corner[..., 1].long()
    found = None
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (part[..., 0] if dx else 1 - part[..., 0]) * (part[..., 1] if dy else 1 - part[..., 1])
            inside = (x + dx >= 0) & (x + dx < width) & (y + dy >= 0) & (y + dy < height)
            index = (y + dy).clamp(0, height - 1) * width + (x + dx).clamp(0, width - 1)
            value = image[index]
            weight = weight * inside
            # Here, and not in the whole image: fewer pixels are asked for than there are.
            value = value * (weight * _inverse_length(value) if unit else weight)[..., None]
            found = value if found is None else found + value
    assert found is not None
    return found


def _inverse_length(vectors: Tensor) -> Tensor:
    return torch.rsqrt((vectors * vectors).sum(dim=-1).clamp(min=1e-24))


class _Deformed(nn.Module):
    """A convolution of 3 x 3 whose pixels lie where another one says."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.offset_conv = nn.Conv2d(inputs, 2 * _TAPS, 3, padding=1)
        self.regular_conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(1, inputs, H, W) to (1, outputs, H, W)."""
        channels, height, width = x.shape[1:]
        most = max(height, width) / 4.0
        offset = self.offset_conv(x)[0].clamp(-most, most).reshape(_TAPS, 2, height, width)
        tap = torch.arange(_TAPS)
        row = torch.arange(height)[:, None] + (tap // 3 - 1)[:, None, None] + offset[:, 0]
        column = torch.arange(width) + (tap % 3 - 1)[:, None, None] + offset[:, 1]
        places = torch.stack([column, row], dim=-1).permute(1, 2, 0, 3)
        seen = _between(x[0].flatten(1).T, height, width, places).reshape(height * width, _TAPS * channels)
        weight = self.regular_conv.weight.permute(2, 3, 1, 0).reshape(_TAPS * channels, -1)
        return (seen @ weight).T.reshape(1, -1, height, width)


class _Block(nn.Module):
    """Two convolutions, with what went in added in the end where it skips them."""

    def __init__(self, inputs: int, outputs: int, *, skips: bool = False, deforms: bool = False) -> None:
        super().__init__()
        self.conv1, self.conv2 = (
            _Deformed(i, outputs) if deforms else nn.Conv2d(i, outputs, 3, padding=1, bias=False)
            for i in (inputs, outputs)
        )
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.downsample = nn.Conv2d(inputs, outputs, 1) if skips else None

    def forward(self, x: Tensor) -> Tensor:
        """(1, inputs, H, W) to (1, outputs, H, W)."""
        out = self.bn2(self.conv2(fn.selu(self.bn1(self.conv1(x)))))
        return fn.selu(out if self.downsample is None else out + self.downsample(x))


class _DescriptorHead(nn.Module):
    """Descriptors from pixels around a keypoint that it chooses itself."""

    def __init__(self, width: int, samples: int) -> None:
        super().__init__()
        self.samples = samples
        self.offset_conv = nn.Sequential(
            nn.Conv2d(width, 2 * samples, 3), nn.SELU(), nn.Conv2d(2 * samples, 2 * samples, 1)
        )
        self.sf_conv = nn.Conv2d(width, width, 1, bias=False)
        self.agg_weights = nn.Parameter(torch.rand(samples, width, width))

    def forward(self, features: Tensor, height: int, width: int, pixels: Tensor) -> Tensor:
        """Descriptors (K, D) from features (H * W, D) at pixels (K, 2)."""
        count = len(pixels)
        corner = (pixels.long() - 1).clamp(min=0)
        x, y = corner[:, :1].clamp(max=width - 4), corner[:, 1:].clamp(max=height - 4)
        tap = torch.arange(_TAPS)
        patch = features[(y + tap // 3) * width + x + tap % 3]
        patch = patch * _inverse_length(patch)[..., None]
        first, second = self.offset_conv[0], self.offset_conv[2]
        assert isinstance(first, nn.Conv2d)
        assert isinstance(second, nn.Conv2d)
        assert first.bias is not None
        assert second.bias is not None
        hidden = patch.flatten(1) @ first.weight.permute(2, 3, 1, 0).flatten(0, 2) + first.bias
        offset = fn.selu(hidden) @ second.weight[:, :, 0, 0].T + second.bias
        most = max(height, width) / 4.0
        offset = offset.clamp(-most, most).reshape(count, 2, self.samples).transpose(1, 2)
        seen = _between(features, height, width, pixels[:, None] + offset, unit=True)
        seen = fn.selu(seen @ self.sf_conv.weight[:, :, 0, 0].T)
        return fn.normalize(seen.flatten(1) @ self.agg_weights.flatten(0, 1), dim=1)
