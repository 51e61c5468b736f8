"""training: correspondences against true geometry, losses, checkpoints that survive, runs that resume to the bit."""

from __future__ import annotations

import errno
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ros2_raxels.cli import main
from ros2_raxels.estimation.bundle_adjustment import RefineSettings, refine
from ros2_raxels.geometry.poses import FloatArray, rotation_angle_rad
from ros2_raxels.matching.tracks import Evidence
from ros2_raxels.model.flow import Task
from ros2_raxels.utils.files import FileError

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from torch.optim.swa_utils import AveragedModel  # noqa: E402
from training_rig import ALWAYS, TINY, StoppedError, perturbed, small, train, trainer, until  # noqa: E402

from ros2_raxels.model.denoiser import JointDenoiser  # noqa: E402
from ros2_raxels.model.presets import ModelSize  # noqa: E402
from ros2_raxels.training import checkpoint  # noqa: E402
from ros2_raxels.training.batch import ClipBatch, Tracks, grid_places  # noqa: E402
from ros2_raxels.training.checkpoint import Progress  # noqa: E402
from ros2_raxels.training.correspondences import RIGHT_PX, sample_correspondences  # noqa: E402
from ros2_raxels.training.loop import Trainer, TrainingError, warmed_up_average  # noqa: E402
from ros2_raxels.training.losses import (  # noqa: E402
    LossWeights,
    Step,
    loss_of,
    pose_errors_deg,
    predict_poses,
    target_poses,
)
from ros2_raxels.training.solids import random_solids  # noqa: E402
from ros2_raxels.training.validation import Validation, _auc  # noqa: E402

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


# ------------------------------------------------------------------------------------------------- correspondences


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


def test_rays_meet_rooms_boxes_and_balls_where_they_are() -> None:
    """A room of 2 x 2 x 6 around the camera, a box and a ball ahead, by hand."""
    eye = torch.eye(3)
    empty = random_solids(torch.Generator().manual_seed(0), 1, boxes=1, balls=1)
    solids = replace(
        empty,
        room=eye[None],
        room_low=torch.tensor([[-1.0, -1.0, -1.0]]),
        room_high=torch.tensor([[1.0, 1.0, 5.0]]),
        box=eye[None, None],
        box_centre=torch.tensor([[[0.5, 0.0, 3.0]]]),
        box_half=torch.tensor([[[0.25, 0.25, 0.5]]]),
        ball_centre=torch.tensor([[[-0.5, 0.0, 3.0]]]),
        ball_radius=torch.tensor([[0.25]]),
    )
    direction = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [-1.0, 0.0, 0.0], [0.5, 0.0, 2.5], [-0.5, 0.0, 3.0]]])
    expected = [5.0, 2.5, 1.0, 1.0, 1.0 - 0.25 / np.hypot(0.5, 3.0)]
    np.testing.assert_allclose(solids.depth(torch.zeros_like(direction), direction)[0], expected, atol=1e-5)
    # From a step to the right, straight ahead: the near side of the box.
    step = torch.tensor([[[0.5, 0.0, 0.0]]])
    assert float(solids.depth(step, torch.tensor([[[0.0, 0.0, 1.0]]]))) == pytest.approx(2.5, abs=1e-5)


# --------------------------------------------------------------------------------------------------------- losses


def with_video(batch: ClipBatch, size: ModelSize = TINY) -> ClipBatch:
    clips, frames = batch.bearings.shape[:2]
    g = torch.Generator().manual_seed(1)
    return replace(batch, video=torch.rand(clips, frames, 3, *size.video_size_px, generator=g) * 2 - 1)


def step_of(model: JointDenoiser, batch: ClipBatch, task: Task, weights: LossWeights, evidence: bool = True) -> Step:
    return loss_of(model, batch, task, weights, torch.Generator().manual_seed(0), evidence)


