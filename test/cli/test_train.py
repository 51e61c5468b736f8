"""`raxels train`: what cannot be trained is refused before the work. Training itself is tested with the loop."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands_rig import CapSys, error_line

torch = pytest.importorskip("torch")

from ros2_raxels.cli import train as command  # noqa: E402
from ros2_raxels.cli.main import main  # noqa: E402
from ros2_raxels.training import precision  # noqa: E402
from ros2_raxels.training.checkpoint import Progress  # noqa: E402


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_refused_in_a_line(device: str, tmp_path: Path, capsys: CapSys) -> None:
    assert main(["train", "--preset", "tiny", "--device", device, "--out", str(tmp_path / "run")]) == 2
    line = error_line(capsys)
    assert line.startswith(f"raxels: --device {device} cannot be used (")
    assert line.endswith("give cpu, or cuda on a machine with a GPU\n")
    assert not (tmp_path / "run").exists()


def test_a_folder_without_clips_is_refused(tmp_path: Path, capsys: CapSys) -> None:
    (tmp_path / "clips").mkdir()
    options = ["--pixels", str(tmp_path / "clips"), "--out", str(tmp_path / "run")]
    assert main(["train", "--preset", "tiny", *options]) == 2
    assert f"{tmp_path / 'clips'} holds no rendered clips and no usable posed set" in error_line(capsys)


@pytest.mark.parametrize(
    ("options", "in_hardware", "bf16", "words"),
    [
        ([], False, False, "precision fp32: cpu has no bf16 in hardware"),
        ([], True, True, "precision bf16, which cpu has in hardware"),
        (["--precision", "bf16"], False, True, "precision bf16, as asked for"),
    ],
)
def test_the_precision_is_what_the_device_computes_fast_and_is_said(
    options: list[str],
    in_hardware: bool,
    bf16: bool,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: CapSys,
) -> None:
    asked: list[Any] = []

    def trainer(*arguments: Any) -> Any:
        asked.append(arguments[3])
        return SimpleNamespace(progress=Progress(), rank=0, checkpoint_path=tmp_path, run=Progress)

    monkeypatch.setattr(command, "Trainer", trainer)
    monkeypatch.setattr(command.Validation, "synthetic", lambda: None)
    monkeypatch.setattr(precision, "has_bf16", lambda _: in_hardware)
    assert main(["train", "--preset", "tiny", "--out", str(tmp_path), *options]) == 0
    assert asked[0].bf16 == bf16
    assert capsys.readouterr().err.startswith(words)
