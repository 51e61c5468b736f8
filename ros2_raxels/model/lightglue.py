"""LightGlue (Lindenberger and others 2023): which keypoints of two images are the same, in stages that can stop early.

Written for export after the authors' code (Apache-2.0), for their weights. Its layers are dealt out to stages, a graph
each. After a stage whoever runs them may stop, or go on without the keypoints that have no match.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

STAGE_INPUTS = ("place_a", "place_b", "known_a", "known_b")
"""Known are descriptors for the first stage, and the states of the stage before for the others."""

STAGE_OUTPUTS = ("state_a", "state_b", "keep_a", "keep_b", "unsure", "best_a", "best_b", "score_a")

_LEAST_MATCHABLE = 0.01
"""Keypoints that are surely less so have no match, and need not go on."""


@dataclass(frozen=True)
class LightGlueSize:
    """Sizes of the network; those given are the authors' for ALIKED.

    Attributes:
        descriptor: length of a descriptor.
        width: of the states.
        heads: of attention.
        layers: of all stages.
    """

    descriptor: int = 128
    width: int = 256
    heads: int = 4
    layers: int = 9


class LightGlue(nn.Module):
    """The network. Its parameters have the names of the authors' weights.

    Args:
        size: of it.
    """

    def __init__(self, size: LightGlueSize | None = None) -> None:
        super().__init__()
        self.size = size = size or LightGlueSize()
        self.input_proj = nn.Linear(size.descriptor, size.width)
        self.posenc = _Places(size.width // size.heads // 2)
        self.transformers = nn.ModuleList(_Layer(size) for _ in range(size.layers))
        self.log_assignment = nn.ModuleList(_Assignment(size.width) for _ in range(size.layers))
        self.token_confidence = nn.ModuleList(_Sureness(size.width) for _ in range(size.layers - 1))

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take the authors' weights.

        Raises:
            RuntimeError: they are of another network.
        """
        self.load_state_dict({name: value for name, value in weights.items() if name != "confidence_thresholds"})

    def stages(self, lengths: tuple[int, ...]) -> list[LightGlueStage]:
        """The network as stages of so many layers each."""
        found, start = [], 0
        for length in lengths:
            found.append(LightGlueStage(self, start, start + length))
            start += length
        return found