@pytest.mark.parametrize(
    ("task", "evidence", "terms"),
    [
        (Task.POSE, True, {"flow", "cosine", "error", "pose", "inlier", "focal"}),
        (Task.POSE, False, {"flow", "cosine", "error", "pose"}),
        (Task.VIEWS, False, {"video", "video_error"}),
        (Task.IMAGINE, True, {"flow", "cosine", "error", "inlier", "focal", "video", "video_error"}),
    ],
)
def test_each_task_has_its_terms_and_a_weight_of_zero_removes_one(task: Task, evidence: bool, terms: set[str]) -> None:
    model, batch = perturbed(), with_video(small())
    whole = step_of(model, batch, task, LossWeights(), evidence)
    assert set(whole.terms) == terms
    assert all(abs(value) > 1e-6 for value in whole.terms.values())
    assert whole.total.item() == pytest.approx(sum(whole.terms.values()), rel=1e-5)
    for name, value in whole.terms.items():
        weight = getattr(LossWeights(), name)
        without = step_of(model, batch, task, LossWeights(**{name: 0.0}), evidence)
        assert without.terms.get(name, 0.0) == 0.0
        assert without.total.item() == pytest.approx(whole.total.item() - value, abs=1e-4)
        double = step_of(model, batch, task, LossWeights(**{name: 2 * weight}), evidence)
        assert double.terms[name] == pytest.approx(2 * value, rel=1e-5)


class Oracle(torch.nn.Module):
    """Knows the answer."""

    def __init__(self, batch: ClipBatch) -> None:
        super().__init__()
        from ros2_raxels.model.rays import encode_rays, whiten

        self.size, self.asked = TINY, 0
        self.rays = whiten(encode_rays(batch.bearings, target_poses(batch)), batch.assumed_bearings)

    def encode(self, *_: Tensor) -> None:
        return None

    def forward(self, *_: Tensor) -> Any:
        from ros2_raxels.model.denoiser import Denoised

        self.asked += 1
        return Denoised(self.rays, torch.full(self.rays.shape[:-1], -8.0), None)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_truth_costs_nothing_and_decodes_to_the_true_poses(steps: int) -> None:
    batch = sample_correspondences(30, 8, 4, 16)
    oracle: Any = Oracle(batch)
    step = step_of(oracle, batch, Task.POSE, LossWeights(error=0.0))
    assert step.terms == pytest.approx({"flow": 0.0, "cosine": 0.0, "pose": 0.0}, abs=1e-4)
    oracle.asked = 0
    poses, evidence = predict_poses(oracle, batch, torch.Generator().manual_seed(0), steps=steps)
    assert (evidence, oracle.asked) == (None, steps)
    torch.testing.assert_close(poses, target_poses(batch), atol=1e-4, rtol=0.0)
    rotation, direction = pose_errors_deg(poses, batch)
    assert len(rotation) == 8 * 3
    assert rotation.max() < 0.02
    assert len(direction) == 3 * int((batch.parallax_px > 2.0).sum())
    moves = batch.camera_to_first[batch.parallax_px > 2.0][:, 1:, :3, 3].norm(dim=-1).flatten() > 0.1
    assert direction[moves].max() < 0.2


@pytest.mark.parametrize("degrees", [0.01, 1.0, 30.0, 179.0])
def test_pose_errors_are_angles(degrees: float) -> None:
    batch = replace(sample_correspondences(31, 4, 3, 16), parallax_px=torch.tensor([0.0, 9.0, 9.0, 1.9]))
    turn = torch.as_tensor(Rotation.from_euler("y", degrees, degrees=True).as_matrix(), dtype=torch.float32)
    found = batch.camera_to_first.clone()
    found[:, 1:, :3, :3] = found[:, 1:, :3, :3] @ turn
    found[:, 1:, :3, 3] *= -2.0
    rotation, direction = pose_errors_deg(found, batch)
    np.testing.assert_allclose(rotation, degrees, rtol=1e-3, atol=1e-4)
    # Clips without parallax have no direction; those that have go the wrong way.
    np.testing.assert_allclose(direction, np.full(4, 180.0), atol=0.1)


def test_without_parallax_the_answer_is_that_nothing_moved() -> None:
    batch = replace(sample_correspondences(32, 3, 3, 16), parallax_px=torch.tensor([0.0, 1.0, 50.0]))
    share = target_poses(batch)[..., :3, 3].norm(dim=-1).amax(dim=1)
    np.testing.assert_allclose(share, [0.0, 0.5, 1.0], atol=1e-5)
    assert torch.equal(target_poses(batch)[..., :3, :3], batch.camera_to_first[..., :3, :3])


