"""training by several processes: they share gradients, stop together, keep one checkpoint; others make the data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from ros2_raxels.cli.main import main  # noqa: E402
from ros2_raxels.cli.train import Draws  # noqa: E402
from ros2_raxels.model.presets import PRESETS  # noqa: E402
from ros2_raxels.training import checkpoint  # noqa: E402
from ros2_raxels.training.checkpoint import Progress  # noqa: E402
from ros2_raxels.training.loop import Trainer, TrainSettings  # noqa: E402

PROCESSES, CLIPS, STEPS = 2, 4, 3

PROGRAM = f"""
import os, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from ros2_raxels.model.presets import PRESETS
from ros2_raxels.cli.train import Draws
from ros2_raxels.training.checkpoint import Progress
from ros2_raxels.training.loop import Trainer, TrainSettings

torch.set_num_threads(1)
folder = Path(sys.argv[1])
settings = TrainSettings(minutes=60.0, steps={STEPS}, bf16=False)
trainer = Trainer(PRESETS["tiny"], Draws(0, {CLIPS}, "cpu"), folder, settings, Progress(seed=0, preset="tiny", data=""))
trainer.run(show=False)
save_file(trainer.model.state_dict(), folder / f"rank_{{trainer.rank}}.safetensors")
"""


def run(folder: Path, processes: int, *command: str) -> None:
    """A program under torchrun, which must end well."""
    folder.mkdir(exist_ok=True)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run([*launcher, *command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_processes_share_what_each_learned(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    alone, together = tmp_path / "alone", tmp_path / "together"
    run(alone, 1, str(program), str(alone))
    run(together, PROCESSES, str(program), str(together))
    first, second = (safetensors_torch.load_file(together / f"rank_{rank}.safetensors") for rank in range(PROCESSES))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=0)
    # The second process drew other clips, and they changed the weights.
    single = safetensors_torch.load_file(alone / "rank_0.safetensors")
    assert any(not torch.allclose(value, single[name], atol=1e-6) for name, value in first.items())
    _, progress, _ = checkpoint.load(together / "checkpoint.safetensors")
    assert (progress.step, progress.clips) == (STEPS, STEPS * CLIPS * PROCESSES)


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
