"""`raxels train` trains, resumes and refuses in words; the loop itself is tested with the training."""

from __future__ import annotations

from pathlib import Path

import pytest

from ros2_raxels.cli import main

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from training_rig import small  # noqa: E402

from ros2_raxels.training import checkpoint  # noqa: E402
from ros2_raxels.training.validation import Validation  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


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
