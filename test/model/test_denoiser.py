"""model: rays against the geometry, and what the denoiser may and may not depend on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose
from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS
from ros2_raxels.geometry.raxels import decode_raxels, encode_raxels

torch = pytest.importorskip("torch")

from ros2_raxels.model.attention import (  # noqa: E402
    Attention,
    Stream,
    attended,
    attended_by_products,
    rotations,
)
from ros2_raxels.model.denoiser import Denoised, JointBlock, JointDenoiser, TrackTokens  # noqa: E402
from ros2_raxels.model.presets import PRESETS, ModelSize  # noqa: E402
from ros2_raxels.model.rays import decode_rays, encode_rays, pose_error, unwhiten, whiten  # noqa: E402
from ros2_raxels.model.sweep import SweptViews  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

TINY = replace(PRESETS["tiny"], video_size_px=(32, 48))
TRACK_NAMES = ("plane", "place", "seen", "anchor", "is_flow", "score", "pixel", "known")
BOTH = pytest.mark.parametrize("pluecker", [False, True], ids=["raxels", "pluecker"])


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def cameras(seed: int, count: int = 6) -> tuple[FloatArray, FloatArray]:
    """Bearings (N, rows, columns, 3) of different lenses, and poses (N, 4, 4) of any rotation."""
    rng = np.random.default_rng(seed)
    bearings, poses = [], []
    for fov_deg in np.linspace(30.0, 100.0, count):
        focal = 160 / np.tan(np.radians(fov_deg) / 2)
        bearings.append(PinholeCamera(320, 240, focal, focal, 150.0, 125.0).bearings(RAXEL_ROWS, RAXEL_COLUMNS))
        poses.append(make_pose(Rotation.random(random_state=rng).as_matrix(), rng.uniform(-1, 1, 3)))
    return np.array(bearings), np.array(poses)


def as_tensors(*arrays: FloatArray) -> tuple[Tensor, ...]:
    return tuple(torch.as_tensor(a, dtype=torch.float64) for a in arrays)


# ----------------------------------------------------------------------------------------------------------- rays


def test_raxels_are_those_of_the_geometry() -> None:
    bearings, poses = cameras(0)
    found = encode_rays(*as_tensors(bearings, poses)).numpy()
    expected = [encode_raxels(b, p) for b, p in zip(bearings, poses, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_pluecker_rays_are_lines_through_the_camera() -> None:
    bearings, poses = cameras(1)
    rays = encode_rays(*as_tensors(bearings, poses), pluecker=True).numpy()
    direction, moment = rays[..., :3], rays[..., 3:]
    for d, m, b, p in zip(direction, moment, bearings, poses, strict=True):
        np.testing.assert_allclose(d, encode_raxels(b, make_pose(p[:3, :3], np.zeros(3))), atol=1e-12)
        # Any point of the line has the same moment.
        np.testing.assert_allclose(m, np.cross(p[:3, 3] + 2.5 * d, d), atol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.5])
def test_raxels_decode_as_the_geometry_decodes_them(noise: float) -> None:
    bearings, poses = cameras(2)
    rays = np.array([encode_raxels(b, p) for b, p in zip(bearings, poses, strict=True)])
    rays += noise * np.random.default_rng(2).normal(size=rays.shape)
    expected = [decode_raxels(r, b) for r, b in zip(rays, bearings, strict=True)]
    np.testing.assert_allclose(decode_rays(*as_tensors(rays, bearings)).numpy(), expected, atol=1e-9)


@BOTH
def test_decoding_inverts_encoding_under_any_leading_axes(pluecker: bool) -> None:
    bearings, poses = (t.reshape(2, 3, *t.shape[1:]) for t in as_tensors(*cameras(3)))
    found = decode_rays(encode_rays(bearings, poses, pluecker), bearings)
    np.testing.assert_allclose(found.numpy(), poses.numpy(), atol=1e-10)


@BOTH
def test_whitened_rays_are_zero_for_an_unmoved_camera_and_come_back(pluecker: bool) -> None:
    bearings, poses = as_tensors(*cameras(4))
    unmoved = encode_rays(bearings, torch.eye(4, dtype=torch.float64).expand_as(poses), pluecker)
    np.testing.assert_allclose(whiten(unmoved, bearings).numpy(), 0.0, atol=1e-12)
    rays = encode_rays(bearings, poses, pluecker)
    np.testing.assert_allclose(unwhiten(whiten(rays, bearings), bearings).numpy(), rays.numpy(), atol=1e-12)


def moved(poses: FloatArray, turn: FloatArray, shift: FloatArray) -> FloatArray:
    """Turned about their own centres by rotation vectors in the world, and shifted."""
    result = poses.copy()
    result[:, :3, :3] = Rotation.from_rotvec(turn).as_matrix() @ poses[:, :3, :3]
    result[:, :3, 3] += shift
    return result


@BOTH
def test_pose_error_is_the_change_of_the_pose_to_first_order(pluecker: bool) -> None:
    bearings, poses = cameras(5)
    turn, shift = np.random.default_rng(5).normal(size=(2, len(poses), 3))

    def miss(size: float) -> float:
        rays = encode_rays(*as_tensors(bearings, moved(poses, size * turn, size * shift)), pluecker)
        found = pose_error(rays, *as_tensors(bearings, poses))
        errors = [np.abs(f.numpy() - size * true).max() for f, true in zip(found, (turn, shift), strict=True)]
        return float(max(errors))

    # The first order is exact: what is left falls with the square of the change.
    assert miss(1e-2) < 2e-3
    assert miss(1e-3) < 0.02 * miss(1e-2)
    assert miss(0.0) < 1e-12


def test_pose_error_of_noisy_raxels_is_that_of_procrustes() -> None:
    bearings, poses = cameras(6)
    rays = np.array([encode_raxels(b, p) for b, p in zip(bearings, poses, strict=True)])
    rays += 1e-4 * np.random.default_rng(6).normal(size=rays.shape)
    decoded = np.array([decode_raxels(r, b) for r, b in zip(rays, bearings, strict=True)])
    turn, shift = (t.numpy() for t in pose_error(*as_tensors(rays, bearings, poses)))
    relative = decoded[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2)
    expected = Rotation.from_matrix(relative).as_rotvec()
    assert np.abs(expected).max() > 1e-5
    np.testing.assert_allclose(turn, expected, atol=1e-7)
    np.testing.assert_allclose(shift, decoded[:, :3, 3] - poses[:, :3, 3], atol=1e-7)


# -------------------------------------------------------------------------------------------------------- presets


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 36, "heads": 2}, "width 36 over 2 heads"),
        ({"heads": 3}, "width 32 over 3 heads"),
        ({"raxel_patch": 5}, "raxel grid of 12x16 does not divide into patches of 5"),
        ({"video_size_px": (100, 128)}, "video of 100x128 does not divide into patches of 16"),
    ],
)
def test_impossible_sizes_are_refused_by_value(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as refused:
        replace(TINY, **change)
    assert words in str(refused.value)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_sizes_survive_a_file(name: str) -> None:
    assert ModelSize.from_record(json.loads(json.dumps(PRESETS[name].record()))) == PRESETS[name]


@BOTH
def test_a_ray_has_three_values_or_six(pluecker: bool) -> None:
    assert replace(TINY, pluecker=pluecker).ray_channels == (6 if pluecker else 3)


# ------------------------------------------------------------------------------------------------------ attention


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


@pytest.mark.parametrize("decoupled", [True, False], ids=["decoupled", "joined"])
def test_branches_of_the_same_weights_treat_both_streams_alike(decoupled: bool) -> None:
    """Each looks at the other as it was before either looked, so streams that change places change answers."""
    torch.manual_seed(5)
    block = JointBlock(replace(TINY, evidence_blocks=0, decoupled=decoupled))
    with torch.no_grad():
        for p in block.rays.parameters():
            p += 0.1 * torch.randn_like(p)
    block.video.load_state_dict(block.rays.state_dict())
    one, other = (
        Stream(torch.randn(2, n, 32), rotations(torch.rand(1, n, 3), 16), torch.randn(2, n, 32)) for n in (5, 7)
    )
    with torch.no_grad():
        (a, b), (c, d) = block(one, other, None), block(other, one, None)
        alone, nothing = block(one, None, None)
    assert b is not None
    assert d is not None
    assert nothing is None
    assert_alike(a.tokens, d.tokens)
    assert_alike(b.tokens, c.tokens)
    assert (a.tokens - alone.tokens).abs().max() > 1e-3


# ------------------------------------------------------------------------------------------------------- denoiser


def model_of(size: ModelSize, seed: int = 0) -> JointDenoiser:
    """With heads and modulation that are not zero."""
    torch.manual_seed(seed)
    model = JointDenoiser(size)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    return model.eval()


def inputs_of(size: ModelSize, clips: int = 2, frames: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Rays, times, bearings and known."""
    g = torch.Generator().manual_seed(seed)
    grid = (clips, frames, RAXEL_ROWS, RAXEL_COLUMNS)
    bearings = torch.nn.functional.normalize(torch.randn(*grid, 3, generator=g), dim=-1)
    return {
        "rays": torch.randn(*grid, size.ray_channels, generator=g),
        "ray_time": torch.rand(clips, frames, generator=g),
        "bearings": bearings,
        "known": torch.tensor([1.0, 0.0] * clips)[:clips],
    }


