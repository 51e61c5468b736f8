"""training.correspondences: drawn clips against true geometry, and the shares of what is wrong in them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ros2_raxels.estimation.bundle_adjustment import RefineSettings, refine
from ros2_raxels.geometry.poses import FloatArray, rotation_angle_rad
from ros2_raxels.matching.tracks import Evidence

torch = pytest.importorskip("torch")

from ros2_raxels.training.batch import ClipBatch, Tracks, grid_places  # noqa: E402
from ros2_raxels.training.correspondences import (  # noqa: E402
    RIGHT_PX,
    sample_correspondences,
    sample_rig_correspondences,
)

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def known() -> ClipBatch:
    """Clips whose intrinsics are known."""
    return sample_correspondences(11, 40, 4, 128, unknown_share=0.0)


@pytest.fixture(scope="module")
def unknown() -> ClipBatch:
    """Clips whose intrinsics are not."""
    return sample_correspondences(12, 40, 4, 128, unknown_share=1.0)


def evidence_of(batch: ClipBatch, clip: int, only_right: bool = True) -> Evidence:
    """One clip's tracks as serving has them, with the fillers left out; wrong observations weigh nothing."""
    tracks = {f.name: getattr(batch.tracks, f.name)[clip].double().numpy() for f in fields(Tracks)}
    used = tracks["anchor"].sum(axis=1) > 0
    seen = tracks["seen"][used] > 0
    plane = np.where(seen[..., None], tracks["plane"][used], np.nan)
    right = batch.right[clip].double().numpy()[used]
    return Evidence(
        tracks["anchor"][used].argmax(axis=1),
        np.arange(used.sum()),
        plane / tracks["pixel"][0],
        plane,
        1.0 / tracks["pixel"],
        right if only_right else np.ones_like(right),
        1 - tracks["is_flow"][used].astype(int),
        tracks["score"][used],
    )


def poses_of(batch: ClipBatch, clip: int) -> FloatArray:
    return np.asarray(batch.camera_to_first[clip].double().numpy())


def test_right_observations_obey_the_true_cameras(known: ClipBatch) -> None:
    """Triangulated at the true poses, nearly all lie where they should; wrong ones mostly do not."""
    right_px, wrong_px = [], []
    for clip in range(len(known.known)):
        evidence = evidence_of(known, clip)
        found = refine(evidence, poses_of(known, clip)[None], RefineSettings(iterations=0)).residual_px[0]
        judged = np.isfinite(found)
        right_px.append(found[judged & (evidence.weight > 0)])
        wrong_px.append(found[judged & (evidence.weight == 0)])
    right, wrong = np.concatenate(right_px), np.concatenate(wrong_px)
    assert len(right) > 2000
    assert len(wrong) > 200
    assert (right < RIGHT_PX).mean() > 0.98
    assert np.median(right) < 0.6
    assert np.median(wrong) > 2 * RIGHT_PX


def test_refining_the_true_cameras_leaves_them_within_noise(known: ClipBatch) -> None:
    parallax = known.parallax_px.numpy()
    errors = []
    for clip in np.flatnonzero(parallax > 10.0):
        evidence = evidence_of(known, int(clip))
        if (evidence.weight * evidence.seen).sum(axis=0).min() < 30:
            continue
        truth = poses_of(known, int(clip))
        found = refine(evidence, truth[None], RefineSettings(iterations=20)).camera_to_first[0]
        errors.append(np.degrees(rotation_angle_rad(np.swapaxes(found[:, :3, :3], 1, 2) @ truth[:, :3, :3])).max())
    assert len(errors) > 10
    assert np.median(errors) < 0.3
    # Of cameras that are not the true ones the same tracks say so: they are pulled back.
    clip = int(np.flatnonzero(parallax > 10.0)[0])
    off = poses_of(known, clip)
    off[1:, :3, :3] = Rotation.from_rotvec([0.0, 0.03, 0.0]).as_matrix() @ off[1:, :3, :3]
    start = refine(evidence_of(known, clip), off[None], RefineSettings(iterations=0)).cost[0]
    assert start > 2 * refine(evidence_of(known, clip), poses_of(known, clip)[None]).cost[0]


