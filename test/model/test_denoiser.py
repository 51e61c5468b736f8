"""model.denoiser: what the denoiser may and may not depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS

torch = pytest.importorskip("torch")

from model_rig import TINY, assert_alike, cameras, denoise, encoded, inputs_of, model_of, swept_of, tracks_of, video_of  # noqa: E402

from ros2_raxels.model.attention import (  # noqa: E402
    Stream,
    rotations,
)
from ros2_raxels.model.denoiser import JointBlock, JointDenoiser  # noqa: E402
from ros2_raxels.model.rays import encode_rays, whiten  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor


pytestmark = pytest.mark.usefixtures("one_torch_thread")

BOTH = pytest.mark.parametrize("pluecker", [False, True], ids=["raxels", "pluecker"])


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