def video_of(size: ModelSize, clips: int = 2, frames: int = 3, seed: int = 1) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "video": torch.rand(clips, frames, 3, *size.video_size_px, generator=g) * 2 - 1,
        "video_time": torch.rand(clips, frames, generator=g),
    }


def swept_of(size: ModelSize, clips: int = 2, frames: int = 3, seed: int = 4) -> SweptViews:
    g = torch.Generator().manual_seed(seed)
    colour = torch.rand(clips, frames, 3, *size.video_size_px, generator=g) * 2 - 1
    gate = torch.randn(clips, frames, *size.video_size_px, generator=g)
    return SweptViews(colour, gate, gate.flip(1), torch.ones(clips))


def tracks_of(clips: int = 2, tracks: int = 9, frames: int = 3, seed: int = 2) -> dict[str, Tensor]:
    """In the order of `TRACK_NAMES`; seen in two frames of three."""
    g = torch.Generator().manual_seed(seed)
    anchor = torch.nn.functional.one_hot(torch.randint(frames, (clips, tracks), generator=g), frames).float()
    seen = torch.maximum(anchor, (torch.rand(clips, tracks, frames, generator=g) < 0.6).float())
    return {
        "plane": (torch.rand(clips, tracks, frames, 2, generator=g) - 0.5) * seen[..., None],
        "place": (torch.rand(clips, tracks, frames, 2, generator=g) * 2 - 1) * seen[..., None],
        "seen": seen,
        "anchor": anchor,
        "is_flow": (torch.rand(clips, tracks, generator=g) < 0.5).float(),
        "score": torch.rand(clips, tracks, frames, generator=g) * seen,
        "pixel": torch.full((clips, frames), 0.004),
        "known": torch.tensor([1.0, 0.0] * clips)[:clips],
    }


