"""training.loop: runs that resume to the bit, start from others, and stop in words where they cannot go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ros2_raxels.model.flow import Task
from ros2_raxels.utils.files import FileError

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from torch.optim.swa_utils import AveragedModel  # noqa: E402
from training_rig import ALWAYS, TINY, StoppedError, small, train, trainer, until  # noqa: E402

from ros2_raxels.model.denoiser import JointDenoiser  # noqa: E402
from ros2_raxels.model.presets import ModelSize  # noqa: E402
from ros2_raxels.training import checkpoint  # noqa: E402
from ros2_raxels.training.batch import ClipBatch  # noqa: E402
from ros2_raxels.training.checkpoint import Progress  # noqa: E402
from ros2_raxels.training.loop import Draw, Trainer, TrainingError, warmed_up_average  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


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


# ------------------------------------------------------------------------------------------- starting from another run


def started(folder: Path, init: Path | None, size: ModelSize = TINY, **start: Any) -> Trainer:
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
    size = replace(TINY, joint_blocks=2, raxel_patch=2)
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
    checkpoint.save(path, other, TINY, average, torch.optim.AdamW(other.parameters()), Progress())
    with pytest.raises(FileError, match=f"{path} has no weights that fit .*; give a checkpoint of a similar preset"):
        started(tmp_path / "run", path)
    with pytest.raises(FileError, match="is not a checkpoint of this version"):
        started(tmp_path / "run", tmp_path / "gone.safetensors")


def test_a_preset_of_another_width_is_refused_in_words(tmp_path: Path) -> None:
    source = train(tmp_path / "source", 1)
    wide = replace(TINY, width=48, heads=2, sweep_width=16, sweep_depths=16)
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


# ---------------------------------------------------------------------------------------------------- numbers of steps


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

    run = Trainer(TINY, draw, tmp_path, ALWAYS, Progress())
    with pytest.raises(ValueError, match="clip 3 of step 2 is broken") as raised:
        run.run(show=False)
    assert raised.value is error
    assert run.progress.step == step
    if step:
        assert checkpoint.load(run.checkpoint_path)[1].step == step


def test_data_that_are_drawn_ahead_and_not_needed_may_fail(tmp_path: Path) -> None:
    run = Trainer(TINY, until(2), tmp_path, replace(ALWAYS, steps=2), Progress())
    assert run.run(show=False).step == 2