def test_a_tiny_model_learns_a_batch_by_heart() -> None:
    torch.manual_seed(0)
    batch, model = sample_correspondences(40, 6, 3, 48, unknown_share=0.0), JointDenoiser(TINY)
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    generator = torch.Generator().manual_seed(0)

    def errors() -> tuple[float, float]:
        poses, evidence = predict_poses(model, batch, torch.Generator().manual_seed(1))
        judged = (batch.tracks.seen * (1 - batch.tracks.anchor)) > 0
        assert evidence is not None
        return float(pose_errors_deg(poses, batch)[0].mean()), _auc(evidence.inlier[judged], batch.right[judged] > 0)

    before, _ = errors()
    for _ in range(150):
        optimizer.zero_grad()
        loss_of(model, batch, Task.POSE, LossWeights(), generator).total.backward()
        optimizer.step()
    after, auc = errors()
    assert before > 3.0
    assert after < 0.5 * before
    assert auc > 0.9


def test_area_under_the_curve_is_the_chance_to_be_ranked_right() -> None:
    score, right = torch.randn(2, 60, generator=torch.Generator().manual_seed(0))
    truth = right > 0.3
    expected = (score[truth][:, None] > score[~truth][None]).double().mean()
    assert _auc(score, truth) == pytest.approx(float(expected), abs=1e-9)


def test_validation_says_the_same_every_time() -> None:
    validation, model = Validation.synthetic(clips=24, frames=3, tracks=32), perturbed().eval()
    first = validation.measure(model)
    assert first == Validation.synthetic(clips=24, frames=3, tracks=32).measure(model)
    assert all(np.isfinite(value) for value in first["synthetic"].values())
    assert set(first["synthetic"]) == {"rotation_deg", "direction_deg", "inlier_auc", "focal_percent"}
    assert f"synthetic rotation_deg {first['synthetic']['rotation_deg']:.3g}, direction_deg" in validation.line(model)


# ----------------------------------------------------------------------------------------------------- checkpoints


def test_a_run_in_two_parts_is_the_run_in_one_to_the_bit(tmp_path: Path) -> None:
    whole = checkpoint.load(train(tmp_path / "whole", 6))
    train(tmp_path / "parts", 3)
    assert checkpoint.load(tmp_path / "parts" / "checkpoint.safetensors")[1].step == 3
    parts = checkpoint.load(train(tmp_path / "parts", 6))
    assert whole[0] == parts[0] == TINY
    assert (parts[1].step, parts[1].clips, parts[1].seed) == (whole[1].step, whole[1].clips, 4) == (6, 12, 4)
    assert whole[2].keys() == parts[2].keys()
    different = [name for name, value in whole[2].items() if not torch.equal(value, parts[2][name])]
    assert different == []
    start = checkpoint.load(train(tmp_path / "start", 1))[2]
    assert not torch.equal(start["model.ray_in.weight"], parts[2]["model.ray_in.weight"])


def test_a_checkpoint_holds_model_average_moments_and_progress(tmp_path: Path) -> None:
    path = train(tmp_path, 3)
    size, progress, tensors = checkpoint.load(path)
    assert size == TINY
    assert (progress.step, progress.preset, progress.seed, progress.data) == (3, "tiny", 4, "test")
    assert progress.trained_s > 0
    again = trainer(tmp_path, until(3))
    assert again.progress == progress
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, tensors[f"model.{name}"])
        assert torch.equal(again.averaged().state_dict()[name], tensors[f"average.{name}"])
    trained = [name for name in tensors if name.endswith(".exp_avg")]
    assert "moment.ray_in.weight.exp_avg" in trained
    assert all(tensors[name.replace(".exp_avg", ".step")] == 3 for name in trained)


def test_the_average_follows_the_weights(tmp_path: Path) -> None:
    """Decays of steps 0, 1 and 2 by hand: 1/10, 2/11, 3/12."""
    torch.manual_seed(4)
    expected = JointDenoiser(TINY).ray_in.weight.detach().clone()
    for stop, decay in ((1, 1 / 10), (2, 2 / 11), (3, 3 / 12)):
        tensors = checkpoint.load(train(tmp_path, stop))[2]
        expected = decay * expected + (1 - decay) * tensors["model.ray_in.weight"]
        torch.testing.assert_close(tensors["average.ray_in.weight"], expected)