def encoded(model: JointDenoiser, tracks: dict[str, Tensor]) -> TrackTokens:
    tokens = model.encode(*(tracks[name] for name in TRACK_NAMES))
    assert tokens is not None
    return tokens


@torch.no_grad()
def denoise(model: JointDenoiser, inputs: dict[str, Tensor], tracks: dict[str, Tensor] | None = None) -> Denoised:
    out: Denoised = model(**inputs, evidence=None if tracks is None else encoded(model, tracks))
    return out


def assert_alike(a: Tensor, b: Tensor, atol: float = 2e-5) -> None:
    torch.testing.assert_close(a, b, atol=atol, rtol=0.0)


def test_a_fresh_model_predicts_nothing() -> None:
    torch.manual_seed(0)
    model = JointDenoiser(TINY)
    out = denoise(model, inputs_of(TINY) | video_of(TINY), tracks_of())
    for value in (out.rays, out.log_error, out.video, out.video_log_error):
        assert value is not None
        assert (value == 0).all()
    assert out.made_up is not None
    assert (out.made_up == 1).all()
    assert (encoded(model, tracks_of()).log_focal == 0).all()


@pytest.mark.parametrize("frames", [2, 3, 7])
def test_any_number_of_frames(frames: int) -> None:
    inputs = inputs_of(TINY, frames=frames) | video_of(TINY, frames=frames)
    out = denoise(model_of(TINY), inputs, tracks_of(frames=frames))
    assert out.rays.shape == (2, frames, RAXEL_ROWS, RAXEL_COLUMNS, 3)
    assert out.log_error.shape == out.rays.shape[:-1]
    assert out.video is not None
    assert out.video.shape == (2, frames, 3, *TINY.video_size_px)
    assert all(torch.isfinite(v).all() for v in (out.rays, out.log_error, out.video))