class LightGlueStage(nn.Module):
    """Layers of the network, and which keypoints match as far as these tell.

    Args:
        net: the whole of it.
        start, end: of its layers.
    """

    def __init__(self, net: LightGlue, start: int, end: int) -> None:
        super().__init__()
        self.input_proj = net.input_proj if start == 0 else None
        self.posenc = net.posenc
        self.layers = net.transformers[start:end]
        assignment = net.log_assignment[end - 1]
        assert isinstance(assignment, _Assignment)
        self.assignment = assignment
        sureness = net.token_confidence[end - 1] if end < net.size.layers else None
        assert sureness is None or isinstance(sureness, _Sureness)
        self.sureness = sureness
        # Of the authors: the sooner it is to stop, the surer it has to be.
        self.least_sure = 0.8 + 0.1 * math.exp(-4.0 * (end - 1) / net.size.layers)

    def forward(self, place_a: Tensor, place_b: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        """One stage.

        Args:
            place_a, place_b: (M, 2) and (N, 2), the middle of the image 0 and its longer side 2.
            a, b: (M, D) and (N, D) descriptors for the first stage, states of the stage before for the others.

        Returns:
            `STAGE_OUTPUTS`: states (M, W) and (N, W); (M,) and (N,) bool, which keypoints may have a match; (), how
            many of all are not sure of their answer yet; (M,) and (N,) index of the best in the other image; (M,) the
            score of that, 0 to 1.
        """
        turns = [self.posenc(place) for place in (place_a, place_b)]
        if self.input_proj is not None:
            a, b = self.input_proj(a), self.input_proj(b)
        for layer in self.layers:
            a, b = layer(a, b, *turns)
        unsure = [self._unsure(x) for x in (a, b)]
        keep = [self.assignment.may_match(x) | doubt for x, doubt in zip((a, b), unsure, strict=True)]
        scores = self.assignment(a, b)
        best_a, best_b = scores.max(dim=1), scores.argmax(dim=0)
        return (a, b, *keep, unsure[0].sum() + unsure[1].sum(), best_a.indices, best_b, best_a.values.exp())

    def _unsure(self, x: Tensor) -> Tensor:
        if self.sureness is None:
            return torch.zeros_like(x[:, 0]) > 0
        return torch.as_tensor(self.sureness(x) < self.least_sure)


class _Places(nn.Module):
    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.Wr = nn.Linear(2, frequencies, bias=False)

    def forward(self, place: Tensor) -> Tensor:
        """(2, M, F) cosines and sines."""
        angle = self.Wr(place)
        return torch.stack([angle.cos(), angle.sin()])


class _Layer(nn.Module):
    def __init__(self, size: LightGlueSize) -> None:
        super().__init__()
        self.self_attn, self.cross_attn = _SelfBlock(size), _CrossBlock(size)

    def forward(self, a: Tensor, b: Tensor, turn_a: Tensor, turn_b: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.cross_attn(self.self_attn(a, turn_a), self.self_attn(b, turn_b))
        return a, b


def _feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(2 * width, 2 * width), nn.LayerNorm(2 * width), nn.GELU(), nn.Linear(2 * width, width)
    )


class _SelfBlock(nn.Module):
    def __init__(self, size: LightGlueSize) -> None:
        super().__init__()
        self.heads = size.heads
        self.Wqkv = nn.Linear(size.width, 3 * size.width)
        self.out_proj = nn.Linear(size.width, size.width)
        self.ffn = _feed_forward(size.width)

    def forward(self, x: Tensor, turn: Tensor) -> Tensor:
        every = self.Wqkv(x).reshape(x.shape[0], self.heads, -1, 3)
        q, k, v = (every[..., i].transpose(0, 1) for i in range(3))
        q, k = _turned(q, turn), _turned(k, turn)
        share = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(1, 2), dim=-1)
        message = self.out_proj((share @ v).transpose(0, 1).flatten(1))
        return x + torch.as_tensor(self.ffn(torch.cat([x, message], dim=1)))


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    """States (H, M, 2F) with every pair of them turned."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * turn[0] - odd * turn[1], odd * turn[0] + even * turn[1]], dim=-1).flatten(2)


class _CrossBlock(nn.Module):
    def __init__(self, size: LightGlueSize) -> None:
        super().__init__()
        self.heads = size.heads
        self.to_qk, self.to_v, self.to_out = (nn.Linear(size.width, size.width) for _ in range(3))
        self.ffn = _feed_forward(size.width)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = [self._split(self.to_qk(x)) for x in (a, b)], [self._split(self.to_v(x)) for x in (a, b)]
        alike = (keys[0] * keys[0].shape[-1] ** -0.5) @ keys[1].transpose(1, 2)
        to_a = torch.softmax(alike, dim=-1) @ values[1]
        to_b = torch.softmax(alike.transpose(1, 2), dim=-1) @ values[0]
        return self._told(a, to_a), self._told(b, to_b)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], self.heads, -1).transpose(0, 1)

    def _told(self, x: Tensor, message: Tensor) -> Tensor:
        told = torch.cat([x, self.to_out(message.transpose(0, 1).flatten(1))], dim=1)
        return x + torch.as_tensor(self.ffn(told))


class _Assignment(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.matchability = nn.Linear(width, 1)
        self.final_proj = nn.Linear(width, width)

    def may_match(self, x: Tensor) -> Tensor:
        """(M,) bool."""
        return torch.sigmoid(self.matchability(x))[:, 0] > _LEAST_MATCHABLE

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(M, N) logarithms of the scores of all pairs."""
        scale = a.shape[1] ** -0.5
        alike = (self.final_proj(a) * scale) @ self.final_proj(b).T
        sure = fn.logsigmoid(self.matchability(a)) + fn.logsigmoid(self.matchability(b)).T
        return fn.log_softmax(alike, dim=1) + fn.log_softmax(alike, dim=0) + sure


class _Sureness(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Sequential(nn.Linear(width, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.token(x)[:, 0])
