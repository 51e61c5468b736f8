"""model.attention: what attention may and may not depend on, and the other layers against their definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ros2_raxels.model.attention import (  # noqa: E402
    Attention,
    Branch,
    EvidenceBlock,
    FeedForward,
    RMSNorm,
    Stream,
    attended,
    attended_by_products,
    rotate,
    rotations,
)

if TYPE_CHECKING:
    from torch import Tensor


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_attention_depends_on_relative_positions_alone() -> None:
    torch.manual_seed(0)
    attention = Attention(32, 2)
    x, context = torch.randn(2, 5, 32), torch.randn(2, 7, 32)
    at, context_at = torch.rand(2, 5, 3) * 2 - 1, torch.rand(2, 7, 3) * 2 - 1

    def attend(shift: Tensor, context_shift: Tensor) -> Tensor:
        out: Tensor = attention(x, rotations(at + shift, 16), context, rotations(context_at + context_shift, 16))
        return out.detach()

    nothing = torch.zeros(3)
    here = attend(nothing, nothing)
    for shift in torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.4, 0.0], [0.0, 0.0, -0.7], [2.0, 0.3, 0.5]]):
        torch.testing.assert_close(attend(shift, shift), here, atol=1e-5, rtol=0.0)
        # Each axis counts: moved against its context, a token sees something else.
        assert (attend(shift, nothing) - here).abs().max() > 1e-3


def test_masked_context_is_not_there() -> None:
    torch.manual_seed(1)
    attention = Attention(32, 2)
    x, context = torch.randn(1, 4, 32), torch.randn(1, 6, 32)
    turn, context_turn = rotations(torch.rand(1, 4, 3), 16), rotations(torch.rand(1, 6, 3), 16)
    mask = torch.zeros(1, 1, 1, 6)
    mask[..., 4:] = -1e4
    found = attention(x, turn, context, context_turn, mask)
    torch.testing.assert_close(found, attention(x, turn, context[:, :4], context_turn[:, :, :, :4]))


def attention_inputs(masked: bool) -> tuple[Tensor, ...]:
    """Queries of 5 tokens, keys and values of 7, for two clips and two heads, in double precision; and a mask."""
    generator = torch.Generator().manual_seed(2)
    query = torch.randn(2, 2, 5, 16, generator=generator, dtype=torch.float64)
    key, value = torch.randn(2, 2, 2, 7, 16, generator=generator, dtype=torch.float64)
    mask = torch.zeros(2, 1, 1, 7, dtype=torch.float64)
    mask[1, ..., 4:] = -1e4
    return (query, key, value, mask) if masked else (query, key, value)


def by_definition(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    logits = torch.einsum("bhld,bhmd->bhlm", query, key) / 4.0
    weight = torch.exp(logits if mask is None else logits + mask)
    return torch.einsum("bhlm,bhmd->bhld", weight / weight.sum(dim=-1, keepdim=True), value)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("compute", [attended, attended_by_products])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-6), (torch.bfloat16, 0.03)])
def test_values_and_gradients_of_attention_are_those_of_its_definition(
    compute: Callable[..., Tensor], masked: bool, dtype: torch.dtype, atol: float
) -> None:
    """To the given distance; values and gradients are of order 1."""
    exact = [t.requires_grad_() for t in attention_inputs(masked)[:3]]
    given = [t.detach().to(dtype).requires_grad_() for t in exact]
    # As evidence has it: always in single precision, and without a gradient.
    mask = [t.float() for t in attention_inputs(masked)[3:]]
    expected, found = by_definition(*exact, *mask), compute(*given, *mask)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, atol=atol, rtol=0.0)
    towards = torch.randn(expected.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected.backward(towards)
    found.backward(towards.to(dtype))
    for exact_input, given_input in zip(exact, given, strict=True):
        assert exact_input.grad is not None
        assert given_input.grad is not None
        torch.testing.assert_close(given_input.grad.double(), exact_input.grad, atol=atol, rtol=0.0)


def test_exported_attention_is_spelled_out() -> None:
    """What TensorRT fuses: a scale, two products and a softmax in single precision."""
    arguments = tuple(t.half() for t in attention_inputs(masked=True))

    class Alone(torch.nn.Module):
        def forward(self, *inputs: Tensor) -> Tensor:
            return attended(*inputs)

    program = torch.export.export(Alone(), arguments)
    targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert [t for t in targets if "scaled_dot_product" in str(t)] == []
    assert targets.count(torch.ops.aten.matmul.default) == 2
    softmax = next(node for node in program.graph.nodes if node.target is torch.ops.aten.softmax.int)
    assert softmax.meta["val"].dtype == torch.float32


# -------------------------------------------------------------------------------------------------- other layers


def test_positions_turn_channels_by_their_angles_and_keep_lengths() -> None:
    """Pairs of channels as complex numbers: a quarter turn with the frame, at .25 to 2^2.5 times that a frame."""
    position = torch.tensor([[[2.0, 0.3, -0.6]]])
    # 16 channels are 8 pairs: 2 for the frame, 3 each for y and x.
    frequency = np.concatenate([0.25 * 2 ** np.linspace(0, 2.5, 2), *2 * [0.5 * 2 ** np.linspace(0, 5, 3)]])
    angle = frequency * np.repeat(position.numpy()[0, 0], (2, 3, 3))
    x = torch.randn(1, 3, 1, 16, generator=torch.Generator().manual_seed(4))
    pairs = (x[..., :8] + 1j * x[..., 8:]).numpy() * np.exp(1j * angle)
    found = rotate(x, rotations(position, 16)).numpy()
    np.testing.assert_allclose(found, np.concatenate([pairs.real, pairs.imag], axis=-1), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), x.norm(dim=-1), rtol=1e-5)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-5), (torch.bfloat16, 0.01)])
def test_normed_tokens_have_the_scale_as_their_root_mean_square(dtype: torch.dtype, rtol: float) -> None:
    norm = RMSNorm(8)
    with torch.no_grad():
        norm.scale.copy_(torch.arange(1.0, 9.0))
    x = 50.0 * torch.randn(4, 8, generator=torch.Generator().manual_seed(5)).to(dtype)
    found = norm(x)
    assert found.dtype == dtype
    exact = x.double().numpy()
    expected = exact / np.sqrt(np.mean(exact**2, axis=-1, keepdims=True)) * np.arange(1.0, 9.0)
    np.testing.assert_allclose(found.detach().double().numpy(), expected, rtol=rtol)
    assert (norm(torch.zeros(1, 8, dtype=dtype)) == 0).all()


def test_the_feed_forward_gates_one_half_by_the_other() -> None:
    torch.manual_seed(6)
    layer, x = FeedForward(48), torch.randn(3, 48)
    # 8 / 3 of the width, rounded up to a multiple of 32.
    assert layer.down.in_features == 128
    first, second, down = (w.detach().double().numpy() for w in (*layer.gate_up.weight.chunk(2), layer.down.weight))
    gate, up = x.double().numpy() @ first.T, x.double().numpy() @ second.T
    np.testing.assert_allclose(layer(x).detach(), (gate / (1 + np.exp(-gate)) * up) @ down.T, atol=1e-5)


def test_shift_scale_and_gate_of_the_time_act_where_they_should() -> None:
    """Written out, with modulation that is the same for all tokens."""
    torch.manual_seed(7)
    branch = Branch(32, 2, evidence=False)
    values = torch.randn(6, 32)
    with torch.no_grad():
        branch.modulation.bias.copy_(values.flatten())
    own = Stream(torch.randn(1, 4, 32), rotations(torch.rand(1, 4, 3), 16), torch.randn(1, 4, 32))
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = values
    with torch.no_grad():
        by = branch.modulate(own.time)
        attended_to = branch.after_self_attention(own, by).tokens
        fed = branch.after_feed_forward(own, by).tokens
        change = branch.attention(branch.norm(own.tokens) * (1 + scale) + shift, own.turn)
        mlp_change = branch.mlp(branch.mlp_norm(own.tokens) * (1 + mlp_scale) + mlp_shift)
    torch.testing.assert_close(attended_to, own.tokens + (1 + gate) * change)
    torch.testing.assert_close(fed, own.tokens + (1 + mlp_gate) * mlp_change)


def test_a_fresh_branch_does_not_modulate() -> None:
    time = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(8))
    assert all((value == 0).all() for value in Branch(32, 2, evidence=True).modulate(time))


def test_a_block_over_tracks_adds_attention_and_then_the_feed_forward() -> None:
    torch.manual_seed(9)
    block, x, turn = EvidenceBlock(32, 2), torch.randn(1, 5, 32), rotations(torch.rand(1, 5, 3), 16)
    mask = torch.zeros(1, 1, 1, 5)
    mask[..., 3:] = -1e4
    with torch.no_grad():
        between = x + block.attention(block.norm(x), turn, mask=mask)
        torch.testing.assert_close(block(x, turn, mask), between + block.mlp(block.mlp_norm(between)))
        # Tracks that are masked do not reach the others.
        changed = x.clone()
        changed[:, 3:] = 7.0
        torch.testing.assert_close(block(changed, turn, mask)[:, :3], block(x, turn, mask)[:, :3])