def test_clips_of_a_batch_do_not_see_each_other() -> None:
    model, inputs, tracks = model_of(TINY), inputs_of(TINY) | video_of(TINY), tracks_of()
    both = denoise(model, inputs, tracks)
    for clip in range(2):
        one = slice(clip, clip + 1)
        alone = denoise(model, {k: v[one] for k, v in inputs.items()}, {k: v[one] for k, v in tracks.items()})
        assert_alike(alone.rays[0], both.rays[clip])
        assert alone.video is not None
        assert both.video is not None
        assert_alike(alone.video[0], both.video[clip])


@torch.no_grad()
def test_swept_views_show_where_nothing_is_made_up() -> None:
    """The output is the sweep's colour where the gate is shut, and the network's own where nothing was swept."""
    model, inputs = model_of(TINY), inputs_of(TINY) | video_of(TINY)
    swept = swept_of(TINY)
    shut = swept._replace(gate=torch.full_like(swept.gate, -50.0))
    out = model(**inputs, swept=shut)
    assert_alike(out.video, shut.colour)
    assert out.made_up.max() < 1e-6
    half = model(**inputs, swept=swept)
    assert 0.0 < half.made_up.min() < half.made_up.max() < 1.0
    absent = model(**inputs, swept=swept._replace(given=torch.zeros(2)))
    without = model(**inputs)
    assert_alike(absent.video, without.video)
    assert (absent.made_up == 1.0).all()
    assert (half.rays - without.rays).abs().max() > 1e-4


@pytest.mark.parametrize("decoupled", [True, False])
def test_without_video_its_branch_has_no_influence(decoupled: bool) -> None:
    model = model_of(replace(TINY, decoupled=decoupled))
    inputs, video, tracks = inputs_of(TINY), video_of(TINY), tracks_of()
    alone, together = denoise(model, inputs, tracks), denoise(model, inputs | video, tracks)
    assert alone.video is None
    assert (together.rays - alone.rays).abs().max() > 1e-3
    with torch.no_grad():
        changed = [n for n, p in model.named_parameters() if "video" in n and p.add_(torch.randn_like(p)).numel()]
    assert len(changed) > 10
    assert torch.equal(denoise(model, inputs, tracks).rays, alone.rays)
    assert (denoise(model, inputs | video, tracks).rays - together.rays).abs().max() > 1e-3


def test_everything_that_is_given_is_used() -> None:
    model = model_of(TINY)
    inputs, tracks = inputs_of(TINY) | video_of(TINY), tracks_of()
    before = denoise(model, inputs, tracks).rays
    for name, value in inputs.items():
        other = 1.0 - value if name in ("ray_time", "video_time", "known") else value.flip(1)
        assert (denoise(model, inputs | {name: other}, tracks).rays - before).abs().max() > 1e-4, name
    for name, value in tracks.items():
        other = 1.0 - value if name in ("is_flow", "known") else 0.5 * value
        assert (denoise(model, inputs, tracks | {name: other}).rays - before).abs().max() > 1e-5, name


def test_permuted_tracks_permute_what_is_thought_of_them_and_nothing_else() -> None:
    model, inputs, tracks = model_of(TINY), inputs_of(TINY), tracks_of()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    permuted = {k: v if k in ("pixel", "known") else v[:, order] for k, v in tracks.items()}
    before, after = encoded(model, tracks), encoded(model, permuted)
    assert before.inlier.shape == (2, 9, 3)
    assert_alike(after.inlier, before.inlier[:, order])
    assert before.inlier.std(dim=1).min() > 1e-3
    assert_alike(after.log_focal, before.log_focal)
    assert_alike(denoise(model, inputs, permuted).rays, denoise(model, inputs, tracks).rays)


