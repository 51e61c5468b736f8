"""training on pixels: losses of swept batches, views, starting from another run, fixed numbers of steps, ablations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from posed_sets import write_rendered_set

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.model.flow import Task
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.utils.files import FileError

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from training_rig import ALWAYS, StoppedError, perturbed, small, train, until  # noqa: E402

from ros2_raxels.cli import ablations  # noqa: E402
from ros2_raxels.model.denoiser import Denoised, JointDenoiser  # noqa: E402
from ros2_raxels.model.presets import PRESETS, ModelSize  # noqa: E402
from ros2_raxels.training import checkpoint  # noqa: E402
from ros2_raxels.training.checkpoint import Progress  # noqa: E402
from ros2_raxels.training.loop import Draw, Trainer  # noqa: E402
from ros2_raxels.training.losses import LossWeights, known_views, loss_of, plane_loss, predict_views  # noqa: E402
from ros2_raxels.training.pixels import PixelClip, PixelClips, batch_of  # noqa: E402
from ros2_raxels.training.validation import Validation  # noqa: E402

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ros2_raxels.training.batch import ClipBatch

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TINY = PRESETS["tiny"]
POSES = replace(TINY, video_size_px=(32, 48))
"""The size of the runs in test_training; its weights have the same shapes."""
CAMERA = PinholeCamera(64, 48, 52.0, 52.4, 31.5, 23.5)


@pytest.fixture(scope="module")
def clips() -> list[PixelClip]:
    """Two clips of four frames of a room."""
    poses = handheld_loop(6.0, 10.0, seed=3)[:56:7]
    world = furnished_room(2)
    images = np.array([render(world, CAMERA, pose)[0] for pose in poses])
    return [PixelClip(images[k : k + 4], CAMERA, poses[k : k + 4]) for k in (0, 4)]


@pytest.fixture(scope="module")
def views(clips: list[PixelClip]) -> ClipBatch:
    """Two sources, newest first, and two targets; swept."""
    return batch_of([clip.chosen([1, 0, 2, 3]) for clip in clips], 2, TINY)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> PixelClips:
    """Of a posed set of eight frames."""
    folder = tmp_path_factory.mktemp("recorded")
    write_rendered_set(folder / "room", 8)
    return PixelClips([folder], TINY.video_size_px[1])


def seeded(seed: int = 0) -> Generator:
    generator: Generator = torch.Generator().manual_seed(seed)
    return generator


# ------------------------------------------------------------------------------------------------------------- losses


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
        self.load_state_dict(perturbed(TINY).state_dict())
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
            loss_of(perturbed(TINY), batch, task, LossWeights(), seeded(), with_evidence=False).terms["video"]
            for batch in (views, other)
        )
        assert (a == b) == same


def test_sources_are_known_without_a_sweep_and_targets_by_it(views: ClipBatch) -> None:
    model = perturbed(TINY).eval()
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


# -------------------------------------------------------------------------------------------------------------- views


@pytest.mark.parametrize("steps", [1, 3])
def test_views_keep_their_sources_and_follow_from_the_generator(views: ClipBatch, steps: int) -> None:
    model = perturbed(TINY).eval()
    made, again, other = (predict_views(model, views, seeded(seed), steps) for seed in (1, 1, 2))
    assert views.video is not None
    assert made.shape == views.video.shape
    assert torch.isfinite(made).all()
    for video in (made, other):
        assert torch.equal(video[:, :2], views.video[:, :2])
    assert torch.equal(made, again)
    assert ((made - other)[:, 2:].abs().amax(dim=(2, 3, 4)) > 1e-4).all()


def test_views_do_not_know_what_they_are_compared_to(views: ClipBatch) -> None:
    model = perturbed(TINY).eval()
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


# --------------------------------------------------------------------------------------- starting from another run


def started(folder: Path, init: Path | None, size: ModelSize = POSES, **start: Any) -> Trainer:
    folder.mkdir(exist_ok=True)
    return Trainer(size, until(0), folder, ALWAYS, Progress(**{"seed": 9, **start}), init=init)


def test_a_run_starts_from_the_averaged_weights_of_another(tmp_path: Path) -> None:
    source = train(tmp_path / "source", 2)
    run = started(tmp_path / "run", source)
    tensors = checkpoint.load(source)[2]
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, tensors[f"average.{name}"])
        assert torch.equal(run.averaged().state_dict()[name], value)
    assert not torch.equal(run.model.ray_in.weight, tensors["model.ray_in.weight"])
    assert run.progress == Progress(seed=9)


def test_what_does_not_fit_is_as_in_a_run_of_its_own(tmp_path: Path) -> None:
    """One more block than the other run has, and another patch of rays."""
    tensors = checkpoint.load(source := train(tmp_path / "source", 2))[2]
    size = replace(POSES, joint_blocks=2, raxel_patch=2)
    new, alone = started(tmp_path / "new", source, size), started(tmp_path / "alone", None, size).model.state_dict()
    changed = set()
    for name, value in new.model.state_dict().items():
        fits = f"average.{name}" in tensors and tensors[f"average.{name}"].shape == value.shape
        assert torch.equal(value, tensors[f"average.{name}"] if fits else alone[name])
        changed |= {name} if fits else set()
    assert {"affine.weight", "video_seams.first.weight"} <= changed
    assert [name for name in changed if name.startswith("blocks.0.")]
    assert not {"ray_in.weight", "ray_place"} & changed
    assert not [name for name in changed if name.startswith("blocks.1")]


def test_a_checkpoint_of_which_nothing_fits_is_refused_in_words(tmp_path: Path) -> None:
    other = torch.nn.Linear(3, 2)
    path = tmp_path / "other.safetensors"
    average = {name: value.clone() for name, value in other.state_dict().items()}
    checkpoint.save(path, other, POSES, average, torch.optim.AdamW(other.parameters()), Progress())
    with pytest.raises(FileError, match=f"{path} has no weights that fit .*; give a checkpoint of a similar preset"):
        started(tmp_path / "run", path)
    with pytest.raises(FileError, match="is not a checkpoint of this version"):
        started(tmp_path / "run", tmp_path / "gone.safetensors")


def test_a_preset_of_another_width_is_refused_in_words(tmp_path: Path) -> None:
    source = train(tmp_path / "source", 1)
    wide = replace(POSES, width=48, heads=2, sweep_width=16, sweep_depths=16)
    with pytest.raises(FileError, match="has no weights that fit"):
        started(tmp_path / "run", source, wide)


def test_a_run_that_goes_on_does_not_start_again(tmp_path: Path) -> None:
    source, own = train(tmp_path / "source", 2), train(tmp_path / "own", 1)
    for init in (source, tmp_path / "gone.safetensors"):
        run = started(tmp_path / "own", init)
        tensors = checkpoint.load(own)[2]
        assert run.progress.step == 1
        for name, value in run.model.state_dict().items():
            assert torch.equal(value, tensors[f"model.{name}"])
            assert torch.equal(run.averaged().state_dict()[name], tensors[f"average.{name}"])


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (False, False)])
def test_whether_a_run_saw_pixels_survives_that_it_goes_on(tmp_path: Path, first: bool, second: bool) -> None:
    started(tmp_path, None, has_pixels=first).save()
    assert checkpoint.load(tmp_path / "checkpoint.safetensors")[1].has_pixels == first
    run = started(tmp_path, None, has_pixels=second)
    assert run.progress.has_pixels == (first or second)
    run.save()
    assert checkpoint.load(tmp_path / "checkpoint.safetensors")[1].has_pixels == (first or second)


# --------------------------------------------------------------------------------------------------- numbers of steps


def stepwise(folder: Path, views: ClipBatch, steps: int, stop: int = 99) -> tuple[Trainer, list[int]]:
    """A run of so many steps on pixels and tracks by turns, and the steps for which data were asked."""
    asked: list[int] = []

    def draw(step: int, rank: int) -> Draw:
        asked.append(step)
        if step == stop:
            raise StoppedError
        return Draw(views, Task.VIEWS, with_evidence=False) if step % 2 else Draw(small(100 + step, 2), Task.POSE)

    folder.mkdir(exist_ok=True)
    settings = replace(ALWAYS, steps=steps, cool_down=0.5)
    return Trainer(TINY, draw, folder, settings, Progress(seed=4, preset="tiny")), asked


def test_a_run_stops_at_its_number_of_steps_and_in_parts_is_the_same_to_the_bit(
    tmp_path: Path, views: ClipBatch
) -> None:
    run, asked = stepwise(tmp_path / "whole", views, 5)
    assert run.run(show=False).step == 5
    assert asked == [0, 1, 2, 3, 4, 5]
    whole = checkpoint.load(run.checkpoint_path)
    assert (whole[1].step, whole[1].clips) == (5, 10)

    run, _ = stepwise(tmp_path / "parts", views, 5, stop=2)
    with pytest.raises(StoppedError):
        run.run(show=False)
    assert checkpoint.load(run.checkpoint_path)[1].step == 2
    run, asked = stepwise(tmp_path / "parts", views, 5)
    assert run.run(show=False).step == 5
    assert asked == [2, 3, 4, 5]
    parts = checkpoint.load(run.checkpoint_path)
    assert whole[2].keys() == parts[2].keys()
    assert [name for name, value in whole[2].items() if not torch.equal(value, parts[2][name])] == []

    before = run.checkpoint_path.read_bytes()
    run, _ = stepwise(tmp_path / "parts", views, 5)
    assert run.run(show=False).step == 5
    after = checkpoint.load(run.checkpoint_path)[2]
    assert all(torch.equal(value, after[name]) for name, value in parts[2].items())
    assert len(before) == run.checkpoint_path.stat().st_size


def test_the_rate_cools_down_with_the_steps(tmp_path: Path, views: ClipBatch) -> None:
    run, _ = stepwise(tmp_path, views, 20)
    shares = []
    for step in (0, 1, 10, 15, 19):
        run.progress = replace(run.progress, step=step)
        shares.append(run._share_of_rate(step))
    # Two steps of warm-up; 1 - 15 / 20 and 1 - 19 / 20 over .5.
    assert shares == pytest.approx([0.5, 1.0, 1.0, 0.5, 0.1])


@pytest.mark.parametrize("step", [0, 2])
def test_what_goes_wrong_with_the_data_is_said_as_it_is(tmp_path: Path, step: int) -> None:
    error = ValueError("clip 3 of step 2 is broken")

    def draw(asked: int, rank: int) -> Draw:
        if asked == step:
            raise error
        return Draw(small(100 + asked, 2), Task.POSE)

    run = Trainer(POSES, draw, tmp_path, ALWAYS, Progress())
    with pytest.raises(ValueError, match="clip 3 of step 2 is broken") as raised:
        run.run(show=False)
    assert raised.value is error
    assert run.progress.step == step
    if step:
        assert checkpoint.load(run.checkpoint_path)[1].step == step


def test_data_that_are_drawn_ahead_and_not_needed_may_fail(tmp_path: Path) -> None:
    run = Trainer(POSES, until(2), tmp_path, replace(ALWAYS, steps=2), Progress())
    assert run.run(show=False).step == 2


# -------------------------------------------------------------------------------------------------------- validation


def psnr_db(batch: ClipBatch, frames: Tensor) -> float:
    """Mean of OpenCV's over the targets of a batch, of frames rounded to 8 bits."""
    assert batch.video is not None

    def picture(frame: Tensor) -> Any:
        return ((frame.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy().copy()

    pairs = zip(frames.flatten(0, 1), batch.video[:, batch.sources :].flatten(0, 1), strict=True)
    return float(np.mean([cv2.PSNR(picture(a), picture(b)) for a, b in pairs]))


def test_views_are_measured_beside_the_newest_source_repeated(recorded: PixelClips) -> None:
    validation = Validation({}).with_views(recorded, TINY, batches=2, clips=2)
    again = Validation({}).with_views(recorded, TINY, batches=2, clips=2)
    torch.manual_seed(0)
    model = JointDenoiser(TINY).eval()
    measured = validation.measure(model)
    assert measured == again.measure(model)
    assert measured.keys() == {"views"}
    assert len(validation.views) == 2
    repeated = []
    for batch in validation.views.values():
        assert batch.video is not None
        assert batch.swept is not None
        repeated.append(psnr_db(batch, batch.video[:, :1].expand_as(batch.video[:, batch.sources :])))
    assert measured["views"]["repeat_db"] == pytest.approx(np.mean(repeated), abs=1e-3)
    assert repeated[0] != pytest.approx(repeated[1], abs=0.1)
    line = validation.line(model)
    assert f"repeat_db {np.mean(repeated):.3g}" in line
    assert f"psnr_db {measured['views']['psnr_db']:.3g}" in line


def test_views_of_the_sweep_are_measured_too(views: ClipBatch) -> None:
    """A model that has learned nothing gives the sweep's colours, where its gate lets them through."""
    torch.manual_seed(0)
    model = JointDenoiser(TINY).eval()
    with torch.no_grad():
        known = known_views(model, views)
        made = predict_views(model, views, seeded(987_654_321))
    assert known is not None
    measured = Validation({}, {"few": views}).measure(model)["views"]
    # Rounding to 8 bits and cutting what is out of range change little.
    assert measured["sweep_db"] == pytest.approx(psnr_db(views, known.colour[:, 2:]), abs=0.1)
    assert measured["psnr_db"] == pytest.approx(psnr_db(views, made[:, 2:]), abs=0.1)


# --------------------------------------------------------------------------------------------------------- ablations


def difference(a: tuple[ModelSize, LossWeights], b: tuple[ModelSize, LossWeights]) -> dict[str, Any]:
    """Fields of the second that differ from the first's."""
    of_a, of_b = ({**asdict(size), **asdict(weights)} for size, weights in (a, b))
    return {name: value for name, value in of_b.items() if of_a[name] != value}


def test_ablations_differ_in_what_their_names_say_and_in_nothing_else() -> None:
    first, *others = ablations.POSES
    assert {name: difference(ablations.POSES[first], ablations.POSES[name]) for name in others} == {
        "without the cosine term": {"cosine": 0.0},
        "without the pose loss": {"pose": 0.0},
        "Pluecker rays": {"pluecker": True},
    }
    assert ablations.POSES[first] == ablations.PIXELS["decoupled attention"] == (ablations.SIZE, LossWeights())
    assert difference(*ablations.PIXELS.values()) == {"decoupled": False}
    assert list(ablations.PIXELS) == ["decoupled attention", "joined attention"]


@pytest.mark.parametrize(
    "name",
    [
        "without the cosine term",
        "Pluecker rays",
        "joined attention",
    ],
)
def test_a_variant_is_trained_for_its_steps_and_measured(
    name: str, recorded: PixelClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablations, "STEPS", 3)
    monkeypatch.setattr(ablations, "CLIPS", 2)
    check, pixels = Validation.synthetic(clips=24, frames=3, tracks=32), None
    size, weights = {**ablations.POSES, **ablations.PIXELS}[name]
    if name in ablations.PIXELS:
        pixels = recorded
        check = check.with_views(recorded, size, batches=1, clips=1)
    found = ablations.measure(size, weights, pixels, check)
    assert found["steps"] == 3
    assert 0.0 < found["minutes"] < 2.0
    assert set(found) == {"synthetic", "steps", "minutes"} | ({"views"} if pixels else set())
    tables = [found["synthetic"], *([found["views"]] if pixels else [])]
    assert all(np.isfinite(value) for table in tables for value in table.values())
    assert 0.0 <= found["synthetic"]["rotation_deg"] <= 180.0
