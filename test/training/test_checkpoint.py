"""training.checkpoint: files that hold all of a run, and are refused in words where they do not."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from ros2_raxels.utils.files import FileError

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from training_rig import TINY, StoppedError, perturbed, train, trainer, until  # noqa: E402

from ros2_raxels.model.denoiser import JointDenoiser  # noqa: E402
from ros2_raxels.training import checkpoint  # noqa: E402
from ros2_raxels.training.checkpoint import Progress  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


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


def test_moments_return_to_their_parameters_and_to_no_others(tmp_path: Path) -> None:
    """Of an optimiser that has stepped with the first of two layers alone."""

    def layers() -> tuple[torch.nn.Sequential, torch.optim.Optimizer]:
        torch.manual_seed(2)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(3, 2))
        return model, torch.optim.AdamW(model.parameters(), 0.1)

    def step(model: torch.nn.Sequential, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model[0](torch.tensor([[1.0, -2.0, 0.5]])).square().sum().backward()
        optimizer.step()

    (model, optimizer), path = layers(), tmp_path / "checkpoint.safetensors"
    for _ in range(3):
        step(model, optimizer)
    average = {name: value.clone() for name, value in model.state_dict().items()}
    checkpoint.save(path, model, TINY, average, optimizer, Progress())
    (again, resumed), tensors = layers(), checkpoint.load(path)[2]
    again.load_state_dict(checkpoint.part(tensors, "model"))
    checkpoint.restore_optimizer(resumed, again, tensors)
    saved, restored = optimizer.state_dict()["state"], resumed.state_dict()["state"]
    assert set(restored) == set(saved) == {0, 1}
    for index, moments in saved.items():
        for name, value in moments.items():
            assert torch.equal(restored[index][name], value), name
    step(model, optimizer)
    step(again, resumed)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_weights_alone_are_the_average_in_half_precision(tmp_path: Path) -> None:
    path, average = tmp_path / "weights.safetensors", perturbed().state_dict()
    checkpoint.save_weights(path, TINY, average, Progress(step=5, preset="tiny"))
    size, progress, tensors = checkpoint.load(path)
    assert (size, progress) == (TINY, Progress(step=5, preset="tiny"))
    found = checkpoint.part(tensors, "average")
    assert len(found) == len(tensors) == len(average)
    for name, value in average.items():
        assert found[name].dtype == torch.float16
        # Eleven bits of mantissa; weights below 6e-5 are as coarse as that of them.
        torch.testing.assert_close(found[name].float(), value, rtol=2**-11, atol=3e-8)


def test_a_part_is_what_lies_below_a_prefix() -> None:
    tensors = {name: torch.zeros(1) for name in ("model.a", "model.b.c", "models.d", "moment.model.a", "model")}
    assert list(checkpoint.part(tensors, "model")) == ["a", "b.c"]