def test_the_same_seed_gives_the_same_clips() -> None:
    first, again, other = (sample_correspondences(seed, 3, 3, 20) for seed in (5, 5, 6))
    for f in fields(ClipBatch):
        a, b = getattr(first, f.name), getattr(again, f.name)
        if f.name == "tracks":
            assert all(torch.equal(getattr(a, g.name), getattr(b, g.name)) for g in fields(Tracks))
        else:
            assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, f.name
    assert not torch.equal(first.camera_to_first, other.camera_to_first)
    assert not torch.equal(first.tracks.plane, other.tracks.plane)


def test_batches_keep_their_promises(known: ClipBatch, unknown: ClipBatch) -> None:
    for batch in (known, unknown):
        t = batch.tracks
        kept = t.anchor.sum(dim=2)
        assert set(kept.unique().tolist()) == {0.0, 1.0}
        assert (t.seen >= t.anchor).all()
        assert (t.seen[kept == 0] == 0).all()
        assert (t.seen.sum(dim=2)[kept > 0] > 1).all()
        hidden = t.seen == 0
        for value in (t.plane, t.place, t.score, batch.right):
            assert torch.isfinite(value).all()
            assert (value[hidden] == 0).all()
        assert (t.score[t.anchor > 0] == 1).all()
        assert (batch.right[t.anchor > 0] == 1).all()
        assert ((t.score >= 0) & (t.score <= 1)).all()
        centre = batch.camera_to_first[..., :3, 3].norm(dim=-1)
        assert (centre[:, 0] < 1e-6).all()
        torch.testing.assert_close(centre.amax(dim=1), torch.ones(len(centre)))
        torch.testing.assert_close(batch.bearings.norm(dim=-1), torch.ones(batch.bearings.shape[:-1]))


@pytest.mark.parametrize("told", ["known", "unknown"])
def test_images_are_as_large_as_working_images(told: str, request: pytest.FixtureRequest) -> None:
    """Long side 306 to 391 px, field of view 25 to 95 deg, at most square; pixels are those of the assumed plane."""
    batch: ClipBatch = request.getfixturevalue(told)
    edge = batch.bearings[:, 0, -1, -1]
    half = edge[:, :2] / edge[:, 2:] / grid_places()[-1, -1]
    long = half.amax(dim=1)
    fov_deg = torch.rad2deg(2 * torch.atan(long))
    assert ((fov_deg > 24.9) & (fov_deg < 95.1)).all()
    width_px = 2 * long * batch.focal / batch.tracks.pixel[:, 0]
    assert ((width_px > 0.9 * 340 - 0.1) & (width_px < 1.15 * 340 + 0.1)).all()
    aspect = half.amin(dim=1) / long
    assert ((aspect > 0.559) & (aspect < 1.001)).all()


@pytest.mark.parametrize("told", ["known", "unknown"])
def test_planes_are_those_of_the_camera_that_the_model_is_told(told: str, request: pytest.FixtureRequest) -> None:
    batch: ClipBatch = request.getfixturevalue(told)
    t = batch.tracks
    at = grid_places()
    for bearings, focal in ((batch.assumed_bearings, torch.ones(len(batch.focal))), (batch.bearings, batch.focal)):
        half = bearings[:, 0, -1, -1, :2] / bearings[:, 0, -1, -1, 2:] / at[-1, -1]
        expected = t.place * (half * focal[:, None])[:, None, None]
        # Places are cut at 1.5, beside the image.
        whole = (t.seen > 0)[..., None] & (t.place.abs() < 1.49)
        assert whole.sum() > 5000
        torch.testing.assert_close(t.plane[whole], expected[whole], atol=1e-5, rtol=1e-4)
    if told == "known":
        assert (batch.known == 1).all()
        assert (batch.focal == 1).all()
        torch.testing.assert_close(batch.assumed_bearings, batch.bearings)
    else:
        assert (batch.known == 0).all()
        # Log-normal with deviation .35: that of 40 draws lies within four of its own deviations of .039.
        assert abs(float(batch.focal.log().std()) - 0.35) < 4 * 0.039