@pytest.mark.parametrize("limit", [0.5, 0.9995])
def test_the_average_is_the_weighted_sum_of_all_weights_so_far(limit: float) -> None:
    """In closed form: weights of step k count 1 - d_k, times the decays of all later steps."""
    model = torch.nn.Linear(3, 2)
    average = AveragedModel(model, multi_avg_fn=warmed_up_average(limit))
    average.n_averaged.fill_(1)
    seen = [model.weight.detach().clone()]
    steps, generator = 20, torch.Generator().manual_seed(0)
    for _ in range(steps):
        with torch.no_grad():
            model.weight.copy_(torch.randn(2, 3, generator=generator))
        seen.append(model.weight.detach().clone())
        average.update_parameters(model)
    # The limit of .5 is reached at step 8.
    decays = np.minimum(limit, (1 + np.arange(steps)) / (10 + np.arange(steps)))
    shares = [np.prod(decays), *((1 - d) * np.prod(decays[k + 1 :]) for k, d in enumerate(decays))]
    assert sum(shares) == pytest.approx(1.0)
    expected = sum(share * weight.double() for share, weight in zip(shares, seen, strict=True))
    torch.testing.assert_close(average.module.weight.double(), expected, atol=1e-6, rtol=0.0)


def test_a_checkpoint_from_before_the_average_was_a_module_goes_on(tmp_path: Path) -> None:
    """Its names and record by hand: weights, their average, Adam's moments of what was trained, progress."""
    from safetensors.torch import save_file

    torch.manual_seed(6)
    weights, average = JointDenoiser(TINY).state_dict(), perturbed().state_dict()
    tensors = {f"model.{name}": value for name, value in weights.items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    for name in ("ray_in.weight", "affine.bias"):
        for moment, value in (("exp_avg", 0.01), ("exp_avg_sq", 0.02)):
            tensors[f"moment.{name}.{moment}"] = torch.full_like(weights[name], value)
        tensors[f"moment.{name}.step"] = torch.tensor(7.0)
    progress = {"step": 7, "trained_s": 3.5, "clips": 14, "seed": 4, "preset": "tiny", "data": "", "has_pixels": False}
    size = {
        "width": 32,
        "heads": 2,
        "evidence_blocks": 1,
        "joint_blocks": 1,
        "raxel_patch": 4,
        "video_patch_px": 16,
        "video_size_px": [32, 48],
        "sweep_depths": 8,
        "sweep_contexts": 4,
        "sweep_width": 8,
        "decoupled": True,
        "pluecker": False,
    }
    path = tmp_path / "checkpoint.safetensors"
    save_file(tensors, path, {"raxels": json.dumps({"size": size, "progress": progress})})

    run = trainer(tmp_path, until(8))
    assert (run.progress.step, run.progress.clips, run.progress.trained_s) == (7, 14, 3.5)
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, weights[name])
        assert torch.equal(run.averaged().state_dict()[name], average[name])
    with pytest.raises(StoppedError):
        run.run(show=False)
    _, then, after = checkpoint.load(path)
    assert then.step == 8
    assert after["moment.ray_in.weight.step"] == 8
    assert after["moment.ray_out.weight.step"] == 1
    # The decay of step 7 is 8 / 17.
    for name in ("ray_in.weight", "ray_out.weight"):
        expected = 8 / 17 * average[name] + 9 / 17 * after[f"model.{name}"]
        torch.testing.assert_close(after[f"average.{name}"], expected)
    assert (after["model.ray_in.weight"] - weights["ray_in.weight"]).abs().max() > 1e-5


