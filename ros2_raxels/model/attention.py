"""Layers: RMS norm, rotary positions, attention over (batch, heads, tokens, channels), gated feed-forward."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

_SPACE_OCTAVES = 5.0


class RMSNorm(nn.Module):
    """Root mean square norm, computed in single precision whatever surrounds it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width), normalised."""
        y = x.float()
        y = y * torch.rsqrt((y * y).mean(dim=-1, keepdim=True) + 1e-6)
        return (y * self.scale).to(x.dtype)


def rotations(position: Tensor, head_width: int) -> Tensor:
    """Rotary angles as (cos, sin), (2, B, 1, L, head_width / 2), of positions (B, L, 3): frame, y, x.

    A quarter of the channels rotate with the frame number, the others with the place in the image (-1 to 1).
    """
    half = head_width // 2
    in_time = half // 4
    in_y = (half - in_time) // 2
    in_x = half - in_time - in_y

    def angles(value: Tensor, count: int, lowest: float, octaves: float) -> Tensor:
        steps = torch.arange(count, device=value.device, dtype=torch.float32) / max(count - 1, 1)
        return value.float()[..., None] * lowest * torch.exp2(octaves * steps)

    turn = torch.cat(
        [
            angles(position[..., 0], in_time, 0.25, 2.5),
            angles(position[..., 1], in_y, 0.5, _SPACE_OCTAVES),
            angles(position[..., 2], in_x, 0.5, _SPACE_OCTAVES),
        ],
        dim=-1,
    )[:, None]
    return torch.stack([turn.cos(), turn.sin()])


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Rotate pairs of channels of (B, heads, L, head_width)."""
    a, b = x.float().chunk(2, dim=-1)
    cos, sin = turn[0], turn[1]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)


def attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Values (batch, heads, L, channels), weighted by how well keys (batch, heads, M, channels) fit each query.

    The one place that chooses how this is computed. `mask` is added to the logits (batch, heads, L, M) and broadcasts.
    """
    if torch.compiler.is_exporting():
        return attended_by_products(query, key, value, mask)
    return F.scaled_dot_product_attention(query, key, value, None if mask is None else mask.to(query.dtype))


def attended_by_products(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """`attended` as exported graphs spell it out.

    The ONNX exporter would scale queries and keys by the fourth root of their width each, and keep the softmax in half
    precision where products are in half; TensorRT fuses these lines.
    """
    # Scaled before the product, so that it cannot overflow in half precision.
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if mask is not None:
        logits = logits + mask.to(logits.dtype)
    return torch.softmax(logits.float(), dim=-1).to(value.dtype) @ value


class Attention(nn.Module):
    """Attention with normalised, rotated queries and keys; `context` defaults to the tokens themselves."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.query_norm, self.key_norm = RMSNorm(width // heads), RMSNorm(width // heads)

    def forward(
        self,
        x: Tensor,
        turn: Tensor,
        context: Tensor | None = None,
        context_turn: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """(B, L, width); `mask` (B, 1, 1, M) is added to the logits."""
        key, value = self.keys(x if context is None else context, turn if context_turn is None else context_turn)
        return self.attend(x, turn, key, value, mask)

    def keys(self, context: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
        """Rotated keys and values (B, heads, M, head_width), which several queries may share."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        return rotate(self.key_norm(self._split(key)), turn), self._split(value)

    def attend(self, x: Tensor, turn: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attention of tokens (B, L, width) to keys and values."""
        query = rotate(self.query_norm(self._split(self.query(x))), turn)
        mixed = attended(query, key, value, mask).transpose(1, 2)
        out: Tensor = self.out(mixed.reshape(*x.shape[:-1], -1))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = -(-8 * width // 3 // 32) * 32
        self.gate_up, self.down = nn.Linear(width, 2 * hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width)."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        changed: Tensor = self.down(F.silu(gate) * up)
        return changed


class EvidenceBlock(nn.Module):
    """Self-attention and feed-forward over tracks; independent of the noise, so it runs once per clip."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm, self.attention = RMSNorm(width), Attention(width, heads)
        self.mlp_norm, self.mlp = RMSNorm(width), FeedForward(width)

    def forward(self, x: Tensor, turn: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, P, width) after the block."""
        x = x + self.attention(self.norm(x), turn, mask=mask)
        changed: Tensor = x + self.mlp(self.mlp_norm(x))
        return changed


@dataclass(frozen=True)
class Stream:
    """Tokens of one modality on their way through the blocks.

    Attributes:
        tokens: (B, L, width).
        turn: rotary angles of each, see `rotations`.
        time: (B, L, width) embedding of the noise level that each stands at.
    """

    tokens: Tensor
    turn: Tensor
    time: Tensor


class Modulation(NamedTuple):
    """Shift, scale and gate, (B, L, width) each, of self-attention and of the feed-forward."""

    shift: Tensor
    scale: Tensor
    gate: Tensor
    mlp_shift: Tensor
    mlp_scale: Tensor
    mlp_gate: Tensor


class Branch(nn.Module):
    """What one modality has of a joint block: its own norms, attentions, feed-forward and modulation by its time."""

    def __init__(self, width: int, heads: int, evidence: bool) -> None:
        super().__init__()
        self.norm, self.attention = RMSNorm(width), Attention(width, heads)
        self.cross_norm, self.context_norm, self.cross = RMSNorm(width), RMSNorm(width), Attention(width, heads)
        self.mlp_norm, self.mlp = RMSNorm(width), FeedForward(width)
        self.evidence_norm = RMSNorm(width) if evidence else None
        self.evidence = Attention(width, heads) if evidence else None
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def modulate(self, time: Tensor) -> Modulation:
        """Of tokens whose time is embedded as (B, L, width)."""
        return Modulation(*self.modulation(F.silu(time)).chunk(6, dim=-1))

    def normed(self, own: Stream, by: Modulation) -> Tensor:
        """Tokens (B, L, width) as self-attention takes them."""
        return _shifted(self.norm(own.tokens), by.shift, by.scale)

    def after_self_attention(self, own: Stream, by: Modulation) -> Stream:
        """Each token has attended to those of its own modality."""
        change = self.attention(self.normed(own, by), own.turn)
        return replace(own, tokens=own.tokens + (1.0 + by.gate) * change)

    def after_cross_attention(self, own: Stream, other: Stream) -> Stream:
        """Each token has attended to those of the other modality."""
        context = self.context_norm(other.tokens)
        change = self.cross(self.cross_norm(own.tokens), own.turn, context, other.turn)
        return replace(own, tokens=own.tokens + change)

    def after_feed_forward(self, own: Stream, by: Modulation) -> Stream:
        """Each token has gone through the feed-forward."""
        gain = 1.0 + by.mlp_gate
        change = self.mlp(_shifted(self.mlp_norm(own.tokens), by.mlp_shift, by.mlp_scale))
        return replace(own, tokens=own.tokens + gain * change)


def _shifted(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1.0 + scale) + shift