def test_tracks_that_fill_up_a_batch_have_no_influence() -> None:
    model, inputs, tracks = model_of(TINY), inputs_of(TINY), tracks_of()
    junk = tracks_of(tracks=5, seed=8)
    junk["anchor"] = torch.zeros_like(junk["anchor"])
    filled = {k: v if k in ("pixel", "known") else torch.cat([v, junk[k]], dim=1) for k, v in tracks.items()}
    before, after = encoded(model, tracks), encoded(model, filled)
    assert_alike(after.inlier[:, :9], before.inlier)
    assert_alike(after.log_focal, before.log_focal)
    assert_alike(denoise(model, inputs, filled).rays, denoise(model, inputs, tracks).rays)


def test_a_clip_without_a_track_is_answered_alike_however_it_is_filled_up() -> None:
    model, inputs = model_of(TINY), inputs_of(TINY)

    def nothing(tracks: int) -> dict[str, Tensor]:
        return {k: v if k in ("pixel", "known") else 0.0 * v for k, v in tracks_of(tracks=tracks).items()}

    few, many = denoise(model, inputs, nothing(2)).rays, denoise(model, inputs, nothing(40)).rays
    assert torch.isfinite(few).all()
    assert_alike(few, many)
    assert (encoded(model, nothing(3)).log_focal - model.encoder.focal.bias).abs().max() < 1e-6  # type: ignore[union-attr]


def test_where_a_track_was_not_seen_its_plane_does_not_count() -> None:
    model, tracks = model_of(TINY), tracks_of()
    hidden = tracks["seen"] == 0
    assert hidden.any()
    other = tracks | {"plane": torch.where(hidden[..., None], torch.tensor(7.0), tracks["plane"])}
    before, after = encoded(model, tracks), encoded(model, other)
    assert_alike(after.tokens, before.tokens)
    assert_alike(after.log_focal, before.log_focal)


def test_a_model_without_evidence_ignores_tracks() -> None:
    model = model_of(replace(TINY, evidence_blocks=0))
    assert model.encode(*tracks_of().values()) is None
    inputs = inputs_of(TINY) | video_of(TINY)
    other = tracks_of(seed=5)
    with torch.no_grad():
        shown = model(**inputs, evidence=encoded(model_of(TINY), other)).rays
    assert torch.equal(shown, denoise(model, inputs).rays)


@pytest.mark.parametrize("pluecker", [False, True], ids=["raxels", "pluecker"])
@pytest.mark.parametrize("decoupled", [True, False], ids=["decoupled", "joined"])
def test_every_weight_of_every_variant_is_trained(decoupled: bool, pluecker: bool) -> None:
    size = replace(TINY, decoupled=decoupled, pluecker=pluecker)
    model = model_of(size)
    tokens = encoded(model, tracks_of())
    assert model.sweep is not None
    swept = model.sweep(torch.randint(256, (2, 3, 2, 4, size.sweep_depths, *size.video_size_px), dtype=torch.uint8))
    out = model(**inputs_of(size), **video_of(size), evidence=tokens, swept=swept)
    assert out.rays.shape[-1] == (6 if pluecker else 3)
    seen = (out.rays, out.log_error, out.video, out.video_log_error, tokens.inlier, tokens.log_focal)
    loss = sum((v**2).mean() for v in seen)
    loss.backward()
    without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    # Joined attention has no use for the cross-attention of its blocks.
    unused = set() if decoupled else {n for n, _ in model.named_parameters() if ".cross" in n or ".context_norm" in n}
    assert without == unused
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@BOTH
def test_the_affine_head_alone_is_a_moved_camera(pluecker: bool) -> None:
    """Its twelve numbers per frame (24 for Pluecker rays) turn the bearings that are told into any rigid motion."""
    size = replace(TINY, pluecker=pluecker)
    torch.manual_seed(0)
    model = JointDenoiser(size)
    bearings, poses = (torch.as_tensor(a[:1], dtype=torch.float32) for a in cameras(7))
    clean = whiten(encode_rays(bearings, poses, pluecker), bearings)
    design = torch.cat([bearings, torch.ones_like(bearings[..., :1])], dim=-1).flatten(0, 2)
    matrix = torch.linalg.lstsq(design.double(), clean.flatten(0, 2).double()).solution.T.float()
    with torch.no_grad():
        model.affine.bias.copy_(matrix.flatten())
    inputs = inputs_of(size, clips=1, frames=1) | {"bearings": bearings[None]}
    assert_alike(denoise(model, inputs).rays[0], clean, atol=1e-4)