def test_truncated_and_foreign_files_are_refused_in_words(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    good = train(tmp_path / "good", 1).read_bytes()
    path = tmp_path / "checkpoint.safetensors"
    for content in (good[: len(good) // 2], good[:5], b"", b"not a checkpoint at all"):
        path.write_bytes(content)
        with pytest.raises(FileError, match="is not a checkpoint of this version"):
            checkpoint.load(path)
        with pytest.raises(FileError, match=f"{path} is not a checkpoint"):
            trainer(tmp_path, until(1))
        assert path.read_bytes() == content
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(FileError, match="is not a checkpoint of this version"):
        checkpoint.load(path)
    with pytest.raises(FileError, match="is not a checkpoint of this version"):
        checkpoint.load(tmp_path / "missing.safetensors")


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = train(tmp_path, 2)
    before = path.read_bytes()

    def full(_: object, file: Path, __: object) -> None:
        file.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(FileError, match=r"could not be written \(.*No space left on device.*the last one is kept"):
        trainer(tmp_path, until(4)).run(show=False)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    run = trainer(tmp_path, until(1))
    run.folder = tmp_path / "gone"
    with pytest.raises(FileError, match="gone does not exist"):
        run.save()


def test_another_size_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = train(tmp_path, 1)
    before = path.read_bytes()
    with pytest.raises(FileError, match=r"of another size .* give --preset tiny or another --out"):
        Trainer(replace(TINY, joint_blocks=2), until(2), tmp_path, ALWAYS, Progress())
    assert path.read_bytes() == before


def test_a_loss_that_is_not_a_number_stops_at_its_step_and_spoils_nothing(tmp_path: Path) -> None:
    def spoil(step: int, batch: ClipBatch) -> ClipBatch:
        return replace(batch, bearings=batch.bearings * float("nan")) if step == 2 else batch

    run = trainer(tmp_path, until(9, spoil))
    with pytest.raises(TrainingError, match=r"loss is nan at step 2 .* is kept in .* Lower --rate and resume"):
        run.run(show=False)
    _, progress, tensors = checkpoint.load(run.checkpoint_path)
    assert progress.step == 2
    assert all(torch.isfinite(value).all() for value in tensors.values())
    clean = checkpoint.load(train(tmp_path / "clean", 2))[2]
    assert all(torch.equal(value, clean[name]) for name, value in tensors.items())


def test_a_run_that_fails_at_once_does_not_speak_of_a_checkpoint(tmp_path: Path) -> None:
    def spoil(step: int, batch: ClipBatch) -> ClipBatch:
        return replace(batch, bearings=batch.bearings * float("nan"))

    run = trainer(tmp_path, until(9, spoil))
    with pytest.raises(
        TrainingError, match=r"loss is nan at step 0 .* nothing has been saved yet\. Lower --rate and resume"
    ):
        run.run(show=False)
    assert not run.checkpoint_path.exists()


def test_a_gradient_that_is_not_a_number_stops_before_it_spoils_the_weights(tmp_path: Path) -> None:
    run = trainer(tmp_path, until(2))
    run.model.ray_out.weight.register_hook(lambda g: g * float("nan") if run.progress.step == 1 else g)
    with pytest.raises(TrainingError, match="gradient is nan at step 1"):
        run.run(show=False)
    _, progress, tensors = checkpoint.load(run.checkpoint_path)
    assert progress.step == 1
    assert all(torch.isfinite(value).all() for value in tensors.values())
    assert all(torch.isfinite(p).all() for p in run.model.parameters())


def test_the_rate_warms_up_holds_and_cools_down(tmp_path: Path) -> None:
    run = trainer(tmp_path, until(0), minutes=10.0, warm_up=10, cool_down=0.5, rate=1.0)

    def share(step: int, minutes: float) -> float:
        run.progress = replace(run.progress, trained_s=60 * minutes)
        return run._share_of_rate(step)

    assert share(0, 0.0) == pytest.approx(0.1)
    assert share(4, 0.0) == pytest.approx(0.5)
    assert share(10, 4.9) == 1.0
    assert share(10, 7.5) == pytest.approx(0.5)
    assert share(10, 12.0) == pytest.approx(0.04)


# ---------------------------------------------------------------------------------------------------- command line


def test_raxels_train_trains_resumes_and_refuses_another_preset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Validation, "synthetic", classmethod(lambda cls: cls({"few": small()})))
    command = ["train", "--preset", "tiny", "--batch", "2", "--out", str(tmp_path / "run")]
    assert main.main([*command, "--minutes", "0.05"]) == 0
    path = tmp_path / "run" / "checkpoint.safetensors"
    first = checkpoint.load(path)[1]
    assert first.step > 0
    assert first.clips == 2 * first.step
    assert 3.0 <= first.trained_s < 20.0
    said = capsys.readouterr()
    assert f"{first.step} steps, {first.clips} clips, " in said.out
    assert said.out.rstrip().endswith(f"-> {path}")
    assert "few rotation_deg" in said.out + said.err

    assert main.main([*command, "--minutes", "0.07"]) == 0
    second = checkpoint.load(path)[1]
    assert second.trained_s >= 4.2
    assert second.clips == 2 * second.step > first.clips
    assert f"resuming {path} at step {first.step}" in capsys.readouterr().err

    assert main.main(["train", "--preset", "compact", "--minutes", "0.05", "--out", str(tmp_path / "run")]) == 2
    assert "give --preset tiny or another --out" in capsys.readouterr().err
    assert checkpoint.load(path)[1] == second


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("--batch", "0", "'0' must be a whole number of at least 1"), ("--device", "cuda:77", "give cpu, or cuda")],
)
def test_options_that_cannot_be_are_refused_in_words(
    option: str, value: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["train", "--preset", "tiny", "--minutes", "0.01", "--out", str(tmp_path), option, value]) == 2
    assert words in capsys.readouterr().err
