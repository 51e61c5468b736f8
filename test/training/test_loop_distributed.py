"""training by several processes: they share gradients, stop together, keep one checkpoint; others make the data."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from ros2_raxels.cli.main import main  # noqa: E402
from ros2_raxels.cli.train import Draws  # noqa: E402
from ros2_raxels.model.denoiser import JointDenoiser  # noqa: E402
from ros2_raxels.model.flow import Task  # noqa: E402
from ros2_raxels.model.presets import PRESETS  # noqa: E402
from ros2_raxels.training import checkpoint  # noqa: E402
from ros2_raxels.training.checkpoint import Progress  # noqa: E402
from ros2_raxels.training.correspondences import sample_correspondences  # noqa: E402
from ros2_raxels.training.loop import Draw, Trainer, TrainSettings  # noqa: E402
from ros2_raxels.training.losses import loss_of  # noqa: E402

pytestmark = pytest.mark.slow

PROCESSES, CLIPS, STEPS = 2, 4, 3

SETTINGS = TrainSettings(minutes=60.0, steps=STEPS, bf16=False, warm_up=1)


def draw_of_two_tasks(step: int, rank: int) -> Draw:
    """Poses from tracks for the first process, pixels without tracks for the other: neither uses all weights."""
    if rank == 0:
        return Draws(0, CLIPS, "cpu")(step, rank)
    frames = 3
    batch = sample_correspondences(1000 + step, CLIPS, frames, 16)
    generator = torch.Generator().manual_seed(step)
    video = torch.rand(CLIPS, frames, 3, 32, 48, generator=generator) * 2 - 1
    return Draw(replace(batch, video=video), Task.IMAGINE, with_evidence=False)


def train_as_one_of_several(folder: Path) -> None:
    """What each process runs."""
    torch.set_num_threads(1)
    start = Progress(seed=0, preset="tiny", data="")
    trainer = Trainer(PRESETS["tiny"], draw_of_two_tasks, folder, SETTINGS, start)
    trainer.run(show=False)
    safetensors_torch.save_file(trainer.model.state_dict(), folder / f"rank_{trainer.rank}.safetensors")


def train_on_the_joined_batches() -> JointDenoiser:
    """One process, written out: the mean loss over the batches of all processes, each with noise of its own."""
    torch.manual_seed(0)
    model = JointDenoiser(PRESETS["tiny"])
    optimizer = torch.optim.AdamW(model.parameters(), SETTINGS.rate, betas=(0.9, 0.95), weight_decay=0.0)
    for step in range(STEPS):
        left = 1.0 - step / STEPS
        optimizer.param_groups[0]["lr"] = SETTINGS.rate * min(1.0, left / SETTINGS.cool_down)
        losses = []
        for rank in range(PROCESSES):
            drawn = draw_of_two_tasks(step, rank)
            noise = torch.Generator().manual_seed(step * PROCESSES + rank)
            losses.append(loss_of(model, drawn.batch, drawn.task, SETTINGS.weights, noise, drawn.with_evidence).total)
        optimizer.zero_grad()
        (sum(losses) / PROCESSES).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS.clip)
        optimizer.step()
    return model


def run(folder: Path, processes: int, *command: str) -> None:
    """A program under torchrun, which must end well."""
    folder.mkdir(exist_ok=True)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run([*launcher, *command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("one_torch_thread")
def test_processes_learn_what_one_learns_from_the_joined_batches(tmp_path: Path) -> None:
    run(tmp_path, PROCESSES, __file__, str(tmp_path))
    first, second = (safetensors_torch.load_file(tmp_path / f"rank_{rank}.safetensors") for rank in range(PROCESSES))
    joined = train_on_the_joined_batches().state_dict()
    torch.manual_seed(0)
    begin = JointDenoiser(PRESETS["tiny"]).state_dict()
    moved = max(float((value - begin[name]).abs().max()) for name, value in joined.items())
    assert moved > 1e-3
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=0)
        torch.testing.assert_close(value, joined[name], rtol=0, atol=1e-3 * moved)
    _, progress, tensors = checkpoint.load(tmp_path / "checkpoint.safetensors")
    assert (progress.step, progress.clips) == (STEPS, STEPS * CLIPS * PROCESSES)
    # Each process has weights that only it uses; what none of them uses is left alone.
    learned = {name.removesuffix(".step") for name in checkpoint.part(tensors, "moment") if name.endswith(".step")}
    assert {"encoder.judge.weight", "video_out.weight"} <= learned
    assert [name for name in learned if name.startswith("sweep.")] == []
    assert torch.equal(first["sweep.net.out"], begin["sweep.net.out"])


def test_the_command_ends_by_the_clock_in_all_processes(tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["--preset", "tiny", "--minutes", "0.05", "--batch", str(CLIPS), "--threads", "1", "--out", str(out)]
    run(out, PROCESSES, "-m", "ros2_raxels", "train", *arguments)
    _, progress, _ = checkpoint.load(out / "checkpoint.safetensors")
    assert progress.trained_s >= 3.0
    assert progress.clips == progress.step * CLIPS * PROCESSES > 0


@pytest.mark.usefixtures("one_torch_thread")
def test_processes_that_make_the_data_make_what_a_thread_would(tmp_path: Path) -> None:
    learned = []
    for workers in (0, 2):
        settings = TrainSettings(minutes=60.0, steps=STEPS, bf16=False, workers=workers)
        start, folder = Progress(seed=0, preset="tiny", data=""), tmp_path / str(workers)
        folder.mkdir()
        trainer = Trainer(PRESETS["tiny"], Draws(0, CLIPS, "cpu"), folder, settings, start)
        assert trainer.run(show=False).clips == STEPS * CLIPS
        learned.append(trainer.model.state_dict())
    for name, value in learned[0].items():
        torch.testing.assert_close(value, learned[1][name], rtol=0, atol=0)


def test_a_negative_number_of_processes_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--workers", "-1"]) == 2
    assert "--workers" in capsys.readouterr().err


if __name__ == "__main__":
    train_as_one_of_several(Path(sys.argv[1]))
