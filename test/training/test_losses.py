"""training.losses: terms of each task, what they count and do not count, and predictions from noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ros2_raxels.model.flow import Task

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from training_rig import TINY, perturbed, seeded, small, with_video  # noqa: E402

from ros2_raxels.model.denoiser import Denoised, JointDenoiser  # noqa: E402
from ros2_raxels.model.rays import decode_rays, encode_rays  # noqa: E402
from ros2_raxels.training.batch import ClipBatch  # noqa: E402
from ros2_raxels.training.correspondences import sample_correspondences, sample_rig_correspondences  # noqa: E402
from ros2_raxels.training.losses import (  # noqa: E402
    LossWeights,
    Step,
    known_views,
    loss_of,
    plane_loss,
    pose_errors_deg,
    predict_poses,
    predict_views,
    target_poses,
)
from ros2_raxels.training.validation import _auc  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = pytest.mark.usefixtures("one_torch_thread")


# --------------------------------------------------------------------------------------------------------------- poses


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

    def forward(self, *_: Tensor, number: Tensor | None = None) -> Any:
        from ros2_raxels.model.denoiser import Denoised

        assert number is None
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


# -------------------------------------------------------------------------------------------------------------- pixels


def test_a_surface_between_two_planes_is_shared_by_both() -> None:
    """Cross entropy by hand: planes 1 and 2 of four have shares .25 and .5, and the surface lies at 1.25."""
    planes = torch.tensor([0.125, 0.25, 0.5, 0.125]).log()[None, None, :, None, None].expand(1, 1, 4, 1, 4)
    truth = torch.tensor([1.25, 3.0, 3.5, float("nan")])[None, None, None]
    expected = (-(0.75 * np.log(0.25) + 0.25 * np.log(0.5)) - np.log(0.125)) / 2
    assert float(plane_loss(planes, truth)) == pytest.approx(expected, rel=1e-6)
    assert float(plane_loss(planes, torch.full_like(truth, float("nan")))) == 0.0


class Listening(JointDenoiser):
    """The model, with its video kept, and changed where a test says."""

    def __init__(self, change: Callable[[Tensor], Tensor] = lambda video: video) -> None:
        torch.manual_seed(0)
        super().__init__(TINY)
        self.load_state_dict(perturbed().state_dict())
        self.change, self.kept = change, torch.zeros(0)

    def forward(self, *arguments: Any) -> Denoised:
        out = super().forward(*arguments)
        assert out.video is not None
        assert out.video_log_error is not None
        self.kept = out.video
        self.kept.retain_grad()
        log_error = self.change(out.video_log_error[:, :, None])[:, :, 0]
        return replace(out, video=self.change(self.kept), video_log_error=log_error)


@pytest.mark.parametrize("task", [Task.VIEWS, Task.IMAGINE])
def test_sources_do_not_count_in_the_loss_of_video(views: ClipBatch, task: Task) -> None:
    sources = views.sources

    def spoil(frames: slice) -> Callable[[Tensor], Tensor]:
        def change(video: Tensor) -> Tensor:
            changed = video.clone()
            changed[:, frames] = changed[:, frames] + 3.0
            return changed

        return change

    def terms(model: Listening) -> dict[str, float]:
        step = loss_of(model, views, task, LossWeights(), seeded(), with_evidence=False)
        step.total.backward()  # type: ignore[no-untyped-call]
        return step.terms

    model = Listening()
    as_it_is = terms(model)
    assert {"video", "video_error"} <= as_it_is.keys()
    assert not model.kept.grad[:, :sources].any()
    assert (model.kept.grad[:, sources:].abs().amax(dim=(2, 3, 4)) > 0).all()
    assert terms(Listening(spoil(slice(None, sources)))) == as_it_is
    for frame in range(sources, 4):
        spoiled = terms(Listening(spoil(slice(frame, frame + 1))))
        assert spoiled["video"] > 2 * as_it_is["video"]
        assert spoiled["video_error"] != pytest.approx(as_it_is["video_error"], rel=1e-3)


@pytest.mark.parametrize("task", [Task.VIEWS, Task.IMAGINE])
def test_the_loss_of_video_is_the_mean_squared_error_of_its_targets(views: ClipBatch, task: Task) -> None:
    model = Listening()
    step = loss_of(model, views, task, LossWeights(video=1.0), seeded(), with_evidence=False)
    assert views.video is not None
    miss = (model.kept - views.video)[:, views.sources :].detach().double().numpy()
    assert step.terms["video"] == pytest.approx(np.mean(miss**2), rel=1e-5)
    assert ("flow" in step.terms) == (task is Task.IMAGINE)


def test_only_views_look_at_the_sweep(views: ClipBatch) -> None:
    assert views.swept is not None
    other = replace(views, swept=255 - views.swept)
    for task, same in ((Task.VIEWS, False), (Task.IMAGINE, True)):
        a, b = (
            loss_of(perturbed(), batch, task, LossWeights(), seeded(), with_evidence=False).terms["video"]
            for batch in (views, other)
        )
        assert (a == b) == same


def test_sources_are_known_without_a_sweep_and_targets_by_it(views: ClipBatch) -> None:
    model = perturbed().eval()
    with torch.no_grad():
        known = known_views(model, views)
        assert known is not None
        assert model.sweep is not None
        assert views.votes is not None
        expected, unvoted = model.sweep(views.swept, views.votes.float()), model.sweep(views.swept)
    assert known.colour.shape == (2, 4, 3, 48, 64)
    assert known.gate.shape == known.log_error.shape == (2, 4, 48, 64)
    for name in ("colour", "gate", "log_error"):
        assert not getattr(known, name)[:, :2].any()
        assert torch.equal(getattr(known, name)[:, 2:], getattr(expected, name))
        assert getattr(expected, name).std() > 0
    assert not torch.equal(expected.colour, unvoted.colour)
    assert torch.equal(known.given, torch.ones(2))
    assert known_views(model, replace(views, swept=None)) is None
    assert known_views(JointDenoiser(replace(TINY, sweep_depths=0)), views) is None


# --------------------------------------------------------------------------------------------------------------- views


@pytest.mark.parametrize("steps", [1, 3])
def test_views_keep_their_sources_and_follow_from_the_generator(views: ClipBatch, steps: int) -> None:
    model = perturbed().eval()
    made, again, other = (predict_views(model, views, seeded(seed), steps) for seed in (1, 1, 2))
    assert views.video is not None
    assert made.shape == views.video.shape
    assert torch.isfinite(made).all()
    for video in (made, other):
        assert torch.equal(video[:, :2], views.video[:, :2])
    assert torch.equal(made, again)
    assert ((made - other)[:, 2:].abs().amax(dim=(2, 3, 4)) > 1e-4).all()


def test_views_do_not_know_what_they_are_compared_to(views: ClipBatch) -> None:
    model = perturbed().eval()
    assert views.video is not None
    video = views.video.clone()
    video[:, 2:] = -video[:, 2:]
    made = predict_views(model, replace(views, video=video), seeded(), steps=2)
    assert torch.equal(made, predict_views(model, views, seeded(), steps=2))
    video = views.video.clone()
    video[:, 0] = -video[:, 0]
    other = predict_views(model, replace(views, video=video), seeded(), steps=2)
    assert not torch.equal(other[:, 2:], made[:, 2:])


def test_without_pixels_there_is_nothing_to_make_views_from() -> None:
    with pytest.raises(ValueError, match="a batch without pixels has no source frames"):
        predict_views(JointDenoiser(TINY), small(), seeded())


def test_a_tiny_model_learns_the_views_of_a_batch(views: ClipBatch) -> None:
    torch.manual_seed(0)
    model = JointDenoiser(TINY)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)

    def video_loss() -> float:
        with torch.no_grad():
            steps = [loss_of(model, views, Task.VIEWS, LossWeights(), seeded(k), False) for k in (1, 2)]
        return float(np.mean([step.terms["video"] for step in steps]))

    before, generator = video_loss(), seeded()
    for _ in range(40):
        optimizer.zero_grad()
        loss_of(model, views, Task.VIEWS, LossWeights(), generator, with_evidence=False).total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert video_loss() < 0.6 * before


# ---------------------------------------------------------------------------------------------------------------- rigs


@pytest.fixture(scope="module")
def rigs() -> ClipBatch:
    """Two moments of two cameras."""
    return sample_rig_correspondences(5, 16, 2, 2, 64)


def test_raxels_of_a_rig_decode_to_the_poses_of_its_base(rigs: ClipBatch) -> None:
    still = rigs.still_rays
    found = decode_rays(encode_rays(still, rigs.camera_to_first), still)
    torch.testing.assert_close(found, rigs.camera_to_first, atol=1e-4, rtol=1e-4)
    rotation, direction = pose_errors_deg(found, rigs)
    # Of both cameras at the second moment.
    assert rotation.shape == (32,)
    assert rotation.max() < 0.05
    assert direction.median() < 0.1


def test_tokens_of_a_rig_carry_their_camera(rigs: ClipBatch) -> None:
    """The same rays and tracks under the numbers, or on the mount, of another camera are something else."""
    assert rigs.rig is not None
    model, usual = perturbed(), predict_poses(perturbed(), rigs, torch.Generator().manual_seed(0))[0]
    moved = rigs.rig.camera_to_base.clone()
    moved[:, 1::2, 0, 3] += 0.2
    others = (
        replace(rigs, rig=replace(rigs.rig, camera_to_base=moved)),
        replace(rigs, rig=replace(rigs.rig, camera=rigs.rig.camera.flip(1))),
        replace(rigs, rig=replace(rigs.rig, moment=rigs.rig.moment * 2)),
    )
    for other in others:
        found = predict_poses(model, other, torch.Generator().manual_seed(0))[0]
        assert (found[:, 2:, :3, 3] - usual[:, 2:, :3, 3]).abs().max() > 1e-4


def test_the_loss_falls_on_clips_of_rigs(rigs: ClipBatch) -> None:
    torch.manual_seed(0)
    model = JointDenoiser(TINY)
    optimizer, values = torch.optim.AdamW(model.parameters(), 2e-3), []
    for _ in range(60):
        step = step_of(model, rigs, Task.POSE, LossWeights())
        optimizer.zero_grad()
        step.total.backward()
        optimizer.step()
        values.append(step.total.item())
    assert set(step.terms) == {"flow", "cosine", "error", "pose", "inlier", "focal"}
    assert values[-1] < 0.7 * values[0]