def test_shares_of_unknown_intrinsics_and_of_wrong_observations() -> None:
    batch = sample_correspondences(21, 120, 3, 96)
    assert abs(float(batch.known.mean()) - 0.75) < 4 * np.sqrt(0.25 * 0.75 / 120)
    judged = (batch.tracks.seen * (1 - batch.tracks.anchor)) > 0
    is_flow = (batch.tracks.is_flow > 0)[..., None].expand_as(judged)

    def mean(value: Tensor, of: Tensor) -> float:
        return float(value[judged & of].mean())

    wrong = 1 - batch.right
    # Flow slides in 7 % of cases by 3.5 px; keypoints are mismatched in 22 %; both have noise and things that move.
    assert 0.02 < mean(wrong, is_flow) < 0.15
    assert 0.14 < mean(wrong, ~is_flow) < 0.35
    right = batch.right > 0
    for kind in (is_flow, ~is_flow):
        assert mean(batch.tracks.score, kind & right) > mean(batch.tracks.score, kind & ~right) + 0.1


@pytest.fixture(scope="module")
def rigs() -> ClipBatch:
    """Two moments of three cameras."""
    return sample_rig_correspondences(13, 40, 2, 3, 128)


def of_cameras(batch: ClipBatch) -> Tensor:
    """Poses (B, N, 4, 4) of the cameras of a rig, m, in the base at the first moment."""
    assert batch.rig is not None
    return batch.camera_to_first @ batch.rig.camera_to_base


def test_the_cameras_of_a_rig_move_with_one_base(rigs: ClipBatch) -> None:
    assert rigs.rig is not None
    assert rigs.rig.moment[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert rigs.rig.camera[0].tolist() == [0, 1, 2, 0, 1, 2]
    torch.testing.assert_close(rigs.camera_to_first[:, :3], torch.eye(4).expand(40, 3, 4, 4))
    torch.testing.assert_close(rigs.camera_to_first[:, 3], rigs.camera_to_first[:, 5])
    torch.testing.assert_close(rigs.rig.camera_to_base[:, :3], rigs.rig.camera_to_base[:, 3:])
    arm_m = (rigs.rig.camera_to_base[:, 1, :3, 3] - rigs.rig.camera_to_base[:, 0, :3, 3]).norm(dim=-1)
    assert 0.08 < float(arm_m.median()) < 0.2
    assert torch.equal(rigs.known, torch.ones(40))


def test_right_observations_across_cameras_at_one_moment_obey_their_mounts(rigs: ClipBatch) -> None:
    poses, off_px, between = of_cameras(rigs).double().numpy(), [], 0
    for clip in range(40):
        evidence = evidence_of(rigs, clip)
        found = refine(evidence, poses[clip][None], RefineSettings(iterations=0)).residual_px[0]
        right = np.isfinite(found) & (evidence.weight > 0)
        off_px.append(found[right])
        at_once = np.arange(6) // 3 == evidence.anchor[:, None] // 3
        between += int((right & at_once).sum())
    assert (np.concatenate(off_px) < RIGHT_PX).mean() > 0.98
    # Side by side, not after one another: depth and metres without any motion.
    assert between > 1000


def test_raxels_where_the_base_stands_still_are_those_of_the_mounted_camera(rigs: ClipBatch) -> None:
    assert rigs.rig is not None
    mount, still = rigs.rig.camera_to_base[7, 1].double().numpy(), rigs.still_rays[7, 1].double().numpy()
    own = rigs.bearings[7, 1].double().numpy()
    np.testing.assert_allclose(still, own @ mount[:3, :3].T + mount[:3, 3], atol=1e-5)


def test_a_batch_of_rigs_is_drawn_again_from_its_seed(rigs: ClipBatch) -> None:
    again = sample_rig_correspondences(13, 40, 2, 3, 128)
    assert torch.equal(again.camera_to_first, rigs.camera_to_first)
    assert torch.equal(again.tracks.plane, rigs.tracks.plane)
